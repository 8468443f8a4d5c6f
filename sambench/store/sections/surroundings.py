"""What lies around a run's minimum: all eigenvalues, rises of the loss, pictures of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Name, Section, unit


class Measured(Section, frozen=True, kw_only=True):
    """A number with its standard error."""

    value: Annotated[float, "The number."]
    stderr: Annotated[
        Amount | None, "Its standard error over independent probes; null for a single one."
    ]


class Density(Section, frozen=True, kw_only=True):
    """The distribution of all eigenvalues, by stochastic Lanczos quadrature; curves in the file."""

    file: Annotated[Name, "Beside the record: nodes, weights, smoothed density and its error."]
    samples: Annotated[Count, "Images."]
    batch_norm: Annotated[str, "What batch normalisation normalised by."]
    probes: Annotated[Count, "Random starts."]
    steps: Annotated[Count, "Lanczos steps of the longest."]
    start: Annotated[str, "How a start is drawn."]
    seed: Annotated[Count, "Of the starts."]
    reorthogonalised: Annotated[bool, "Whether every basis fitted the memory."]
    parameters: Annotated[Count, "Number of eigenvalues."]
    trace: Annotated[Measured, "Hutchinson's estimate of the trace."]
    mean_square: Annotated[Measured, "Mean of the squared eigenvalues."]
    threshold: Annotated[Amount, 'Magnitude that separates "about zero" from the rest.']
    zero_mass: Annotated[Measured, "Share of eigenvalues below it in magnitude."]
    negative_mass: Annotated[Measured, "Share of eigenvalues below its negative."]
    resolved: Annotated[Count, "Single eigenvalues found to 1 %."]
    kernel_width: Annotated[Amount, "Of the smoothing, in asinh(eigenvalue / threshold)."]
    matvecs: Annotated[Count, "Hessian-vector products used."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Rise(Section, frozen=True, kw_only=True):
    """A rise of the mean loss above that of the weights themselves."""

    value: Annotated[float, "The rise, in nats."]
    stderr: Annotated[Amount | None, "Over draws or batches; null where there is one."]
    lower_bound: Annotated[bool, "An ascent proves no maximum, so the worst case may be higher."]
    rho: Annotated[Amount, "Radius of the ball, or standard deviation of the noise."]
    loss: Annotated[float, "At the weights themselves.", unit("nats")]
    forward_passes: Annotated[Count | Amount, "Over all images."]
    gradients: Annotated[Count | Amount, "Over all images."]
    gradient_equivalents: Annotated[Count | Amount, "Both, a forward pass counting a third."]


class Rises(Section, frozen=True, kw_only=True):
    """How the loss rises around the weights; each batch and draw in the file."""

    file: Annotated[Name, "Beside the record."]
    samples: Annotated[Count, "Images."]
    batch_norm: Annotated[str, "What batch normalisation normalised by."]
    seed: Annotated[Count, "Of restarts and, with the name of the run's folder, of the noise."]
    m: Annotated[Count, "Images over which a worst case is taken."]
    measures: Annotated[dict[str, Rise], "By definition: SAM's step, worst cases, average cases."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Picture(Section, frozen=True, kw_only=True):
    """The loss on a line or a plane through the weights; its values in the file."""

    file: Annotated[Name, "Beside the record."]
    kind: Annotated[str, "Which directions."]
    samples: Annotated[Count, "Images."]
    batch_norm: Annotated[str, "What batch normalisation normalised by."]
    seed: Annotated[Count, "Of the directions."]
    points: Annotated[Count, "Values on each axis."]
    extent: Annotated[float, "The axes run from -extent to extent."]
    loss: Annotated[float | None, "At the weights; null where it is not finite.", unit("nats")]
    highest_loss: Annotated[float, "The highest finite one."]
    overflowed: Annotated[Count, "Points whose loss is infinite."]
    step_lengths: Annotated[list[float], "Length of a unit step on each axis."]
    eigenvalues: Annotated[list[float] | None, "Of the axes, where these are eigenvectors."]
    converged: Annotated[bool | None, "Whether these are; null for other axes."]
    forward_passes: Annotated[Count | Amount, "Over all images."]
    gradients: Annotated[Count | Amount, "Over all images."]
    gradient_equivalents: Annotated[Count | Amount, "Both, a forward pass counting a third."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Way(Section, frozen=True, kw_only=True, rename={"with_": "with"}):
    """The loss on the segment from these weights to another run's."""

    file: Annotated[Name, "Beside the record."]
    with_: Annotated[str, "The other run's name."]
    points: Annotated[Count, "Values on the segment."]
    samples: Annotated[Count, "Images."]
    batch_norm: Annotated[str, '"recalibrate" where there are running statistics, else "none".']
    distance: Annotated[Amount, "L2, over all trainable weights."]
    barrier: Annotated[float | None, "Highest rise of the loss above the line between its ends."]
    loss: Annotated[list[float | None], "At both ends, statistics measured anew.", unit("nats")]
    kept_loss: Annotated[list[float | None], "At both ends, statistics interpolated."]
    forward_passes: Annotated[Count | Amount, "Over all images."]
    gradients: Annotated[Count | Amount, "Over all images."]
    gradient_equivalents: Annotated[Count | Amount, "Both, a forward pass counting a third."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Landscape(Section, frozen=True, kw_only=True):
    """Pictures of the loss around the weights."""

    line: Annotated[Picture | UnsetType, "Along a filter-normalised random direction."] = UNSET
    plane: Annotated[Picture | UnsetType, "On a plane of two of them."] = UNSET
    eigenvectors: Annotated[Picture | UnsetType, "On the plane of the top two eigenvectors."] = (
        UNSET
    )
    interpolations: Annotated[dict[str, Way] | UnsetType, "Ways to other runs, by their id."] = (
        UNSET
    )
