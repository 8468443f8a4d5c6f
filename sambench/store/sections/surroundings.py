"""What lies around a run's minimum: all eigenvalues, rises of the loss, pictures of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Name, Section, about


class Measured(Section, frozen=True, kw_only=True):
    """A number with its standard error."""

    value: Annotated[float, about("The number.")]
    stderr: Annotated[
        Amount | None, about("Its standard error over independent probes; null for a single one.")
    ]


class Density(Section, frozen=True, kw_only=True):
    """The distribution of all eigenvalues, by stochastic Lanczos quadrature; curves in the file."""

    file: Annotated[
        Name, about("Beside the record: nodes, weights, smoothed density and its error.")
    ]
    samples: Annotated[Count, about("Images.")]
    batch_norm: Annotated[str, about("What batch normalisation normalised by.")]
    probes: Annotated[Count, about("Random starts.")]
    steps: Annotated[Count, about("Lanczos steps of the longest.")]
    start: Annotated[str, about("How a start is drawn.")]
    seed: Annotated[Count, about("Of the starts.")]
    reorthogonalised: Annotated[bool, about("Whether every basis fitted the memory.")]
    parameters: Annotated[Count, about("Number of eigenvalues.")]
    trace: Annotated[Measured, about("Hutchinson's estimate of the trace.")]
    mean_square: Annotated[Measured, about("Mean of the squared eigenvalues.")]
    threshold: Annotated[Amount, about('Magnitude that separates "about zero" from the rest.')]
    zero_mass: Annotated[Measured, about("Share of eigenvalues below it in magnitude.")]
    negative_mass: Annotated[Measured, about("Share of eigenvalues below its negative.")]
    resolved: Annotated[Count, about("Single eigenvalues found to 1 %.")]
    kernel_width: Annotated[Amount, about("Of the smoothing, in asinh(eigenvalue / threshold).")]
    matvecs: Annotated[Count, about("Hessian-vector products used.")]
    seconds: Annotated[Amount, about("Time it took.", unit="seconds")]


class Rise(Section, frozen=True, kw_only=True):
    """A rise of the mean loss above that of the weights themselves."""

    value: Annotated[float, about("The rise, in nats.")]
    stderr: Annotated[Amount | None, about("Over draws or batches; null where there is one.")]
    lower_bound: Annotated[
        bool, about("An ascent proves no maximum, so the worst case may be higher.")
    ]
    rho: Annotated[Amount, about("Radius of the ball, or standard deviation of the noise.")]
    loss: Annotated[float, about("At the weights themselves.", unit="nats")]
    forward_passes: Annotated[Count | Amount, about("Over all images.")]
    gradients: Annotated[Count | Amount, about("Over all images.")]
    gradient_equivalents: Annotated[Count | Amount, about("Both, a forward pass counting a third.")]


class Rises(Section, frozen=True, kw_only=True):
    """How the loss rises around the weights; each batch and draw in the file."""

    file: Annotated[Name, about("Beside the record.")]
    samples: Annotated[Count, about("Images.")]
    batch_norm: Annotated[str, about("What batch normalisation normalised by.")]
    seed: Annotated[
        Count, about("Of restarts and, with the name of the run's folder, of the noise.")
    ]
    m: Annotated[Count, about("Images over which a worst case is taken.")]
    measures: Annotated[
        dict[str, Rise], about("By definition: SAM's step, worst cases, average cases.")
    ]
    seconds: Annotated[Amount, about("Time it took.", unit="seconds")]


class Picture(Section, frozen=True, kw_only=True):
    """The loss on a line or a plane through the weights; its values in the file."""

    file: Annotated[Name, about("Beside the record.")]
    kind: Annotated[str, about("Which directions.")]
    samples: Annotated[Count, about("Images.")]
    batch_norm: Annotated[str, about("What batch normalisation normalised by.")]
    seed: Annotated[Count, about("Of the directions.")]
    points: Annotated[Count, about("Values on each axis.")]
    extent: Annotated[float, about("The axes run from -extent to extent.")]
    loss: Annotated[
        float | None, about("At the weights; null where it is not finite.", unit="nats")
    ]
    highest_loss: Annotated[float, about("The highest finite one.")]
    overflowed: Annotated[Count, about("Points whose loss is infinite.")]
    step_lengths: Annotated[list[float], about("Length of a unit step on each axis.")]
    eigenvalues: Annotated[list[float] | None, about("Of the axes, where these are eigenvectors.")]
    converged: Annotated[bool | None, about("Whether these are; null for other axes.")]
    forward_passes: Annotated[Count | Amount, about("Over all images.")]
    gradients: Annotated[Count | Amount, about("Over all images.")]
    gradient_equivalents: Annotated[Count | Amount, about("Both, a forward pass counting a third.")]
    seconds: Annotated[Amount, about("Time it took.", unit="seconds")]


class Way(Section, frozen=True, kw_only=True, rename={"with_": "with"}):
    """The loss on the segment from these weights to another run's."""

    file: Annotated[Name, about("Beside the record.")]
    with_: Annotated[str, about("The other run's name.")]
    points: Annotated[Count, about("Values on the segment.")]
    samples: Annotated[Count, about("Images.")]
    batch_norm: Annotated[
        str, about('"recalibrate" where there are running statistics, else "none".')
    ]
    distance: Annotated[Amount, about("L2, over all trainable weights.")]
    barrier: Annotated[
        float | None, about("Highest rise of the loss above the line between its ends.")
    ]
    loss: Annotated[
        list[float | None], about("At both ends, statistics measured anew.", unit="nats")
    ]
    kept_loss: Annotated[list[float | None], about("At both ends, statistics interpolated.")]
    forward_passes: Annotated[Count | Amount, about("Over all images.")]
    gradients: Annotated[Count | Amount, about("Over all images.")]
    gradient_equivalents: Annotated[Count | Amount, about("Both, a forward pass counting a third.")]
    seconds: Annotated[Amount, about("Time it took.", unit="seconds")]


class Landscape(Section, frozen=True, kw_only=True):
    """Pictures of the loss around the weights."""

    line: Annotated[Picture | UnsetType, about("Along a filter-normalised random direction.")] = (
        UNSET
    )
    plane: Annotated[Picture | UnsetType, about("On a plane of two of them.")] = UNSET
    eigenvectors: Annotated[
        Picture | UnsetType, about("On the plane of the top two eigenvectors.")
    ] = UNSET
    interpolations: Annotated[
        dict[str, Way] | UnsetType, about("Ways to other runs, by their id.")
    ] = UNSET
