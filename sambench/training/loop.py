"""The training loop: it knows gradients, batches and rules, and no optimizer by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sambench.config.run_config import RunConfig
from sambench.config.stop import Stop
from sambench.data.augment import make_augmentation
from sambench.data.batches import Augmentation, Images, shuffled
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.captured import Graph, graphs_of
from sambench.training.clock import Clock
from sambench.training.engine import Engine, layout_of
from sambench.training.evaluate import Diverged, fit, reaches_accuracy
from sambench.training.events import Epoch, Tick
from sambench.training.feed import Feed
from sambench.training.losses import CrossEntropy
from sambench.training.precision import RoundingWatch, numerics, rounds
from sambench.training.replicas import ALONE, Replicas
from sambench.training.rewind import Rewindable
from sambench.training.schedules import make_scheduler
from sambench.training.seeding import derive_seed
from sambench.training.snapshot import Snapshots, align_moments
from sambench.training.state import Tallies, TrainingState, WeightAverage
from sambench.training.step import USUAL, Batch, Step

TICK_SECONDS = 0.25
"""How often running numbers are read from the device for the progress display."""


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved."""


@dataclass(eq=False)
class Training:
    """One run's training, from where its last checkpoint left it to its end."""

    config: RunConfig
    model: nn.Module  # freshly initialised, on its device
    optimizer: SharpnessAware  # over the network's parameters
    train: Images
    validation: Images | None  # to select on
    _: KW_ONLY
    loss: CrossEntropy = USUAL  # what is minimised
    folder: Path  # where checkpoints lie
    identity: str  # of the run and what it is trained on; only its own checkpoint is resumed
    before_save: Callable[[], None] = lambda: None  # raises to keep a checkpoint from being written
    on_tick: Callable[[Tick], None] = lambda tick: None  # told numbers a few times a second
    on_epoch: Callable[[Epoch], None] = lambda epoch: None  # told each epoch when it is done
    stop_requested: Callable[[], bool]  # asked after each step; if so, the run is saved and ends
    replicas: Replicas = ALONE  # the processes that train it together
    parallel: nn.Module | None = None  # the network as they run it
    graphs: Callable[[], Graph] | None = None  # makes graphs to record steps in; else the device's

    def __post_init__(self) -> None:
        config, model, optimizer = self.config, self.model, self.optimizer
        device = self.train.device
        self._network = self.parallel or model
        self._steps_per_epoch = len(self._batches(0))
        optimizer.total_steps = self._steps_per_epoch * config.epochs
        self._scheduler = make_scheduler(config, optimizer, self._steps_per_epoch)
        self._last_tick = time.monotonic()
        self._snapshots = Snapshots(
            self.folder, self.identity, model, optimizer, self._scheduler, device
        )
        layout = layout_of(model, device)
        model.to(memory_format=layout)
        restored = self._snapshots.restore()
        align_moments(optimizer)
        fresh = TrainingState.fresh(len(self.train), device), Clock(device)
        self.state, self.clock = restored or fresh
        self.resumed = restored is not None
        self._average = WeightAverage(model, self.state) if config.average == "ema" else None
        self._tallies = Tallies(self.state, self.replicas)
        self._feed = Feed(self.train, self.replicas, self._augmentation, layout)
        self._take = Step(self._network, optimizer, self.state, config.precision, layout, self.loss)
        self._take.shares = torch.bincount(self.train.labels) / len(self.train)
        self.engine = Engine(
            self._take,
            Rewindable(model, optimizer, self.state, device),
            config,
            graphs=self.graphs or graphs_of(device),
            alone=self.replicas.alone,
            steps=self._steps_per_epoch * config.epochs - self.state.steps,
        )
        if self.resumed and self.replicas.rank:  # the checkpoint holds the first one's generator
            again = derive_seed(config.seed, "training", self.replicas.rank, self.state.steps)
            torch.manual_seed(again)

    def run(self) -> str:
        """Train to the end, leave the selected weights in the model, and return what ended it.

        That is the stop rule whose target is met, or "epochs" for the cap. A loss or an output that
        is NaN or infinite, or an epoch without a finite step, is Diverged; a stop that was
        requested is Interrupted, with a checkpoint saved.
        """
        with numerics(self.config.precision):
            self._warm_up()
            ended: str | None = None
            while ended is None:
                ended = self._end_epoch(self._epoch())
        if self.state.best_model is not None:
            self.model.load_state_dict(self.state.best_model)
        elif self._average:
            self._average.stay()
        return ended

    def _epoch(self) -> Sequence[Tensor]:
        """Train an epoch, or its rest; return its batches of indices."""
        config, state = self.config, self.state
        batches = self._batches(state.epoch)
        self.model.train()
        with self.clock.training():
            for batch in self._feed(batches, state.step):
                # An epoch that has begun has a step, or it would have no loss.
                spent = within_epoch(config.stop, state, self.clock.train_seconds)
                if self.replicas.first(spent and state.step > 0):
                    break
                self._step(batch, last=state.step + 1 == len(batches))
                number = len(batches[state.step])
                state.step += 1
                state.steps += 1
                state.images += number
                state.seen += number
                if self._average:
                    self._average.update()
                self._tick(batches)
                if self.replicas.any(self.stop_requested()):
                    self._save()
                    raise Interrupted(f"stopped in epoch {state.epoch + 1}, step {state.step}")
                if self.replicas.first(self._snapshots.due):
                    self._save()
        if state.skipped - state.skipped_before == state.step:
            told = f"none of the {state.step} steps of epoch {state.epoch + 1} was finite"
            raise Diverged(f"{told}: all were left out")
        return batches

    def _batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Return the epoch's batches of indices of the training images."""
        order = derive_seed(self.config.seed, "order", epoch)
        return shuffled(
            *(len(self.train), self.config.batch_size, order),
            least=2 * self.replicas.number,
            balance=self.train.labels.cpu() if self.config.sampler == "balanced" else None,
        )

    def _step(self, batch: Batch, *, last: bool) -> None:
        """Take a step; what the last of an epoch does to its gradient is observed."""
        state, optimizer, stop = self.state, self.optimizer, self.config.stop
        optimizer.observing = last
        if stop.rule == "gradient-evaluations" and state.steps:  # where it ends at its pace so far
            pace = state.gradient_evaluations / state.steps
            most = self._steps_per_epoch * self.config.epochs
            optimizer.total_steps = min(most, (stop.value or 0) / float(pace))
        epochs = self.config.epochs - state.epoch
        remaining = epochs if last else epochs * (self._steps_per_epoch - 1) - state.step
        look = last and state.rounding is None and rounds(self.config.precision, self.train.device)
        watch = RoundingWatch(optimizer, self.config.precision) if look else None
        self._take.rounding = watch
        before = optimizer.skipped
        state.gradient_evaluations += self.engine(batch, remaining, self.clock.paused)
        state.skipped += optimizer.skipped - before
        if watch is not None:
            state.rounding = watch.rounding
        if last and (observed := optimizer.observation):
            state.observed, state.observed_in = asdict(observed), state.epoch + 1
        state.rate = float(optimizer.param_groups[0]["lr"])
        if self._scheduler is not None:
            self._scheduler.step()

    def _augmentation(self, step: int) -> Augmentation | None:
        config, axis = self.config, self.replicas.axis
        seed = derive_seed(config.seed, "augmentation", self.state.epoch, step, *axis)
        return make_augmentation(config.augmentation, seed)

    def _end_epoch(self, batches: Sequence[Tensor]) -> str | None:
        """Record the epoch and validate; return the rule that ends the run, or None."""
        self._tallies.merge()
        self._refuse_divergence()
        self.replicas.average_statistics(self.model)
        with self._average.in_place() if self._average else nullcontext():
            ended = self._judge(batches)
        if ended is None and self.replicas.first(self._snapshots.due):
            self._save()
        return ended

    def _judge(self, batches: Sequence[Tensor]) -> str | None:
        state = self.state
        with self.clock.evaluation():
            held = None if self.validation is None else fit(self.model, self.validation)
        epoch = Epoch(
            epoch=state.epoch + 1,
            train_loss=float(state.loss_sum) / state.seen,
            train_accuracy=self._share_of_hits(batches[: state.step]),
            validation_loss=held["loss"] if held else None,
            validation_accuracy=held["accuracy"] if held else None,
            lr=state.rate,
            gradient_evaluations=float(state.gradient_evaluations),
            train_seconds=self.clock.train_seconds,
            sharpness=state.observed if state.observed_in == state.epoch + 1 else None,
        )
        state.history.append(epoch)
        state.epoch, state.step, state.seen = state.epoch + 1, 0, 0
        state.skipped_before = state.skipped
        state.loss_sum.zero_()
        self._keep_best(epoch)
        self.on_epoch(epoch)
        with self.clock.evaluation():
            stop = self.config.stop
            ended = after_epoch(
                *(stop, self.config.epochs, state, self.clock.train_seconds),
                lambda target: reaches_accuracy(self.model, self.train, target, ~state.hits),
            )
        if not self.replicas.first(ended is not None):
            return None
        return stop.rule if ended is None else ended

    def _keep_best(self, epoch: Epoch) -> None:
        if self.config.selection != "best-validation" or epoch.validation_accuracy is None:
            return
        score = (epoch.validation_accuracy, -(epoch.validation_loss or 0.0))
        if self.state.best is None or score > self.state.best:
            self.state.best, self.state.best_epoch = score, epoch.epoch
            weights = self.model.state_dict()
            self.state.best_model = {k: v.detach().cpu().clone() for k, v in weights.items()}

    def _tick(self, batches: Sequence[Tensor]) -> None:
        now = time.monotonic()
        if now - self._last_tick < TICK_SECONDS:
            return
        self._last_tick = now
        if self.replicas.alone:  # several find out together, at the end of the epoch
            self._refuse_divergence()
        # `hits` still has the last epoch's answer for images that this one has not reached
        seen = [self.replicas.share(batch) for batch in batches[: self.state.step]]
        tick = Tick(
            epoch=self.state.epoch + 1,
            epochs=self.config.epochs,
            step=self.state.step,
            steps=len(batches),
            loss=float(self.state.loss_sum) * self.replicas.number / self.state.seen,
            accuracy=self._share_of_hits(seen),
            images_per_second=self.state.images / max(self.clock.train_seconds, 1e-9),
        )
        with self.clock.paused():  # a terminal or a pipe may keep whoever shows it waiting
            self.on_tick(tick)

    def _share_of_hits(self, batches: Sequence[Tensor]) -> float:
        seen = torch.cat(list(batches)).to(self.state.hits.device)
        return float(self.state.hits[seen].sum()) / len(seen)

    def _refuse_divergence(self) -> None:
        total = float(self.state.loss_sum)
        if not math.isfinite(total):
            where = f"epoch {self.state.epoch + 1}, by step {self.state.step}"
            raise Diverged(f"the training loss became {total} in {where}")

    def _warm_up(self) -> None:
        """Run passes off the clock that leave no trace, and compile the network where it pays."""
        number = min(self.config.batch_size, len(self.train))
        inputs, targets = self.train.batch(torch.arange(number))
        self.model.train()
        self.engine.warm_up(self.model, self._network, inputs, targets, self.state.compiled)
        self.state.compiled = self.engine.compiled.done

    def _save(self) -> None:
        with self.clock.paused():
            self._tallies.merge()
            if self.replicas.rank == 0:
                self.before_save()
                self._snapshots.save(self.state, self.clock)
            self._tallies.keep_on_first()


def within_epoch(stop: Stop, state: TrainingState, seconds: float) -> bool:
    """Whether a budget of passes or of training time is used up, asked after each step."""
    if stop.rule == "gradient-evaluations":
        return state.gradient_evaluations >= (stop.value or 0)
    return stop.rule == "minutes" and seconds >= 60 * (stop.value or 0)


def after_epoch(
    stop: Stop, cap: int, state: TrainingState, seconds: float, confirm: Callable[[float], bool]
) -> str | None:
    """Return the rule that ends the run after this epoch and so many seconds of training, or None.

    At most the `cap` of epochs are trained. Whether a clean evaluation of the training images
    reaches an accuracy, `confirm` is asked after every epoch of a run under `train-accuracy`:
    accuracy counted while training, under augmentation and dropout, lags behind it by many epochs
    and tells nothing.
    """
    if within_epoch(stop, state, seconds):
        return stop.rule
    if stop.rule == "patience":
        losses = [e.validation_loss for e in state.history if e.validation_loss is not None]
        if losses and len(losses) - 1 - losses.index(min(losses)) >= (stop.value or 0):
            return stop.rule
    if stop.rule == "train-accuracy" and confirm(stop.value or 1.0):
        return stop.rule
    return "epochs" if state.epoch >= cap else None
