"""Studies of a minimum beyond its eigenvalues: spectral density, sharpness, loss landscape.

Each writes its arrays into the run's folder and returns what the record's hessian section says.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sambench import curvature
from sambench.config.curvature_settings import (
    DENSITY,
    INTERPOLATIONS,
    LANDSCAPE,
    SHARPNESS,
    Section,
    Studies,
)
from sambench.config.run_config import RunConfig
from sambench.curvature.evaluation import Batch, Loss
from sambench.curvature.surface import Cost
from sambench.files.arrays import PartialRows, write_arrays
from sambench.training.clock import awake_time

Progress = Callable[[str, int, int], None]
"""Told the stage, what is done of it and the most it may take."""


class OutOfTime(Exception):
    """The minutes are over; what is finished is kept."""


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """A run's network at its minimum, looked at with a fixed part of its training data."""

    model: nn.Module
    loss: Loss
    batches: Sequence[Batch]
    available: int  # how many training images there are
    folder: Path  # the run's, where arrays are written
    settings: Studies  # of what lies around
    on_progress: Progress
    end: float  # of the time, as `awake_time` tells it

    @property
    def on(self) -> tuple[nn.Module, Loss, Sequence[Batch]]:
        """What every function of the curvature package takes first."""
        return self.model, self.loss, self.batches

    @property
    def samples(self) -> int:
        """How many are looked at."""
        return sum(len(inputs) for inputs, _ in self.batches)

    def fingerprint(self) -> str:
        """Return a hash of weights and inputs."""
        return _fingerprint((*self.model.state_dict().values(), *(x for x, _ in self.batches)))

    def check_time(self) -> None:
        """Raise an OutOfTime if it is over."""
        if awake_time() >= self.end:
            raise OutOfTime

    def study(self, names: Iterable[str]) -> Iterator[Section]:
        """Do the named studies and pictures one after the other (see `Studies.missing`).

        Yields after each what it adds to the record's hessian section. A model that cannot be
        studied, or a folder of the run that cannot be written, is a UserError; time that is over
        before all is done an OutOfTime. Finished rows are kept.
        """
        studies = {DENSITY: self._density, SHARPNESS: self._sharpness}
        for place, name in enumerate(names):
            if place:  # however short the time, every call gets something done
                self.check_time()
            start = awake_time()
            found = studies[name]() if name in studies else self._picture(name)
            found |= {"samples": self.samples, **named(self.settings, "batch_norm", "seed")}
            found["seconds"] = found.get("seconds", 0.0) + awake_time() - start
            yield {name: found} if name in studies else {LANDSCAPE: {name: found}}

    def _density(self) -> Section:
        settings = self.settings
        with curvature.HessianOperator(*self.on, batch_norm=settings.batch_norm) as H:
            given = (settings.probes, settings.steps, settings.seed)
            found = curvature.density(H, *given, on_progress=partial(self.on_progress, "density"))
        kept = ("resolved", "resolved_residuals", "grid", "density", "density_stderr", "scale")
        arrays = {
            "probe": np.repeat(np.arange(len(found.nodes)), [len(nodes) for nodes in found.nodes]),
            "nodes": np.concatenate(found.nodes),
            "weights": np.concatenate(found.weights),
            **named(found, *kept),
        }
        return {
            "file": "density.npz",
            "sha256": write_arrays(self.folder / "density.npz", "spectral density", arrays),
            "probes": len(found.nodes),
            **named(found, "steps", "start", "reorthogonalised", "matvecs"),
            "parameters": found.size,
            "trace": {"value": found.trace, "stderr": found.trace_stderr},
            "mean_square": {"value": found.second, "stderr": found.second_stderr},
            "threshold": found.scale,
            "zero_mass": {"value": found.zero_mass, "stderr": found.zero_mass_stderr},
            "negative_mass": {"value": found.negative_mass, "stderr": found.negative_mass_stderr},
            "resolved": len(found.resolved),
            "kernel_width": found.width,
        }

    def _sharpness(self) -> Section:
        settings, on_progress = self.settings, self.on_progress
        on, seed, rho = self.on, settings.seed, settings.relative_rho
        # draws of its own for each run: those of one seed err the same way in all runs
        drawn = int(hashlib.sha256(f"{seed} {self.folder.name}".encode()).hexdigest()[:8], 16)
        modes: Any = {"batch_norm": settings.batch_norm}
        worst: Any = {**modes, "seed": seed, "on_progress": partial(on_progress, "worst case")}
        average: Any = {**modes, "seed": drawn, "on_progress": partial(on_progress, "average case")}
        measures = [
            curvature.step_sharpness(*on, settings.rho, **modes),
            curvature.worst_case_sharpness(*on, settings.rho, **worst),
            curvature.worst_case_sharpness(*on, rho, ball="adaptive-l2", **worst),
            curvature.average_sharpness(*on, settings.noise, **average),
            curvature.average_sharpness(*on, settings.relative_noise, adaptive=True, **average),
        ]
        samples = {measure.definition: np.array(measure.samples) for measure in measures}
        return {
            "file": "sharpness.npz",
            "sha256": write_arrays(self.folder / "sharpness.npz", "sharpness", samples),
            "m": max(measures[1].batch_sizes),
            "measures": {
                measure.definition: {
                    **named(measure, "value", "stderr", "rho", "loss"),
                    "lower_bound": measure.is_lower_bound,
                    **_cost_section(measure.cost),
                }
                for measure in measures
            },
        }

    def _picture(self, name: str) -> Section:
        """Compute the line, the plane or the plane of eigenvectors."""
        settings = self.settings
        draw: Callable[..., curvature.Landscape] = curvature.eigenvector_plane
        if name != "eigenvectors":
            draw = partial(curvature.random_landscape, dimensions=1 if name == "line" else 2)
        file = f"landscape-{name}.npz"
        with self._partial(file, name) as rows:
            found = draw(
                *self.on,
                points=2 * settings.points - 1 if name == "line" else settings.points,
                seed=settings.seed,
                batch_norm=settings.batch_norm,
                rows=rows,
                on_progress=partial(self.on_progress, f"landscape, {name}"),
            )
            axes = dict(zip("xy", found.coordinates, strict=False))
            arrays = {**axes, "loss": found.loss, "accuracy": found.accuracy}
            sha256 = write_arrays(self.folder / file, found.kind, arrays)
        return {
            "file": file,
            "sha256": sha256,
            "kind": found.kind,
            "points": len(found.coordinates[0]),
            "extent": float(found.coordinates[0][-1]),
            "loss": _finite(found.center_loss),
            "highest_loss": float(found.loss[np.isfinite(found.loss)].max(initial=0.0)),
            "overflowed": int(np.isinf(found.loss).sum()),
            "step_lengths": list(found.lengths),
            "eigenvalues": list(found.eigenvalues) or None,
            "converged": found.eigenvalues_converged,
            **_cost_section(found.cost),
            "seconds": rows.seconds_before,
        }

    def interpolation(self, other: RunConfig, weights: Mapping[str, Tensor]) -> Section:
        """Look at the segment to another run's weights, of the same model.

        Returns what it adds to the record's hessian section; raises as `study`.
        """
        start, file = awake_time(), f"interpolation-{other.id}.npz"
        with self._partial(file, _fingerprint(weights.values())) as rows:
            found = curvature.interpolation(
                *(self.model, weights, self.loss, self.batches),
                points=self.settings.points + 4,
                rows=rows,
                on_progress=partial(self.on_progress, f"interpolation to {other.name}"),
            )
            arrays = named(found, "alphas", "loss", "accuracy", "kept_loss", "kept_accuracy")
            sha256 = write_arrays(self.folder / file, "interpolation", arrays)
        way = {
            "file": file,
            "sha256": sha256,
            "with": other.name,
            "points": len(found.alphas),
            "samples": self.samples,
            "batch_norm": "recalibrate" if found.has_statistics else "none",
            "distance": found.distance,
            "barrier": _finite(found.barrier),
            "loss": [_finite(found.loss[0]), _finite(found.loss[-1])],
            "kept_loss": [_finite(found.kept_loss[0]), _finite(found.kept_loss[-1])],
            **_cost_section(found.cost),
            "seconds": rows.seconds_before + awake_time() - start,
        }
        return {LANDSCAPE: {INTERPOLATIONS: {other.id: way}}}

    @contextmanager
    def _partial(self, file: str, what: str) -> Iterator[PartialRows]:
        """Keep finished rows beside `file`, for as long as it is not written itself."""
        settled = [self.settings.points, self.settings.seed, self.settings.batch_norm]
        grid = json.dumps([what, self.fingerprint(), *settled])
        path = self.folder / file.replace(".npz", ".partial.npz")
        rows = PartialRows(path, grid, on_kept=self.check_time, clock=awake_time)
        yield rows
        rows.discard()


def named(found: object, *names: str) -> Section:
    """Return what a result has under these names, as JSON has it."""
    values = ((name, getattr(found, name)) for name in names)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def _fingerprint(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _cost_section(cost: Cost) -> Section:
    return {**asdict(cost), "gradient_equivalents": cost.gradient_equivalents}


def _finite(value: float) -> float | None:
    """Return the number, or None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None
