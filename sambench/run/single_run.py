"""One run from its configuration to its record: where data, model, optimizer and training meet."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import nn

from sambench.config.run_config import RunConfig
from sambench.errors import (
    ClaimError,
    ConfigError,
    RunFailed,
    SambenchWarning,
    StoreError,
    UserError,
    is_of_surroundings,
)
from sambench.files.claim import Claim, Claimed
from sambench.models.weights import LoadedWeights, find_weights, load_backbone
from sambench.run.images import Parts, load_parts
from sambench.run.network import build_network, build_optimizer, with_shifts
from sambench.store import environment
from sambench.store.record import (
    COMPLETED,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    RunRecord,
    plugins_of,
)
from sambench.store.status import outdated
from sambench.store.tree import HISTORY, PREDICTIONS, WEIGHTS, Store
from sambench.training.engine import ALWAYS, layout_of
from sambench.training.evaluate import Diverged, classification_metrics, fit, predict
from sambench.training.events import Epoch, Event, Started
from sambench.training.loop import Interrupted, Training
from sambench.training.losses import CrossEntropy
from sambench.training.replicas import Replicas
from sambench.training.seeding import derive_seed
from sambench.training.snapshot import remove_checkpoints


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

    A checkpoint of an earlier session is resumed. The record is written at the start and the end,
    with the name of the suite that asks for it. `on_event` is told what happens, for display;
    `stop_requested` is asked after each step: when true the run is saved and ends `interrupted`.

    If data, model or settings do not fit, it is a UserError and nothing is written. A run that
    another process does is Claimed; one of which nobody can tell, or whose folder is removed under
    it, is a ClaimError. What makes the run fail is raised; its record says `failed` and holds the
    traceback, or `interrupted` for a fault of its surroundings, where it can still be written.
    """
    store = Store(paths.results)
    done = store.completed(config)
    if done and done.has_shifts(config.shifts):
        return done
    parts = load_parts(config, paths.data, device, environment.count_runs_on_device())
    with store.claim(config, str(device)) as claim:
        done = store.completed(config)  # perhaps by another process, meanwhile
        if done is None:
            Replicas.of_this_process().first(True)  # those who train it with us begin too
            run = _Run(config, paths, parts, device, on_event, stop_requested, claim, suite)
            done = run.to_the_end()
        return with_shifts(done, config, store, paths.data, device)


def _training(
    config: RunConfig, paths: Paths, parts: Parts, device: torch.device, **told: Any
) -> tuple[Training, LoadedWeights | None]:
    """Put network, optimizer and images together; return the training, and which weights fitted."""
    replicas = Replicas.of_this_process()
    if replicas.number != config.replicas:
        raise ConfigError(
            f"run {config.name} is for {config.replicas} processes, not {replicas.number}; start "
            f"it with `torchrun --nproc-per-node {config.replicas} -m sambench train ...`"
        )
    if device.type == "cpu":
        environment.keep_freed_memory()
    model = build_network(config, len(parts.prepared.classes), device)
    loaded = None
    if config.weights is not None:
        loaded = load_backbone(model, find_weights(config.weights, paths.data), config.weights)
    if config.batch_norm == "synchronized":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.to(memory_format=layout_of(model, device))  # gradients are sent as weights lie
    parallel = replicas.wrap(model, config.batch_norm)
    torch.manual_seed(derive_seed(config.seed, "training", *replicas.axis))
    training = Training(
        config,
        model,
        build_optimizer(config, model, parallel) if parallel else build_optimizer(config, model),
        parts.train,
        parts.validation,
        loss=CrossEntropy.of(config, parts.train.labels, len(parts.prepared.classes)),
        folder=Store(paths.results).folder(config),
        identity=f"{config.id} on {parts.prepared.fingerprint}",
        replicas=replicas,
        parallel=parallel,
        **told,
    )
    return training, loaded


def train_beside(
    config: RunConfig,
    paths: Paths,
    *,
    device: torch.device,
    stop_requested: Callable[[], bool] = lambda: False,
) -> None:
    """Train a run together with the first replica, which tests and writes."""
    environment.choose_kernels(config.kernels, device)
    parts = load_parts(config, paths.data, device)
    training, _ = _training(config, paths, parts, device, stop_requested=stop_requested)
    with suppress(Diverged, Interrupted):
        training.run()


@dataclass
class _Run:
    """A claimed run, from its first step to its record."""

    config: RunConfig
    paths: Paths
    parts: Parts
    device: torch.device
    on_event: Callable[[Event], None]
    stop_requested: Callable[[], bool]
    claim: Claim
    suite: str | None

    def __post_init__(self) -> None:
        config, device = self.config, self.device
        self.store = Store(self.paths.results)
        self.folder = self.store.folder(config)
        deterministic = environment.choose_kernels(config.kernels, device)
        environment.start_memory_peak(device)
        self.training, self.loaded = _training(
            *(config, self.paths, self.parts, device),
            before_save=self.claim.check,
            on_tick=self.on_event,
            on_epoch=self._epoch_done,
            stop_requested=lambda: self.claim.lost or self.stop_requested(),
        )
        self.model = self.training.model
        last = self.store.load(config) if self.training.resumed else None
        if last and (why := outdated(last, None)):  # other data have a checkpoint of their own
            raise ConfigError(
                f"run {config.name} cannot be resumed: {why}; put it back as it was, or begin the "
                "run anew with `sambench compare` and `--retry stale`"
            )
        before, plugins = last.environment if last else None, plugins_of(config)
        self.record = RunRecord(config=config, status=RUNNING, suite=self.suite).with_sections(
            environment=environment.describe(device, deterministic, before, plugins),
            data=self.parts.describe(),
            **({"start": asdict(self.loaded)} if self.loaded else {}),
        )

    def to_the_end(self) -> RunRecord:
        self.store.save(self.record)
        self._save_history()  # without what a killed session did after its checkpoint
        self.on_event(
            Started(
                config=self.config,
                images=self.parts.images_by_class(),
                parameters=sum(p.numel() for p in self.model.parameters()),
                device=str(self.device),
                weights=str(self.loaded) if self.loaded else None,
                resumed_at=self.training.state.epoch + 1 if self.training.resumed else None,
            )
        )
        try:
            with environment.naming_faults(self.device):
                self._complete(self.training.run())
        except Diverged as error:
            self._save(DIVERGED, str(error))
            remove_checkpoints(self.folder)
        except (Interrupted, KeyboardInterrupt) as error:
            self._save(INTERRUPTED, str(error) or "stopped")
        except (Claimed, ClaimError):
            raise  # the run is another's now or gone, and so is its record
        except Exception as error:
            plain = isinstance(error, UserError | RunFailed)
            kept = str(error) if plain else traceback.format_exc()
            with suppress(StoreError, Claimed, ClaimError):
                self._save(INTERRUPTED if is_of_surroundings(error) else FAILED, kept)
            raise
        return self.record

    def _complete(self, stopped_by: str) -> None:
        """Test once, write weights, predictions and the record, then drop the checkpoints."""
        with self.training.clock.evaluation():
            train, held = fit(self.model, self.parts.train), self.parts.validation
            validation = None if held is None else fit(self.model, held)
            probabilities = predict(self.model, self.parts.test)
        prepared, tested = self.parts.prepared, self.parts.split.test
        labels, ids = prepared.labels[tested], [prepared.ids[index] for index in tested]
        test = classification_metrics(probabilities, labels)
        self.claim.check()
        self._warn_of_what_was_asked_for()
        state, rule = self.training.state, self.config.stop.rule
        artifacts = {
            PREDICTIONS: self.store.save_predictions(self.config, ids, probabilities, labels),
            WEIGHTS: self.store.save_weights(self.config, self.model),
            HISTORY: self._save_history(),
        }
        final = {
            "epochs": state.epoch,
            "stopped_by": stopped_by,
            "target_met": None if rule == "epochs" else stopped_by == rule,
            "selection": self.config.selection,
            "selected_epoch": state.best_epoch or state.epoch,
            "train": train,
            "validation": validation,
            "test": test,
            "generalization_gap": train["accuracy"] - float(test["accuracy"] or 0.0),
        }
        self.record = replace(self.record, artifacts=artifacts)
        self._save(COMPLETED, None, final=final)
        remove_checkpoints(self.folder)

    def _warn_of_what_was_asked_for(self) -> None:
        """Say which way of executing steps was asked for and could not be had."""
        engine, config = self.training.engine, self.config
        for name, choice in (("capture", engine.captured), ("compile", engine.compiled)):
            if getattr(config, name) == ALWAYS and not choice.done:
                said = f"{name}={ALWAYS} of run {config.name} was not done: {choice.reason}"
                warnings.warn(said, SambenchWarning, stacklevel=2)

    def _save(self, status: str, error: str | None, final: Mapping[str, Any] | None = None) -> None:
        self.claim.check()
        images = "resident" if self.parts.train.resident else "read"
        engine = {**self.training.engine.described(), "images": images}
        self.record = replace(self.record, status=status, error=error).with_sections(
            environment={**(self.record.environment or {}), "engine": engine},
            cost=self._cost(),
            sharpness=self._sharpness(),
            final=final,
        )
        self.store.save(self.record)

    def _cost(self) -> dict[str, Any]:
        clock, state = self.training.clock, self.training.state
        return {
            "train_seconds": (seconds := clock.train_seconds),
            "evaluation_seconds": clock.evaluation_seconds,
            "overhead_seconds": clock.overhead_seconds,
            **{"steps": state.steps, "skipped_steps": state.skipped},
            "gradient_evaluations": float(state.gradient_evaluations),
            "images_per_second": state.images / seconds if seconds else None,
            "peak_memory_bytes": environment.memory_peak(self.device),
            "energy_joules": None,
        }

    def _sharpness(self) -> dict[str, Any] | None:
        observed: dict[str, Any] | None = self.training.state.observed
        if observed is None or not np.isfinite(list(observed.values())).all():
            return None
        rounding = self.training.state.rounding
        return observed | ({"rounding": rounding} if rounding else {})

    def _epoch_done(self, epoch: Epoch) -> None:
        self.claim.check()
        self.store.add_to_history(self.config, asdict(epoch))
        self.on_event(epoch)

    def _save_history(self) -> str:
        return self.store.save_history(self.config, map(asdict, self.training.state.history))
