"""Where a run was done, on which images, how it ended and what it cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Fraction, Section, unit


class Engine(Section, frozen=True, kw_only=True):
    """How the steps were executed, which changes their rounding and nothing else."""

    captured: Annotated[bool, "Whether whole steps were replayed as CUDA graphs."]
    captured_reason: Annotated[str, "Why, or why not."]
    compiled: Annotated[bool, "Whether the network went through torch.compile."]
    compiled_reason: Annotated[str, "Why, or why not."]
    channels_last: Annotated[bool, "Whether the network's tensors lay channels last."]
    fused: Annotated[bool, "Whether the base optimizer was torch's fused one."]
    images: Annotated[str, '"resident" on the device, or "read" batch by batch.']


class Session(Section, frozen=True, kw_only=True):
    """What of the surroundings sets how sums are rounded, in an earlier session of a run."""

    device: Annotated[str, 'As torch names it, "cpu" or "cuda:0".']
    gpu: Annotated[str | None, "Its name; null on a CPU."]
    cpu: Annotated[str, "Its name."]
    threads: Annotated[Count, "That torch used within an operation."]
    torch: Annotated[str | None, "Version."]


class Environment(Session, frozen=True, kw_only=True):
    """Where and with what a run was done."""

    sambench: Annotated[str, "Version of this package."]
    python: Annotated[str, "Version."]
    torchvision: Annotated[str | None, "Version."]
    timm: Annotated[str | None, "Version; null where it is not installed."]
    numpy: Annotated[str | None, "Version."]
    cuda: Annotated[str | None, "Version of CUDA; null on a CPU."]
    runs_on_device: Annotated[
        Count | UnsetType,
        "Runs of the launch that were on the device when this one began, itself among them; "
        "where not told, nobody counted.",
    ] = UNSET
    platform: Annotated[str, "Operating system and machine."]
    git: Annotated[
        str | None,
        'Commit of the checkout, with "+changes" where files differed; null outside of one.',
    ]
    command: Annotated[str, "The command line, without the path of the program."]
    deterministic: Annotated[str, '"bitwise", or how far the device allows.']
    plugins: Annotated[
        dict[str, str] | UnsetType,
        "Files of one's own that bring the optimizer or the model: name to sha256.",
    ] = UNSET
    engine: Annotated[
        Engine | UnsetType, "How the steps were executed; of runs that came to their end."
    ] = UNSET
    resumed_from: Annotated[
        list[Session] | UnsetType,
        "Earlier sessions of a run that was resumed in other surroundings.",
    ] = UNSET


class Pixels(Section, frozen=True, kw_only=True):
    """How an image file became the network's input."""

    channels: Annotated[Count, "Of the prepared images: 1 where all are grey."]
    fit: Annotated[str, 'How an image became a square: "squash", "letterbox" or "crop".']
    depth: Annotated[
        Count,
        "Bits of grey by which 16-bit files were scaled, asked for or found; 0 where none is deep, "
        "and in sets prepared before the bits found were kept.",
    ]
    mean: Annotated[list[float], "Subtracted from pixels in [0, 1]; one, or one a channel."]
    std: Annotated[list[float], "Divided by after that; likewise."]


class Data(Section, frozen=True, kw_only=True):
    """Which images a run saw."""

    fingerprint: Annotated[
        str,
        "sha256 over the prepared dataset: pixels, labels and the order of their classes, groups.",
    ]
    classes: Annotated[list[str], "Names, in the order of the labels."]
    train: Annotated[Count, "Images trained on."]
    validation: Annotated[Count, "Images held out to select or stop by."]
    test: Annotated[Count, "Images tested on."]
    split_sha256: Annotated[str, "Checksum of the stored split."]
    wrong_labels: Annotated[Count, "Training images with a wrong label on purpose (`label_noise`)."]
    leaked: Annotated[
        Count | UnsetType,
        "Test images that share a patient or a copy with training; not in older records.",
    ] = UNSET
    set_apart: Annotated[
        Count | UnsetType,
        "Images trained on that the source sets apart for testing; not in older records.",
    ] = UNSET
    pixels: Annotated[
        Pixels | UnsetType, "How files became the network's input; not in older records."
    ] = UNSET


class Start(Section, frozen=True, kw_only=True):
    """What of a file of weights a run started from; its sha256 is `config.weights`."""

    tensors: Annotated[Count, "Of the network, counters of batch normalisation left out."]
    new: Annotated[list[str], "Those that kept their random values: the last layer."]
    unused: Annotated[list[str], "Tensors of the file that the network has no place for."]


class Fit(Section, frozen=True, kw_only=True):
    """How the tested weights do on images that were trained on or held out, in evaluation mode."""

    loss: Annotated[float, "Mean negative log likelihood, in nats.", unit("nats")]
    accuracy: Annotated[Fraction, "Fraction classified right."]


class Test(Fit, frozen=True, kw_only=True):
    """How the tested weights do on the test images, which are read once.

    For two classes sensitivity, specificity, F1 and AUROC are those of class 1; for more they are
    means over classes, each against the rest.
    """

    n: Annotated[Count, "Test images."]
    balanced_accuracy: Annotated[Fraction, "Mean over classes of the recall."]
    auroc: Annotated[
        Fraction | None, "Area under the ROC curve; null where only one class is present."
    ]
    sensitivity: Annotated[
        Fraction | None, "True positives among the positive; null where there are none."
    ]
    specificity: Annotated[
        Fraction | None, "True negatives among the negative; null where there are none."
    ]
    f1: Annotated[
        Fraction | None, "Harmonic mean of precision and sensitivity; null where undefined."
    ]
    ece: Annotated[Fraction, "Expected calibration error, 15 bins of equal width."]
    brier: Annotated[Amount, "Brier score, summed over classes: 0 to 2."]
    majority_accuracy: Annotated[Fraction, "Accuracy of always naming the most frequent class."]
    collapsed: Annotated[bool, "Every image was given the same class although several are present."]
    robust: Annotated[
        dict[str, str | float | list[int | float]] | UnsetType,
        "Accuracy under disturbances, where `shifts` asks for it: the family (`shifts`), the "
        "`severities`, for each disturbance a list of accuracies by severity, and their `mean`.",
    ] = UNSET


class Final(Section, frozen=True, kw_only=True):
    """What became of the weights that were tested."""

    epochs: Annotated[Count, "Epochs trained."]
    stopped_by: Annotated[str, 'The stop rule that ended it, or "epochs" for the cap.']
    target_met: Annotated[
        bool | None, "Whether the rule's target was reached; null for rules without one."
    ]
    selection: Annotated[str, "Which weights were tested."]
    selected_epoch: Annotated[Count, "Theirs, counted from 1."]
    train: Annotated[Fit, "On the training images, without augmentation."]
    validation: Annotated[Fit | None, "On the validation part; null without one."]
    test: Annotated[Test, "On the test part."]
    generalization_gap: Annotated[float, "Training accuracy less test accuracy."]


class Cost(Section, frozen=True, kw_only=True):
    """What a run cost, sessions before an interruption included."""

    train_seconds: Annotated[
        Amount,
        "Training steps alone, the device synchronised, the warm-up pass left out.",
        unit("seconds"),
    ]
    evaluation_seconds: Annotated[Amount, "Evaluation while and after training.", unit("seconds")]
    overhead_seconds: Annotated[Amount, "Loading, warm-up, saving.", unit("seconds")]
    steps: Annotated[Count, "Updates of the weights."]
    gradient_evaluations: Annotated[
        Count | Amount,
        "Forward and backward passes over one mini-batch; a forward pass alone counts a third.",
        unit("passes"),
    ]
    images_per_second: Annotated[
        Amount | None, "Images trained on, each once a step, by the training seconds."
    ]
    peak_memory_bytes: Annotated[
        Count, "Allocated on a GPU; resident for the whole process on a CPU.", unit("bytes")
    ]
    energy_joules: Annotated[Amount | None, "Null where it was not measured.", unit("joules")]


class Rounding(Section, frozen=True, kw_only=True):
    """What the arithmetic's rounding of the weights leaves of a perturbation e: d.

    Over the tensors of two or more dimensions, in one step.
    """

    precision: Annotated[str, '"tf32" or "bf16".']
    changed: Annotated[Fraction, "Share of the weights that d changes."]
    cosine: Annotated[float, "Of d and e; 1 where nothing is lost."]
    norm_ratio: Annotated[Amount, "Length of d by that of e."]


class Perturbation(Section, frozen=True, kw_only=True):
    """What the last observed step learned of its perturbation e, on its mini-batch."""

    epsilon_norm: Annotated[Amount, "|e|, L2 over all trainable tensors."]
    one_dimensional_share: Annotated[
        Fraction, "Share of |e|² on tensors of one dimension: biases, norm layers."
    ]
    gradient_cosine: Annotated[float, "Of the gradients at w and at w + e."]
    gradient_norm_ratio: Annotated[Amount, "Length of the gradient at w + e by that at w."]
    sharpness: Annotated[float, "L(w + e) - L(w)."]
    rounding: Annotated[
        Rounding | UnsetType,
        "What the precision left of e; of runs whose precision rounds the weights.",
    ] = UNSET
