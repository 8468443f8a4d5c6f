"""The curvature of a run's minimum, over batches too, and what lies around it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Fraction, Name, Section, Sha256, unit

Equivalents = Annotated[Count | Amount, "Both together, a forward pass counted as a third."]
EndedBy = Literal["tolerance", "max_matvecs", "minutes", "memory", "rounding"]


class Top(Section, frozen=True, kw_only=True):
    """Extreme eigenvalues by Lanczos; some eigenvalue lies within a residual of each value."""

    value: Annotated[float, "The largest eigenvalue."]
    residual: Annotated[Amount, "|Hv - value v| for its unit eigenvector v."]
    upper_bound: Annotated[float, "No eigenvalue is larger, except with a chance of 1e-6."]
    values: Annotated[list[float], "The k largest eigenvalues."]
    residuals: Annotated[list[float], "The residual of each of `values`."]
    upper_bounds: Annotated[
        list[float], "Upper bound of each of those eigenvalues; the value is its lower bound."
    ]
    certified: Annotated[
        list[bool],
        "For each of `values`, whether its bound and its value are within the tolerance of "
        "each other.",
    ]
    lowest: Annotated[float, "The most negative eigenvalue."]
    lowest_residual: Annotated[Amount, "The residual of `lowest`."]
    lowest_converged: Annotated[bool, "Whether `lowest` and its bound are within the tolerance."]
    lower_bound: Annotated[float, "No eigenvalue is smaller, at the confidence of the upper bound."]
    matvecs: Annotated[Count, "Hessian-vector products used."]
    converged: Annotated[bool, "Whether all values are certified."]
    ended_by: Annotated[EndedBy, "Why the computation ended."]
    tol: Annotated[Amount, "The relative error that was asked for."]


class Trace(Section, frozen=True, kw_only=True):
    """The trace, estimated."""

    value: Annotated[float, "The estimate."]
    stderr: Annotated[Amount, "Its standard error."]
    interval: Annotated[list[float], "Student-t 95 % confidence interval."]
    samples: Annotated[Count, "Number of random probes."]
    method: Annotated[Literal["hutchinson"], "How it was estimated."]
    matvecs: Annotated[Count, "Hessian-vector products used, besides those of the eigenvalues."]
    converged: Annotated[bool, "Whether half the interval is at most the tolerance times |value|."]
    ended_by: Annotated[EndedBy, "Why the computation ended."]
    tol: Annotated[Amount, "The relative half width that was asked for."]


class BatchSpectrum(Section, frozen=True, kw_only=True):
    """One or some numbers of every batch's Hessian."""

    values: Annotated[list[float], "The numbers of one batch after another (topk: five each)."]
    residuals: Annotated[
        list[float], "For eigenvalues |Hv - value v|, for traces the standard error, else 0."
    ]
    measured_batches: Annotated[Count, "Number of batches measured."]
    wanted_batches: Annotated[Count, "Number of batches to measure."]
    batch_sizes: Annotated[list[int], "Images of each measured batch."]
    not_converged: Annotated[Count, "Number of batches whose value is not certified."]
    certified: Annotated[Count, "Number of batches whose value is certified, its sign too."]
    median_interval: Annotated[
        list[float] | None,
        "95 % confidence interval over batches, by order statistics; null for fewer than six.",
    ]
    mean_interval: Annotated[
        list[float] | None,
        "95 % confidence interval over batches, by Student's t, on logarithms of positive values "
        "that these fit; null for fewer than eight, and where `one_sign` is false.",
    ]
    one_sign: Annotated[
        bool | UnsetType,
        "False where a batch's dominant eigenvalue is negative, or where the other end of "
        "its spectrum is at least a fifth as far from zero, so that another batch's may "
        "have the other sign. Missing in older records.",
    ] = UNSET
    converged: Annotated[bool, "Whether all batches were measured and met the tolerance."]
    ended_by: Annotated[EndedBy, "Why the computation ended."]


class Extremes(Section, frozen=True, kw_only=True):
    """Eigenvalues and trace of one operator."""

    matvecs: Annotated[Count, "Hessian-vector products of both."]
    top: Annotated[Top, "Extreme eigenvalues."]
    trace: Annotated[Trace, "The trace."]


class Layer(Extremes, frozen=True, kw_only=True):
    """Eigenvalues and trace of one layer's diagonal block."""

    parameters: Annotated[Count, "Weights of the layer."]


class Measured(Section, frozen=True, kw_only=True):
    """A number with its standard error."""

    value: Annotated[float, "The number."]
    stderr: Annotated[Amount | None, "Its standard error over independent probes; null for one."]


class Density(Section, frozen=True, kw_only=True):
    """The distribution of all eigenvalues, by stochastic Lanczos quadrature; curves in the file."""

    file: Annotated[Name, "File beside the record: nodes, weights, smoothed density, its error."]
    sha256: Annotated[Sha256 | UnsetType, "Of that file."] = UNSET
    samples: Annotated[Count, "Number of images."]
    batch_norm: Annotated[str, "Statistics that batch normalisation used."]
    probes: Annotated[Count, "Number of random starts."]
    steps: Annotated[Count, "Lanczos steps of the longest start."]
    start: Annotated[str, "How starts are drawn."]
    seed: Annotated[Count, "Seed of the starts."]
    reorthogonalised: Annotated[bool, "Whether every Lanczos basis fitted into memory."]
    parameters: Annotated[Count, "Number of eigenvalues."]
    trace: Annotated[Measured, "Hutchinson's estimate of the trace."]
    mean_square: Annotated[Measured, "Mean of the squared eigenvalues."]
    threshold: Annotated[Amount, 'Magnitude that separates "about zero" from the rest.']
    zero_mass: Annotated[Measured, "Share of eigenvalues below the threshold in magnitude."]
    negative_mass: Annotated[Measured, "Share of eigenvalues below minus the threshold."]
    resolved: Annotated[Count, "Number of single eigenvalues found to within 1 %."]
    kernel_width: Annotated[Amount, "Width of the smoothing, in asinh(eigenvalue / threshold)."]
    matvecs: Annotated[Count, "Hessian-vector products used."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Rise(Section, frozen=True, kw_only=True):
    """A rise of the mean loss above that of the weights themselves."""

    value: Annotated[float, "The rise, in nats."]
    stderr: Annotated[Amount | None, "Standard error over draws or batches; null for just one."]
    lower_bound: Annotated[bool, "Whether the rise may be higher: a search proves no maximum."]
    rho: Annotated[Amount, "Radius of the ball, or standard deviation of the noise."]
    loss: Annotated[float, "Loss at the weights themselves.", unit("nats")]
    forward_passes: Annotated[Count | Amount, "Forward passes over all images."]
    gradients: Annotated[Count | Amount, "Gradients over all images."]
    gradient_equivalents: Equivalents


class Rises(Section, frozen=True, kw_only=True):
    """How the loss rises around the weights; each batch and draw in the file."""

    file: Annotated[Name, "File beside the record with the rise of each batch and draw."]
    sha256: Annotated[Sha256 | UnsetType, "Of that file."] = UNSET
    samples: Annotated[Count, "Number of images."]
    batch_norm: Annotated[str, "Statistics that batch normalisation used."]
    seed: Annotated[Count, "Seed of restarts and, with the name of the run's folder, of the noise."]
    m: Annotated[Count, "Number of images over which each worst case is taken."]
    measures: Annotated[dict[str, Rise], "By definition: SAM's step, worst cases, average cases."]
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Picture(Section, frozen=True, kw_only=True):
    """The loss on a line or a plane through the weights; its values in the file."""

    file: Annotated[Name, "File beside the record with the values."]
    sha256: Annotated[Sha256 | UnsetType, "Of that file."] = UNSET
    kind: Annotated[str, "Which directions the axes have."]
    samples: Annotated[Count, "Number of images."]
    batch_norm: Annotated[str, "Statistics that batch normalisation used."]
    seed: Annotated[Count, "Seed of the directions."]
    points: Annotated[Count, "Number of points on each axis."]
    extent: Annotated[float, "The axes run from minus this to this."]
    loss: Annotated[float | None, "Loss at the weights; null where it is not finite.", unit("nats")]
    highest_loss: Annotated[float, "The highest finite loss."]
    overflowed: Annotated[Count, "Number of points whose loss is infinite."]
    step_lengths: Annotated[list[float], "Length of a unit step on each axis."]
    eigenvalues: Annotated[list[float] | None, "Those of the axes, if these are eigenvectors."]
    converged: Annotated[bool | None, "Whether these eigenvalues converged; null for other axes."]
    forward_passes: Annotated[Count | Amount, "Forward passes over all images."]
    gradients: Annotated[Count | Amount, "Gradients over all images."]
    gradient_equivalents: Equivalents
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Way(Section, frozen=True, kw_only=True, rename={"with_": "with"}):
    """The loss on the segment from these weights to another run's."""

    file: Annotated[Name, "File beside the record with the values."]
    sha256: Annotated[Sha256 | UnsetType, "Of that file."] = UNSET
    with_: Annotated[str, "Name of the other run."]
    points: Annotated[Count, "Number of points on the line."]
    samples: Annotated[Count, "Number of images."]
    batch_norm: Annotated[str, '"recalibrate" where there are running statistics, else "none".']
    distance: Annotated[Amount, "L2 distance over all trainable weights."]
    barrier: Annotated[float | None, "Highest rise of the loss above the line between its ends."]
    loss: Annotated[list[float | None], "Loss at the ends, statistics measured anew.", unit("nats")]
    kept_loss: Annotated[list[float | None], "Loss at both ends, with interpolated statistics."]
    forward_passes: Annotated[Count | Amount, "Forward passes over all images."]
    gradients: Annotated[Count | Amount, "Gradients over all images."]
    gradient_equivalents: Equivalents
    seconds: Annotated[Amount, "Time it took.", unit("seconds")]


class Landscape(Section, frozen=True, kw_only=True):
    """Pictures of the loss around the weights."""

    line: Annotated[Picture | UnsetType, "Loss along a filter-normalised random direction."] = UNSET
    plane: Annotated[Picture | UnsetType, "Loss on a plane of two such directions."] = UNSET
    eigenvectors: Annotated[Picture | UnsetType, "Loss on the top two eigenvectors' plane."] = UNSET
    interpolations: Annotated[
        dict[Name, Way] | UnsetType, "Loss on the lines to other runs, by their id."
    ] = UNSET


class Hessian(Section, frozen=True, kw_only=True):
    """Curvature of the mean loss over some training images at the tested weights."""

    definition: Annotated[str, 'What median, mean and std are of; "none" without batches.']
    samples: Annotated[Count, "Number of training images that it was measured on."]
    batches: Annotated[Count, "Number of batches that they were cut into."]
    batch_sizes: Annotated[list[int], "Sizes of these batches, each named once."]
    parameters: Annotated[Count, "Number of trainable weights; the Hessian has as many rows."]
    batch_norm: Annotated[str, "Statistics that batch normalisation used."]
    hvp: Annotated[str, 'How products with the Hessian were made: "reverse".']
    derivative_error: Annotated[
        Amount | UnsetType | None,
        "Largest difference between a product and a difference of gradients, relative to "
        "its part in one tensor, in float64; null where that could not be settled.",
    ] = UNSET
    product_error: Annotated[
        Amount | UnsetType,
        "Error of a product by rounding, relative to its length, measured on eight images; "
        "it is part of what decides whether a value is certified. Missing in older records.",
    ] = UNSET
    l2: Annotated[Amount, "Coefficient of the L2 penalty on the loss; 0 for none."]
    dtype: Annotated[str, "Arithmetic of the network; logits and loss are in float64."]
    seed: Annotated[Count, "Seed of start vectors, probes and noise."]
    matvecs: Annotated[Count, "Products with the Hessian over all samples."]
    top: Annotated[Top, "Extreme eigenvalues."]
    trace: Annotated[Trace, "The trace."]
    loss: Annotated[float, "Mean loss over these images.", unit("nats")]
    gradient_norm: Annotated[Amount, "L2 length of its gradient."]
    gradient_top_cosine: Annotated[
        float | None,
        "|cos| of the angle between the gradient and the top eigenvector; null where no "
        "eigenvector was kept.",
    ]
    batch_matvecs: Annotated[Count | UnsetType, "Products with a single batch's Hessian."] = UNSET
    median: Annotated[float | UnsetType, "Median over batches."] = UNSET
    mean: Annotated[float | UnsetType, "Mean over batches."] = UNSET
    std: Annotated[
        Amount | UnsetType | None,
        "Sample standard deviation over batches (n - 1); null for a single value.",
    ] = UNSET
    min: Annotated[float | UnsetType, "Smallest value over batches."] = UNSET
    max: Annotated[float | UnsetType, "Largest value over batches."] = UNSET
    fraction_negative: Annotated[Fraction | UnsetType, "Share of values that are negative."] = UNSET
    batch_spectrum: Annotated[BatchSpectrum | UnsetType, "Values of the single batches."] = UNSET
    perturbations: Annotated[
        Count | UnsetType, "How often each batch was measured under weight noise, if it was."
    ] = UNSET
    sigma: Annotated[Amount | UnsetType, "That noise, relative to each filter's norm."] = UNSET
    adaptive: Annotated[
        Extremes | UnsetType,
        "Eigenvalues and trace with respect to relative changes of the weights.",
    ] = UNSET
    layers: Annotated[
        dict[str, Layer] | UnsetType,
        "Eigenvalues and trace of each layer's diagonal block, by its name.",
    ] = UNSET
    seconds: Annotated[Amount, "Duration, with that of interrupted sessions.", unit("seconds")]
    notes: Annotated[list[str], "What a limit or a subset of the images did to the errors."]
    available_samples: Annotated[Count, "Number of training images that there are."]
    settings: Annotated[dict[str, bool | int | float | str | None], "Settings of the measurement."]
    code: Annotated[
        str | UnsetType, "Version and commit of this package that measured; not in older records."
    ] = UNSET
    density: Annotated[Density | UnsetType, "Distribution of all eigenvalues."] = UNSET
    sharpness: Annotated[Rises | UnsetType, "Rises of the loss."] = UNSET
    landscape: Annotated[Landscape | UnsetType, "Pictures of the loss."] = UNSET
