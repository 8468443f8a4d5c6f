"""The curvature of a run's minimum, over batches too, and what lies around it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Fraction, Name, Section, unit

EndedBy = Literal["tolerance", "max_matvecs", "minutes", "memory", "rounding"]


class Top(Section, frozen=True, kw_only=True):
    """Extreme eigenvalues by Lanczos; some eigenvalue lies within a residual of each value."""

    value: Annotated[float, "The most positive eigenvalue."]
    residual: Annotated[Amount, "|Hv - value v|."]
    upper_bound: Annotated[
        float,
        "No eigenvalue is larger, but for a chance of 1e-6 (1e-3 where `certified` is missing).",
    ]
    values: Annotated[list[float], "The k most positive ones."]
    residuals: Annotated[list[float], "Theirs."]
    upper_bounds: Annotated[
        list[float] | UnsetType, "Of each of those eigenvalues; its value is the lower one."
    ] = UNSET
    certified: Annotated[
        list[bool] | UnsetType,
        "Of each, whether bound and value are within the tolerance of each other.",
    ] = UNSET
    lowest: Annotated[float, "The most negative eigenvalue."]
    lowest_residual: Annotated[Amount, "Its residual."]
    lowest_converged: Annotated[
        bool, "Whether it and its bound are within the tolerance, which is not waited for."
    ]
    lower_bound: Annotated[float, "No eigenvalue is smaller, at the confidence of the upper bound."]
    matvecs: Annotated[Count, "Hessian-vector products used."]
    converged: Annotated[bool, "All values are certified."]
    ended_by: Annotated[
        EndedBy, 'Why it ended; in older records "tolerance" may stand for "rounding".'
    ]
    tol: Annotated[Amount, "The relative error that was asked for."]


class Trace(Section, frozen=True, kw_only=True):
    """The trace, estimated."""

    value: Annotated[float, "The estimate."]
    stderr: Annotated[Amount, "Its standard error."]
    interval: Annotated[list[float], "Student-t 95 % confidence interval."]
    samples: Annotated[Count, "Probes."]
    method: Annotated[Literal["hutchinson", "xtrace"], '"hutchinson"; "xtrace" in older records.']
    matvecs: Annotated[Count, "Hessian-vector products used, beside those of the eigenvalues."]
    converged: Annotated[bool, "Half the interval is at most the tolerance times |value|."]
    ended_by: Annotated[EndedBy, "Why it ended."]
    tol: Annotated[Amount, "The relative half width that was asked for."]


class BatchSpectrum(Section, frozen=True, kw_only=True):
    """One or some numbers of every batch's Hessian."""

    values: Annotated[list[float], "Batch after batch."]
    residuals: Annotated[
        list[float], "Of eigenvalues |Hv - value v|, of traces the standard error, else 0."
    ]
    measured_batches: Annotated[Count, "How many were measured."]
    wanted_batches: Annotated[Count, "How many were to be."]
    batch_sizes: Annotated[list[int], "Images of each measured batch."]
    not_converged: Annotated[Count, "Batches whose value is not certified."]
    certified: Annotated[
        Count | UnsetType,
        "Batches whose value is certified, its sign too; missing in older records, where a "
        "small residual was enough.",
    ] = UNSET
    median_interval: Annotated[
        list[float] | None,
        "95 % confidence interval over batches, by order statistics; null for fewer than six.",
    ]
    mean_interval: Annotated[
        list[float] | None,
        "95 % confidence interval over batches, by Student's t, on logarithms where all are "
        "positive; null for fewer than eight, and where `one_sign` is false.",
    ]
    one_sign: Annotated[
        bool | UnsetType,
        "False where a batch's dominant eigenvalue is negative, or the other end of its "
        "spectrum at least a fifth as far from zero: another's may have the other sign. "
        "Missing in older records.",
    ] = UNSET
    converged: Annotated[bool, "All batches were measured and met the tolerance."]
    ended_by: Annotated[EndedBy, "Why it ended."]


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


class Hessian(Section, frozen=True, kw_only=True):
    """Curvature of the mean loss over some training images at the tested weights."""

    definition: Annotated[
        str, 'What the median, mean and std are of; "none" where batches were left out.'
    ]
    samples: Annotated[Count, "Training images used."]
    batches: Annotated[Count, "Batches they were cut into."]
    batch_sizes: Annotated[list[int], "Sizes that occur among them."]
    parameters: Annotated[Count, "Trainable weights: the side of the Hessian."]
    batch_norm: Annotated[str, "What batch normalisation normalised by."]
    hvp: Annotated[str, 'How products with the Hessian were made: "reverse".']
    derivative_error: Annotated[
        Amount | UnsetType | None,
        "How far a product was off a difference of gradients at most, beside its part in one "
        "tensor, in float64; null where that was not settled.",
    ] = UNSET
    product_error: Annotated[
        Amount | UnsetType,
        "How far rounding took a product, beside its length, measured on eight images: part of "
        "what decides whether a value is certified. Missing in older records.",
    ] = UNSET
    l2: Annotated[Amount, "Weight of the penalty on the loss; 0 for none."]
    dtype: Annotated[str, "Arithmetic of the network; logits and loss are in float64."]
    seed: Annotated[Count, "Of start vectors, probes and noise."]
    matvecs: Annotated[Count, "Products with the Hessian over all samples."]
    top: Annotated[Top, "Extreme eigenvalues."]
    trace: Annotated[Trace, "The trace."]
    loss: Annotated[float, "Mean over the samples, in nats.", unit("nats")]
    gradient_norm: Annotated[Amount, "L2 length of its gradient."]
    gradient_top_cosine: Annotated[
        float | None,
        "|cos| of the angle between the gradient and the top eigenvector; null where the basis "
        "was not kept.",
    ]
    batch_matvecs: Annotated[Count | UnsetType, "Products with a single batch's Hessian."] = UNSET
    median: Annotated[float | UnsetType, "Over batches."] = UNSET
    mean: Annotated[float | UnsetType, "Over batches."] = UNSET
    std: Annotated[
        Amount | UnsetType | None,
        "Sample standard deviation over batches (n - 1); null for a single value.",
    ] = UNSET
    min: Annotated[float | UnsetType, "Over batches."] = UNSET
    max: Annotated[float | UnsetType, "Over batches."] = UNSET
    fraction_negative: Annotated[Fraction | UnsetType, "Share of the values that are negative."] = (
        UNSET
    )
    batch_spectrum: Annotated[BatchSpectrum | UnsetType, "The values themselves."] = UNSET
    perturbations: Annotated[
        Count | UnsetType, "Measurements of each batch under weight noise, where there are any."
    ] = UNSET
    sigma: Annotated[Amount | UnsetType, "That noise, beside the norm of each filter."] = UNSET
    adaptive: Annotated[
        Extremes | UnsetType, "Of the Hessian with respect to relative changes of the weights."
    ] = UNSET
    layers: Annotated[dict[str, Layer] | UnsetType, "Of each layer's diagonal block, by name."] = (
        UNSET
    )
    seconds: Annotated[
        Amount, "Time it took, that of interrupted sessions included.", unit("seconds")
    ]
    notes: Annotated[
        list[str], "What a budget or a subset of the images did to the errors, in sentences."
    ]
    available_samples: Annotated[Count, "Training images there are."]
    settings: Annotated[dict[str, bool | int | float | str | None], "What was asked."]
    density: Annotated[Density | UnsetType, "Distribution of all eigenvalues."] = UNSET
    sharpness: Annotated[Rises | UnsetType, "Rises of the loss."] = UNSET
    landscape: Annotated[Landscape | UnsetType, "Pictures of the loss."] = UNSET
