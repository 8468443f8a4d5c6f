"""One run from its configuration to its record: where data, model, optimizer and training meet."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sambench import environment
from sambench.atomic import write_bytes
from sambench.config import RunConfig
from sambench.data.batches import Images
from sambench.data.parts import Parts, load_parts
from sambench.errors import StoreError, UserError
from sambench.events import Epoch, Event, Started
from sambench.models.model import build_model
from sambench.optim.sharpness_aware import SharpnessAware, build
from sambench.record import COMPLETED, DIVERGED, FAILED, INTERRUPTED, RUNNING, RunRecord
from sambench.store import PREDICTIONS, WEIGHTS, Store
from sambench.training.checkpoint import remove_checkpoints
from sambench.training.evaluate import predict
from sambench.training.loop import Diverged, Interrupted, Outcome, Training
from sambench.training.metrics import classification_metrics
from sambench.training.seeding import derive_seed


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where prepared data and results lie."""

    data: Path = Path("data/prepared")
    results: Path = Path("results")


def run_one(
    config: RunConfig,
    paths: Paths,
    *,
    device: torch.device,
    suite: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Do one run, or return its record where it is already completed.

    A checkpoint left by an earlier session is resumed. The record is written at the start, at the
    end, and when the run diverges, is interrupted or fails.

    Args:
        config: The run.
        paths: Where prepared data and results lie.
        device: Where to train.
        suite: Name of the suite that asks for it.
        on_event: Told what happens, for display.
        stop_requested: Asked after each step; when true the run is saved and ends `interrupted`.

    Raises:
        UserError: If data, model or settings do not fit; nothing is written then.
        Claimed: If another process is doing this run.
        Exception: If the run fails; its record says `failed` and holds the traceback.
    """
    store = Store(paths.results)
    done = store.load(config)
    if done is not None and done.status == COMPLETED:
        return done
    parts = load_parts(config, paths.data, device)
    with store.claim(config) as claim:
        run = _Run(config, store, parts, device, on_event, stop_requested, claim, suite)
        return run.to_the_end()


def build_network(config: RunConfig, classes: int, device: torch.device) -> nn.Module:
    """Build the run's network with the initialisation of its seed.

    Raises:
        UserError: If there is no such model or it does not fit the images.
    """
    torch.manual_seed(derive_seed(config.seed, "initialisation"))
    model = build_model(
        config.model,
        classes=classes,
        image_size=config.image_size,
        pretrained=config.pretrained,
    )
    return model.to(device)


def build_optimizer(config: RunConfig, model: nn.Module) -> SharpnessAware:
    """Build the run's optimizer over the network's parameters."""
    settings = dict(config.optimizer)
    name, base = str(settings.pop("name")), str(settings.pop("base"))
    return build(name, model.parameters(), base, **settings)


class _Run:
    """A claimed run, from its first step to its record."""

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        parts: Parts,
        device: torch.device,
        on_event: Callable[[Event], None],
        stop_requested: Callable[[], bool],
        claim: Path,
        suite: str | None,
    ) -> None:
        self.config = config
        self.store = store
        self.folder = store.folder(config)
        self.parts = parts
        self.device = device
        self.on_event = on_event
        self.claim = claim
        deterministic = environment.make_deterministic(device)
        environment.start_memory_peak(device)
        self.model = build_network(config, len(parts.prepared.classes), device)
        torch.manual_seed(derive_seed(config.seed, "training"))
        self.training = Training(
            config,
            self.model,
            build_optimizer(config, self.model),
            parts.train,
            parts.validation,
            folder=self.folder,
            on_tick=on_event,
            on_epoch=self._epoch_done,
            stop_requested=stop_requested,
        )
        self.record = RunRecord(
            config=config,
            status=RUNNING,
            suite=suite,
            environment=environment.describe(device, deterministic),
            data=parts.describe(),
        )

    def to_the_end(self) -> RunRecord:
        self.store.save(self.record)
        self.on_event(self._started())
        try:
            outcome = self.training.run()
            self._complete(outcome)
        except Diverged as error:
            self._save(DIVERGED, str(error))
            remove_checkpoints(self.folder)
        except (Interrupted, KeyboardInterrupt) as error:
            self._save(INTERRUPTED, str(error) or "stopped")
        except Exception as error:
            kept = str(error) if isinstance(error, UserError) else traceback.format_exc()
            with suppress(StoreError):
                self._save(FAILED, kept)
            raise
        return self.record

    def _complete(self, outcome: Outcome) -> None:
        """Test once, write weights, predictions and the record, then drop the checkpoints."""
        with self.training.clock.evaluation():
            train = self._metrics(self.parts.train)
            held = self.parts.validation
            validation = self._metrics(held) if held is not None else None
            probabilities = predict(self.model, self.parts.test)
        labels = self.parts.prepared.labels[self.parts.split.test]
        test = classification_metrics(probabilities, labels)
        self._write_predictions(probabilities, labels)
        self._write_weights()
        state = self.training.state
        final = {
            "epochs": state.epoch,
            "stopped_by": outcome.stopped_by,
            "target_met": outcome.target_met,
            "selection": self.config.selection,
            "selected_epoch": state.best_epoch or state.epoch,
            "train": train,
            "validation": validation,
            "test": test,
            "generalization_gap": float(train["accuracy"]) - float(test["accuracy"] or 0.0),
        }
        self._save(COMPLETED, None, final=final)
        remove_checkpoints(self.folder)

    def _metrics(self, images: Images) -> dict[str, Any]:
        metrics = classification_metrics(predict(self.model, images), images.labels.cpu().numpy())
        return {"loss": metrics["loss"], "accuracy": metrics["accuracy"]}

    def _save(self, status: str, error: str | None, final: Mapping[str, Any] | None = None) -> None:
        self.record = replace(
            self.record,
            status=status,
            error=error,
            cost=self._cost(),
            sharpness=self._sharpness(),
            final=final,
        )
        self.store.save(self.record)

    def _cost(self) -> dict[str, Any]:
        clock, state = self.training.clock, self.training.state
        seconds = clock.train_seconds
        return {
            "train_seconds": seconds,
            "evaluation_seconds": clock.evaluation_seconds,
            "overhead_seconds": clock.overhead_seconds,
            "steps": state.steps,
            "gradient_evaluations": state.gradient_evaluations,
            "images_per_second": state.images / seconds if seconds else None,
            "peak_memory_bytes": environment.memory_peak(self.device),
            "energy_joules": None,
        }

    def _sharpness(self) -> dict[str, Any] | None:
        observed = self.training.state.observed
        finite = observed is not None and np.isfinite(list(observed.values())).all()
        return observed if finite else None

    def _epoch_done(self, epoch: Epoch) -> None:
        history = self.training.state.history
        self.store.save_history(self.config, [asdict(line) for line in history])
        self.claim.touch()
        self.on_event(epoch)

    def _started(self) -> Started:
        split, state = self.parts.split, self.training.state
        return Started(
            config=self.config,
            train=len(split.train),
            validation=len(split.validation),
            test=len(split.test),
            classes=len(self.parts.prepared.classes),
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=str(self.device),
            resumed_at=state.epoch + 1 if self.training.resumed else None,
        )

    def _write_predictions(self, probabilities: np.ndarray[Any, Any], labels: Any) -> None:
        ids = np.array([self.parts.prepared.ids[index] for index in self.parts.split.test])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, version=1, ids=ids, probabilities=probabilities, labels=labels)
        write_bytes(self.folder / PREDICTIONS, buffer.getvalue())

    def _write_weights(self) -> None:
        from safetensors.torch import save

        weights = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        write_bytes(self.folder / WEIGHTS, save(weights, metadata={"version": "1"}))
