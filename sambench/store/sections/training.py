"""Where a run was done, on which images, how it ended and what it cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sambench.files.definition import Amount, Count, Fraction, Section, unit


class Engine(Section, frozen=True, kw_only=True):
    """How the steps were executed, which changes their rounding and nothing else."""

    captured: Annotated[bool, "Whether whole steps were replayed as CUDA graphs."]
    captured_reason: Annotated[str, "Why steps were captured or not."]
    compiled: Annotated[bool, "Whether the network went through torch.compile."]
    compiled_reason: Annotated[str, "Why the network was compiled or not."]
    channels_last: Annotated[bool, "Whether the network's tensors were stored channels last."]
    fused: Annotated[bool, "Whether the base optimizer was torch's fused one."]
    images: Annotated[str, '"resident" on the device, or "read" batch by batch.']


class Session(Section, frozen=True, kw_only=True):
    """What decides how sums are rounded."""

    device: Annotated[str, 'The device as torch names it: "cpu" or "cuda:0".']
    gpu: Annotated[str | None, "Name of the GPU; null on a CPU."]
    cpu: Annotated[str, "Name of the CPU."]
    threads: Annotated[Count, "Number of threads that torch used within an operation."]
    torch: Annotated[str | None, "Version of torch."]


class Earlier(Session, frozen=True, kw_only=True):
    """An earlier session of a run."""

    sambench: Annotated[str | UnsetType, "Version of this package; not in older records."] = UNSET
    git: Annotated[
        str | UnsetType | None, "Commit of the checkout, as below; not in older records."
    ] = UNSET


class Environment(Session, frozen=True, kw_only=True):
    """Where and with what a run was done."""

    sambench: Annotated[str, "Version of this package."]
    python: Annotated[str, "Version of Python."]
    torchvision: Annotated[str | None, "Version of torchvision."]
    timm: Annotated[str | None, "Version of timm; null where it is not installed."]
    numpy: Annotated[str | None, "Version of numpy."]
    cuda: Annotated[str | None, "Version of CUDA; null on a CPU."]
    runs_on_device: Annotated[
        Count, "Number of runs of the launch on the device when this one began, itself included."
    ]
    platform: Annotated[str, "Operating system and machine."]
    git: Annotated[
        str | None,
        'Commit of the checkout, with "+changes" where files differed; null outside of one.',
    ]
    command: Annotated[str, "The command line, with `sambench` in place of the program's path."]
    deterministic: Annotated[str, '"bitwise", or how far the device allows it.']
    plugins: Annotated[
        dict[str, str] | UnsetType,
        "Plug-in files that the optimizer or the model came from: sha256 by name.",
    ] = UNSET
    engine: Annotated[
        Engine | UnsetType, "How the steps were executed; only in runs that came to their end."
    ] = UNSET
    resumed_from: Annotated[
        list[Earlier] | UnsetType,
        "Earlier sessions of a run that was resumed in other surroundings or by other code.",
    ] = UNSET


class Pixels(Section, frozen=True, kw_only=True):
    """How an image file became the network's input."""

    channels: Annotated[Count, "Channels of the prepared images: 1 where all are grey, else 3."]
    fit: Annotated[str, 'How an image became a square: "squash", "letterbox" or "crop".']
    depth: Annotated[
        Count,
        "Bits by which 16-bit grey files were scaled, given or found; 0 where no file is "
        "deep, and in sets prepared before the found bits were stored.",
    ]
    mean: Annotated[list[float], "Subtracted from pixels in [0, 1]; one number, or one a channel."]
    std: Annotated[list[float], "Then divided by; one number, or one for each channel."]


class Data(Section, frozen=True, kw_only=True):
    """Which images a run saw."""

    fingerprint: Annotated[
        str,
        "sha256 over the prepared dataset: pixels, labels and the order of their classes, groups.",
    ]
    classes: Annotated[list[str], "Names of the classes, in the order of the labels."]
    train: Annotated[Count, "Number of training images."]
    validation: Annotated[Count, "Number of validation images."]
    test: Annotated[Count, "Number of test images."]
    split_sha256: Annotated[str, "Checksum of the stored split."]
    wrong_labels: Annotated[
        Count, "Number of training images that were given a wrong label on purpose (`label_noise`)."
    ]
    leaked: Annotated[
        Count | UnsetType,
        "Number of test images that share a patient or a copy with training; not in older records.",
    ] = UNSET
    set_apart: Annotated[
        Count | UnsetType,
        "Images trained on that the source sets apart for testing; not in older records.",
    ] = UNSET
    pixels: Annotated[
        Pixels | UnsetType, "How files became the network's input; not in older records."
    ] = UNSET


class Start(Section, frozen=True, kw_only=True):
    """Tensors of the file of weights that a run started from; its sha256 is `config.weights`."""

    tensors: Annotated[Count, "Tensors of the network, counters of batch normalisation apart."]
    new: Annotated[list[str], "Tensors that kept their random values: those of the last layer."]
    unused: Annotated[list[str], "Names of tensors of the file for which the network has no place."]


class Fit(Section, frozen=True, kw_only=True):
    """How the tested weights do on images that were trained on or held out, in evaluation mode."""

    loss: Annotated[float, "Mean negative log likelihood, in nats.", unit("nats")]
    accuracy: Annotated[Fraction, "Fraction classified right."]


class Test(Fit, frozen=True, kw_only=True):
    """How the tested weights do on the test images, which are read once.

    For two classes sensitivity, specificity, F1 and AUROC take the second of `data.classes` as
    positive (malignant of benign and malignant); for more classes they are means over the classes
    that have test images, each against the rest.
    """

    n: Annotated[Count, "Number of test images."]
    balanced_accuracy: Annotated[Fraction, "Mean recall over the classes."]
    auroc: Annotated[
        Fraction | None, "Area under the ROC curve; null where all images are of one class."
    ]
    sensitivity: Annotated[
        Fraction | None,
        "Share of the positive images classified as positive; null where there are none.",
    ]
    specificity: Annotated[
        Fraction | None,
        "Share of the negative images classified as negative; null where there are none.",
    ]
    f1: Annotated[Fraction | None, "Harmonic mean of precision and sensitivity; null if undefined."]
    ece: Annotated[Fraction, "Expected calibration error, 15 bins of equal width."]
    brier: Annotated[Amount, "Brier score, summed over classes: 0 to 2."]
    majority_accuracy: Annotated[Fraction, "Accuracy of always naming the most frequent class."]
    collapsed: Annotated[bool, "Whether every image was given one class, though several are there."]
    robust: Annotated[
        dict[str, str | float | list[int | float]] | UnsetType,
        "Accuracy under disturbances, where `shifts` asks for it: the family (`shifts`), the "
        "`severities`, for each disturbance a list of accuracies by severity, and their `mean`.",
    ] = UNSET


class Final(Section, frozen=True, kw_only=True):
    """How training ended, and the metrics of the tested weights."""

    epochs: Annotated[Count, "Number of epochs trained; a budget may cut the last one short."]
    stopped_by: Annotated[str, 'The stop rule that ended training; "epochs" after the last epoch.']
    target_met: Annotated[bool | None, "Whether the rule's target was reached; null without one."]
    selection: Annotated[str, "Which weights were tested: last, or best-validation."]
    selected_epoch: Annotated[Count, "Epoch of the tested weights, counted from 1."]
    train: Annotated[Fit, "Fit to the training images, without augmentation."]
    validation: Annotated[Fit | None, "Fit to the validation images; null without them."]
    test: Annotated[Test, "Metrics on the test images."]
    generalization_gap: Annotated[
        Annotated[float, Meta(ge=-1, le=1)], "Training accuracy less test accuracy."
    ]


class Cost(Section, frozen=True, kw_only=True):
    """What a run cost, sessions before an interruption included."""

    train_seconds: Annotated[
        Amount,
        "Duration of the training steps alone, with the device synchronised and without the"
        " warm-up pass.",
        unit("seconds"),
    ]
    evaluation_seconds: Annotated[Amount, "Evaluation during and after training.", unit("seconds")]
    overhead_seconds: Annotated[Amount, "Duration of loading, warm-up and saving.", unit("seconds")]
    steps: Annotated[Count, "Number of training steps."]
    skipped_steps: Annotated[
        Count | UnsetType,
        "Steps among these that `skip_nonfinite` left out, as a gradient was not finite; not in "
        "older records.",
    ] = UNSET
    gradient_evaluations: Annotated[
        Count | Amount,
        "Number of forward and backward passes over one mini-batch; a forward pass alone "
        "counts as a third.",
        unit("passes"),
    ]
    images_per_second: Annotated[Amount | None, "Images of all steps divided by training seconds."]
    peak_memory_bytes: Annotated[
        Count,
        "On a GPU the most memory allocated, on a CPU the most that the process held.",
        unit("bytes"),
    ]
    energy_joules: Annotated[Amount | None, "Null where it was not measured.", unit("joules")]


class Rounding(Section, frozen=True, kw_only=True):
    """What is left of a perturbation e once the weights are rounded: d.

    Over the tensors of two or more dimensions, in one step.
    """

    precision: Annotated[str, 'The precision: "tf32" or "bf16".']
    changed: Annotated[Fraction, "Share of the weights that d changes."]
    cosine: Annotated[float, "Cosine of the angle between d and e; 1 where nothing is lost."]
    norm_ratio: Annotated[Amount, "Length of d divided by that of e."]


class Perturbation(Section, frozen=True, kw_only=True):
    """What the last observed step measured of its perturbation e, on its mini-batch."""

    epsilon_norm: Annotated[Amount, "Length of e, L2 over all trainable tensors."]
    one_dimensional_share: Annotated[
        Fraction, "Share of |e|² in tensors of one dimension: biases and normalisation layers."
    ]
    gradient_cosine: Annotated[float, "Cosine of the angle between the gradients at w and w + e."]
    gradient_norm_ratio: Annotated[Amount, "Length of the gradient at w + e divided by that at w."]
    sharpness: Annotated[float, "L(w + e) - L(w)."]
    rounding: Annotated[
        Rounding | UnsetType,
        "What the precision left of e; only in runs whose precision rounds the weights.",
    ] = UNSET
