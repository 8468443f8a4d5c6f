"""What lies around a run's minimum: all eigenvalues, rises of the loss, pictures of it."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Measured(TypedDict):
    """A number with its standard error.

    Attributes:
        value: The number.
        stderr: Its standard error over independent probes; null for a single one.
    """

    value: float
    stderr: float | None


class Density(TypedDict):
    """The distribution of all eigenvalues, by stochastic Lanczos quadrature; curves in the file.

    Attributes:
        file: Beside the record: nodes, weights, smoothed density and its error.
        samples: Images.
        batch_norm: What batch normalisation normalised by.
        probes: Random starts.
        steps: Lanczos steps of the longest.
        start: How a start is drawn.
        seed: Of the starts.
        reorthogonalised: Whether every basis fitted the memory.
        parameters: Number of eigenvalues.
        trace: Hutchinson's estimate of the trace.
        mean_square: Mean of the squared eigenvalues.
        threshold: Magnitude that separates "about zero" from the rest.
        zero_mass: Share of eigenvalues below it in magnitude.
        negative_mass: Share of eigenvalues below its negative.
        resolved: Single eigenvalues found to 1 %.
        kernel_width: Of the smoothing, in asinh(eigenvalue / threshold).
        matvecs: Hessian-vector products used.
        seconds: Time it took.
    """

    file: str
    samples: int
    batch_norm: str
    probes: int
    steps: int
    start: str
    seed: int
    reorthogonalised: bool
    parameters: int
    trace: Measured
    mean_square: Measured
    threshold: float
    zero_mass: Measured
    negative_mass: Measured
    resolved: int
    kernel_width: float
    matvecs: int
    seconds: float


class Rise(TypedDict):
    """A rise of the mean loss above that of the weights themselves.

    Attributes:
        value: The rise, in nats.
        stderr: Over draws or batches; null where there is one.
        lower_bound: An ascent proves no maximum, so the worst case may be higher.
        rho: Radius of the ball, or standard deviation of the noise.
        loss: At the weights themselves.
        forward_passes: Over all images.
        gradients: Over all images.
        gradient_equivalents: Both, a forward pass counting a third.
    """

    value: float
    stderr: float | None
    lower_bound: bool
    rho: float
    loss: float
    forward_passes: float
    gradients: float
    gradient_equivalents: float


class Rises(TypedDict):
    """How the loss rises around the weights; each batch and draw in the file.

    Attributes:
        file: Beside the record.
        samples: Images.
        batch_norm: What batch normalisation normalised by.
        seed: Of restarts, and, with the name of the run's folder, of the noise.
        m: Images over which a worst case is taken.
        measures: By definition: SAM's step, worst cases, average cases.
        seconds: Time it took.
    """

    file: str
    samples: int
    batch_norm: str
    seed: int
    m: int
    measures: dict[str, Rise]
    seconds: float


class Picture(TypedDict):
    """The loss on a line or a plane through the weights; its values in the file.

    Attributes:
        file: Beside the record.
        kind: Which directions.
        samples: Images.
        batch_norm: What batch normalisation normalised by.
        seed: Of the directions.
        points: Values on each axis.
        extent: The axes run from -extent to extent.
        loss: At the weights; null where it is not finite.
        highest_loss: The highest finite one.
        overflowed: Points whose loss is infinite.
        step_lengths: Length of a unit step on each axis.
        eigenvalues: Of the axes, where these are eigenvectors.
        converged: Whether these are; null for other axes.
        forward_passes: Over all images.
        gradients: Over all images.
        gradient_equivalents: Both, a forward pass counting a third.
        seconds: Time it took.
    """

    file: str
    kind: str
    samples: int
    batch_norm: str
    seed: int
    points: int
    extent: float
    loss: float | None
    highest_loss: float
    overflowed: int
    step_lengths: list[float]
    eigenvalues: list[float] | None
    converged: bool | None
    forward_passes: float
    gradients: float
    gradient_equivalents: float
    seconds: float


Way = TypedDict(
    "Way",
    {
        "file": str,
        "with": str,
        "points": int,
        "samples": int,
        "batch_norm": str,
        "distance": float,
        "barrier": float | None,
        "loss": list[float | None],
        "kept_loss": list[float | None],
        "forward_passes": float,
        "gradients": float,
        "gradient_equivalents": float,
        "seconds": float,
    },
)
Way.__doc__ = """The loss on the segment from these weights to another run's.

Attributes:
    file: Beside the record.
    with: The other run's name.
    points: Values on the segment.
    samples: Images.
    batch_norm: "recalibrate" where there are running statistics, else "none".
    distance: L2, over all trainable weights.
    barrier: Highest rise of the loss above the line between its ends.
    loss: At both ends, statistics measured anew.
    kept_loss: At both ends, statistics interpolated.
    forward_passes: Over all images.
    gradients: Over all images.
    gradient_equivalents: Both, a forward pass counting a third.
    seconds: Time it took.
"""


class Landscape(TypedDict):
    """Pictures of the loss around the weights.

    Attributes:
        line: Along a filter-normalised random direction.
        plane: On a plane of two of them.
        eigenvectors: On the plane of the top two eigenvectors.
        interpolations: Ways to other runs, by their id.
    """

    line: NotRequired[Picture]
    plane: NotRequired[Picture]
    eigenvectors: NotRequired[Picture]
    interpolations: NotRequired[dict[str, Way]]
