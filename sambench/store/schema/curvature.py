"""The curvature of a run's minimum: eigenvalues, trace, and their distribution over batches."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from sambench.store.schema.surroundings import Density, Landscape, Rises

EndedBy = Literal["tolerance", "max_matvecs", "minutes", "memory"]


class Top(TypedDict):
    """Extreme eigenvalues by Lanczos; some eigenvalue lies within a residual of each value.

    Attributes:
        value: The most positive eigenvalue.
        residual: |Hv - value v|.
        upper_bound: No eigenvalue is larger, but for a chance of 1e-6 (1e-3 where `certified` is
            missing).
        values: The k most positive ones.
        residuals: Theirs.
        upper_bounds: Of each of those eigenvalues; its value is the lower one.
        certified: Of each, whether bound and value are within the tolerance of each other.
        lowest: The most negative eigenvalue.
        lowest_residual: Its residual.
        lowest_converged: Whether it and its bound are within the tolerance, which is not waited
            for.
        lower_bound: No eigenvalue is smaller, at the confidence of the upper bound.
        matvecs: Hessian-vector products used.
        converged: All values are certified.
        ended_by: Why it ended.
        tol: The relative error that was asked for.
    """

    value: float
    residual: float
    upper_bound: float
    values: list[float]
    residuals: list[float]
    upper_bounds: NotRequired[list[float]]
    certified: NotRequired[list[bool]]
    lowest: float
    lowest_residual: float
    lowest_converged: bool
    lower_bound: float
    matvecs: int
    converged: bool
    ended_by: EndedBy
    tol: float


class Trace(TypedDict):
    """The trace, estimated.

    Attributes:
        value: The estimate.
        stderr: Its standard error.
        interval: Student-t 95 % confidence interval.
        samples: Probes.
        method: "hutchinson"; "xtrace" in older records.
        matvecs: Hessian-vector products used, beside those of the eigenvalues.
        converged: Half the interval is at most the tolerance times |value|.
        ended_by: Why it ended.
        tol: The relative half width that was asked for.
    """

    value: float
    stderr: float
    interval: list[float]
    samples: int
    method: Literal["hutchinson", "xtrace"]
    matvecs: int
    converged: bool
    ended_by: EndedBy
    tol: float


class BatchSpectrum(TypedDict):
    """One or some numbers of every batch's Hessian.

    Attributes:
        values: Batch after batch.
        residuals: Of eigenvalues |Hv - value v|, of traces the standard error, else 0.
        measured_batches: How many were measured.
        wanted_batches: How many were to be.
        batch_sizes: Images of each measured batch.
        not_converged: Batches whose value is not certified.
        certified: Batches whose value is certified, its sign too; missing in older records, where a
            small residual was enough.
        median_interval: 95 % confidence interval over batches, by order statistics; null for fewer
            than six.
        mean_interval: 95 % confidence interval over batches, by Student's t, on logarithms where
            all are positive; null for fewer than eight.
        converged: All batches were measured and met the tolerance.
        ended_by: Why it ended.
    """

    values: list[float]
    residuals: list[float]
    measured_batches: int
    wanted_batches: int
    batch_sizes: list[int]
    not_converged: int
    certified: NotRequired[int]
    median_interval: list[float] | None
    mean_interval: list[float] | None
    converged: bool
    ended_by: EndedBy


class Extremes(TypedDict):
    """Eigenvalues and trace of one operator.

    Attributes:
        matvecs: Hessian-vector products of both.
        top: Extreme eigenvalues.
        trace: The trace.
    """

    matvecs: int
    top: Top
    trace: Trace


class Layer(TypedDict):
    """Eigenvalues and trace of one layer's diagonal block.

    Attributes:
        parameters: Weights of the layer.
        matvecs: Hessian-vector products of both.
        top: Extreme eigenvalues.
        trace: The trace.
    """

    parameters: int
    matvecs: int
    top: Top
    trace: Trace


class Hessian(TypedDict):
    """Curvature of the mean loss over some training images at the tested weights.

    Attributes:
        definition: What the median, mean and std are of; "none" where batches were left out.
        samples: Training images used.
        available_samples: Training images there are.
        batches: Batches they were cut into.
        batch_sizes: Sizes that occur among them.
        parameters: Trainable weights: the side of the Hessian.
        batch_norm: What batch normalisation normalised by.
        hvp: How products with the Hessian were made: "reverse".
        derivative_error: How far a product was off a difference of gradients at most, beside its
            part in one tensor, in float64; null where that was not settled.
        l2: Weight of the penalty on the loss; 0 for none.
        dtype: Arithmetic of the network; logits and loss are in float64.
        seed: Of start vectors, probes and noise.
        matvecs: Products with the Hessian over all samples.
        top: Extreme eigenvalues.
        trace: The trace.
        loss: Mean over the samples, in nats.
        gradient_norm: L2 length of its gradient.
        gradient_top_cosine: |cos| of the angle between the gradient and the top eigenvector; null
            where the basis was not kept.
        batch_matvecs: Products with a single batch's Hessian.
        median: Over batches.
        mean: Over batches.
        std: Sample standard deviation over batches (n - 1); null for a single value.
        min: Over batches.
        max: Over batches.
        fraction_negative: Share of the values that are negative.
        batch_spectrum: The values themselves.
        perturbations: Measurements of each batch under weight noise, where there are any.
        sigma: That noise, beside the norm of each filter.
        adaptive: Of the Hessian with respect to relative changes of the weights.
        layers: Of each layer's diagonal block, by name.
        seconds: Time it took, that of interrupted sessions included.
        notes: What a budget or a subset of the images did to the errors, in sentences.
        settings: What was asked.
        density: Distribution of all eigenvalues.
        sharpness: Rises of the loss.
        landscape: Pictures of the loss.
    """

    definition: str
    samples: int
    available_samples: int
    batches: int
    batch_sizes: list[int]
    parameters: int
    batch_norm: str
    hvp: str
    derivative_error: NotRequired[float | None]
    l2: float
    dtype: str
    seed: int
    matvecs: int
    top: Top
    trace: Trace
    loss: float
    gradient_norm: float
    gradient_top_cosine: float | None
    batch_matvecs: NotRequired[int]
    median: NotRequired[float]
    mean: NotRequired[float]
    std: NotRequired[float | None]
    min: NotRequired[float]
    max: NotRequired[float]
    fraction_negative: NotRequired[float]
    batch_spectrum: NotRequired[BatchSpectrum]
    perturbations: NotRequired[int]
    sigma: NotRequired[float]
    adaptive: NotRequired[Extremes]
    layers: NotRequired[dict[str, Layer]]
    seconds: float
    notes: list[str]
    settings: dict[str, str | float | bool | None]
    density: NotRequired[Density]
    sharpness: NotRequired[Rises]
    landscape: NotRequired[Landscape]
