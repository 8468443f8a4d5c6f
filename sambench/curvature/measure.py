"""Everything a record says about curvature, measured stage by stage, so that it can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sambench.curvature.batch_spectrum import Definition, batch_spectrum, weight_noise
from sambench.curvature.batches import Batch, Loss
from sambench.curvature.lanczos import eigenvalues
from sambench.curvature.objective import BatchNorm
from sambench.curvature.operator import HessianOperator
from sambench.curvature.result import BatchValues, Eigenpairs
from sambench.curvature.section import budget_notes, describe_spectrum, describe_top, describe_trace
from sambench.curvature.trace import trace
from sambench.curvature.vectors import Stop, dot, norm

Progress = Callable[[str, int, int], None]
Journal = MutableMapping[str, Any]

SHARES = {"top eigenvalue": 0.4, "trace": 0.6, "batches": 0.85}
"""Of the minutes, what may be spent by the end of a stage; the rest is for what comes after."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and how well.

    Attributes:
        tol: Relative width asked of an eigenvalue's interval.
        trace_tol: Relative half width asked of the trace's 95 % interval.
        max_matvecs: Most products for the eigenvalues, for the trace, and for each batch.
        minutes: Most minutes for all of it, None for as long as it takes.
        seed: Of start vectors, probes and noise.
        k: How many of the most positive eigenvalues.
        batch_stat: What is measured of each batch, or "none".
        batches: How many of the batches, None for all.
        perturbations: Measurements of each batch under weight noise, in place of one without.
        sigma: The noise, beside the norm of each filter.
        batch_norm: What batch normalisation normalises by.
        l2: Weight of a penalty l2/2 |w|² on the loss.
        adaptive: Also of DHD, D = diag |w|.
        per_layer: Also of each layer's diagonal block.
    """

    tol: float = 1e-2
    trace_tol: float = 0.05
    max_matvecs: int = 100
    minutes: float | None = None
    seed: int = 0
    k: int = 1
    batch_stat: Definition | Literal["none"] = "dominant"
    batches: int | None = None
    perturbations: int = 0
    sigma: float = 0.01
    batch_norm: BatchNorm = "eval"
    l2: float = 0.0
    adaptive: bool = False
    per_layer: bool = False


def measure(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    plan: Plan,
    *,
    journal: Journal | None = None,
    on_progress: Progress = lambda what, done, most: None,
) -> dict[str, Any]:
    """Measure what the plan says of the Hessian of a model's mean loss.

    Args:
        model: The network; left as it is.
        loss: A mean over samples.
        batches: Pairs (inputs, targets), cut as in training.
        plan: What is measured.
        journal: Takes each finished stage, and each finished batch, as plain values; what it holds
            already, of the same model, data and plan, is not measured again.
        on_progress: Told the stage, what is done of it and the most it may take.

    Returns:
        The record's hessian section; matvecs are counted over all samples, those of the batches
        apart.

    Raises:
        CurvatureError: If the Hessian cannot be measured.
    """
    with HessianOperator(model, loss, batches, batch_norm=plan.batch_norm, l2=plan.l2) as H:
        work = _Work(model, H, plan, {} if journal is None else journal, on_progress)
        whole = work.stage("whole", lambda: work.extremes(H, "", plan.k))
        spectrum = {} if plan.batch_stat == "none" else work.batches()
        section = {
            "definition": spectrum.pop("definition", "none"),
            "samples": H.num_samples,
            "batches": H.num_batches,
            "batch_sizes": sorted(set(H.batch_sizes), reverse=True),
            "parameters": H.size,
            "batch_norm": plan.batch_norm,
            "hvp": "reverse",
            "derivative_error": H.derivative_error,
            "l2": plan.l2,
            "dtype": str(H.dtype).removeprefix("torch."),
            "seed": plan.seed,
            **whole,
            **spectrum,
            **({"adaptive": work.adaptive()} if plan.adaptive else {}),
            **({"layers": work.layers()} if plan.per_layer else {}),
        }
    section["seconds"] = work.seconds
    section["notes"] = budget_notes(section)
    return section


class _Work:
    """A measurement under way: its stages, its clock and its journal."""

    def __init__(
        self,
        model: nn.Module,
        H: HessianOperator,
        plan: Plan,
        journal: Journal,
        on_progress: Progress,
    ) -> None:
        self._model, self._H, self._plan = model, H, plan
        self._journal, self._on_progress = journal, on_progress
        self._start = time.perf_counter()
        self._before = float(journal.get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        """The time spent, that of interrupted sessions included."""
        return self._before + time.perf_counter() - self._start

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a stage's result, from the journal if it is there."""
        if name not in self._journal:
            self._keep(name, work())
        result: dict[str, Any] = self._journal[name]
        return dict(result)

    def _keep(self, name: str, found: object) -> None:
        """Put a result into the journal, with the time spent so far, in one write."""
        self._journal.update({"seconds": self.seconds, name: found})

    def extremes(self, H: HessianOperator, of: str, k: int = 1) -> dict[str, Any]:
        """Measure eigenvalues and trace of an operator."""
        plan, told = self._plan, f" of {of}" if of else ""
        top = eigenvalues(
            H,
            k,
            plan.tol,
            plan.max_matvecs,
            plan.seed,
            out_of_time=self._until("" if of else "top eigenvalue"),
            on_progress=self._telling(f"top eigenvalue{told}"),
        )
        total = trace(
            H,
            plan.trace_tol,
            plan.seed,
            basis=top.basis,
            max_matvecs=plan.max_matvecs,
            out_of_time=self._until("" if of else "trace"),
            on_progress=self._telling(f"trace{told}"),
        )
        return {
            "matvecs": top.matvecs + total.matvecs,
            "top": {**describe_top(top), "tol": plan.tol},
            "trace": {**describe_trace(total), "tol": plan.trace_tol},
            **(_first_order(H, top) if not of else {}),
        }

    def batches(self) -> dict[str, Any]:
        """Measure the distribution over batches; each finished batch goes into the journal."""
        plan, journal = self._plan, self._journal
        assert plan.batch_stat != "none"
        done = [BatchValues.from_dict(stored) for stored in journal.get("batches", ())]

        def keep(new: BatchValues) -> None:
            self._keep("batches", [*journal.get("batches", ()), asdict(new)])

        found = batch_spectrum(
            self._H,
            plan.trace_tol if plan.batch_stat == "trace" else plan.tol,
            plan.seed,
            definition=plan.batch_stat,
            perturbations=plan.perturbations,
            displacement=weight_noise(self._model, plan.sigma, plan.seed),
            max_matvecs=plan.max_matvecs,
            num_batches=plan.batches,
            done=done,
            on_batch=keep,
            out_of_time=self._until("batches"),
            on_progress=self._telling("batches"),
        )
        noise = {"perturbations": plan.perturbations, "sigma": plan.sigma}
        return {**describe_spectrum(found), **(noise if plan.perturbations else {})}

    def adaptive(self) -> dict[str, Any]:
        """Measure the Hessian with respect to relative changes of the weights."""
        relative = self._H.adaptive()
        return self.stage("adaptive", lambda: self.extremes(relative, "relative changes"))

    def layers(self) -> dict[str, Any]:
        """Measure each layer's diagonal block."""
        found = {}
        for layer, names in self._H.layers.items():
            block = self._H.block(names)
            measured = self.stage(f"layer {layer}", lambda b=block, n=layer: self.extremes(b, n))  # type: ignore[misc]
            found[layer] = {"parameters": block.size, **measured}
        return found

    def _until(self, stage: str) -> Stop:
        """Return a check of whether the stage has had its share of the minutes."""
        if self._plan.minutes is None:
            return lambda: False
        end = self._start + 60 * self._plan.minutes * SHARES.get(stage, 1.0)
        return lambda: time.perf_counter() >= end

    def _telling(self, what: str) -> Callable[[int, int], None]:
        return lambda done, most: self._on_progress(what, done, most)


def _first_order(H: HessianOperator, top: Eigenpairs) -> dict[str, Any]:
    """Return the loss, the length of its gradient, and how far that points along the top vector."""
    loss, gradient = H.gradient()
    length = norm(gradient)
    cosine = None if top.vectors is None or not length else _cosine(gradient, top.vectors[0])
    return {"loss": loss, "gradient_norm": length, "gradient_top_cosine": cosine}


def _cosine(gradient: Tensor, unit: Tensor) -> float:
    """Return |cos| of the angle: an eigenvector has no direction."""
    return abs(dot(gradient, unit)) / norm(gradient)
