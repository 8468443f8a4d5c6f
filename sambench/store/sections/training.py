"""Where a run was done, on which images, how it ended and what it cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from sambench.files.definition import Amount, Count, Fraction, Section, about


class Engine(Section, frozen=True, kw_only=True):
    """How the steps were executed, which changes their rounding and nothing else."""

    captured: Annotated[bool, about("Whether whole steps were replayed as CUDA graphs.")]
    captured_reason: Annotated[str, about("Why, or why not.")]
    compiled: Annotated[bool, about("Whether the network went through torch.compile.")]
    compiled_reason: Annotated[str, about("Why, or why not.")]
    channels_last: Annotated[bool, about("Whether the network's tensors lay channels last.")]
    fused: Annotated[bool, about("Whether the base optimizer was torch's fused one.")]
    images: Annotated[str, about('"resident" on the device, or "read" batch by batch.')]


class Session(Section, frozen=True, kw_only=True):
    """What of the surroundings sets how sums are rounded, in an earlier session of a run."""

    device: Annotated[str, about('As torch names it, "cpu" or "cuda:0".')]
    gpu: Annotated[str | None, about("Its name; null on a CPU.")]
    cpu: Annotated[str, about("Its name.")]
    threads: Annotated[Count, about("That torch used within an operation.")]
    torch: Annotated[str | None, about("Version.")]


class Environment(Section, frozen=True, kw_only=True):
    """Where and with what a run was done."""

    sambench: Annotated[str, about("Version of this package.")]
    python: Annotated[str, about("Version.")]
    torch: Annotated[str | None, about("Version.")]
    torchvision: Annotated[str | None, about("Version.")]
    timm: Annotated[str | None, about("Version; null where it is not installed.")]
    numpy: Annotated[str | None, about("Version.")]
    cuda: Annotated[str | None, about("Version of CUDA; null on a CPU.")]
    gpu: Annotated[str | None, about("Its name; null on a CPU.")]
    device: Annotated[str, about('As torch names it, "cpu" or "cuda:0".')]
    cpu: Annotated[str, about("Its name.")]
    threads: Annotated[Count, about("That torch used within an operation.")]
    runs_on_device: Annotated[
        Count | UnsetType,
        about(
            "Runs of the launch that were on the device when this one began, itself among them; "
            "where not told, nobody counted."
        ),
    ] = UNSET
    platform: Annotated[str, about("Operating system and machine.")]
    git: Annotated[
        str | None,
        about('Commit of the checkout, with "+changes" where files differed; null outside of one.'),
    ]
    command: Annotated[str, about("The command line, without the path of the program.")]
    deterministic: Annotated[str, about('"bitwise", or how far the device allows.')]
    plugins: Annotated[
        dict[str, str] | UnsetType,
        about("Files of one's own that bring the optimizer or the model: name to sha256."),
    ] = UNSET
    engine: Annotated[
        Engine | UnsetType, about("How the steps were executed; of runs that came to their end.")
    ] = UNSET
    resumed_from: Annotated[
        list[Session] | UnsetType,
        about("Earlier sessions of a run that was resumed in other surroundings."),
    ] = UNSET


class Pixels(Section, frozen=True, kw_only=True):
    """How an image file became the network's input."""

    channels: Annotated[Count, about("Of the prepared images: 1 where all are grey.")]
    fit: Annotated[str, about('How an image became a square: "squash", "letterbox" or "crop".')]
    depth: Annotated[Count, about("Bits of grey in 16-bit files; 0 where none is deep.")]
    mean: Annotated[list[float], about("Subtracted from pixels in [0, 1]; one, or one a channel.")]
    std: Annotated[list[float], about("Divided by after that; likewise.")]


class Data(Section, frozen=True, kw_only=True):
    """Which images a run saw."""

    fingerprint: Annotated[str, about("sha256 over the prepared dataset: pixels, labels, groups.")]
    classes: Annotated[list[str], about("Names, in the order of the labels.")]
    train: Annotated[Count, about("Images trained on.")]
    validation: Annotated[Count, about("Images held out to select or stop by.")]
    test: Annotated[Count, about("Images tested on.")]
    split_sha256: Annotated[str, about("Checksum of the stored split.")]
    wrong_labels: Annotated[
        Count, about("Training images with a wrong label on purpose (`label_noise`).")
    ]
    leaked: Annotated[
        Count | UnsetType,
        about("Test images that share a patient or a copy with training; not in older records."),
    ] = UNSET
    pixels: Annotated[
        Pixels | UnsetType, about("How files became the network's input; not in older records.")
    ] = UNSET


class Start(Section, frozen=True, kw_only=True):
    """What of a file of weights a run started from; its sha256 is `config.weights`."""

    tensors: Annotated[Count, about("Of the network, counters of batch normalisation left out.")]
    new: Annotated[list[str], about("Those that kept their random values: the last layer.")]
    unused: Annotated[list[str], about("Tensors of the file that the network has no place for.")]


class Fit(Section, frozen=True, kw_only=True):
    """How the tested weights do on images that were trained on or held out, in evaluation mode."""

    loss: Annotated[float, about("Mean negative log likelihood, in nats.", unit="nats")]
    accuracy: Annotated[Fraction, about("Fraction classified right.")]


class Test(Section, frozen=True, kw_only=True):
    """How the tested weights do on the test images, which are read once.

    For two classes sensitivity, specificity, F1 and AUROC are those of class 1; for more they are
    means over classes, each against the rest.
    """

    n: Annotated[Count, about("Test images.")]
    loss: Annotated[float, about("Mean negative log likelihood, in nats.", unit="nats")]
    accuracy: Annotated[Fraction, about("Fraction classified right.")]
    balanced_accuracy: Annotated[Fraction, about("Mean over classes of the recall.")]
    auroc: Annotated[
        Fraction | None, about("Area under the ROC curve; null where only one class is present.")
    ]
    sensitivity: Annotated[
        Fraction | None, about("True positives among the positive; null where there are none.")
    ]
    specificity: Annotated[
        Fraction | None, about("True negatives among the negative; null where there are none.")
    ]
    f1: Annotated[
        Fraction | None, about("Harmonic mean of precision and sensitivity; null where undefined.")
    ]
    ece: Annotated[Fraction, about("Expected calibration error, 15 bins of equal width.")]
    brier: Annotated[Amount, about("Brier score, summed over classes: 0 to 2.")]
    majority_accuracy: Annotated[
        Fraction, about("Accuracy of always naming the most frequent class.")
    ]
    collapsed: Annotated[
        bool, about("Every image was given the same class although several are present.")
    ]
    robust: Annotated[
        dict[str, str | float | list[int | float]] | UnsetType,
        about(
            "Accuracy under disturbances, where `shifts` asks for it: the family (`shifts`), the "
            "`severities`, for each disturbance a list of accuracies by severity, and their "
            "`mean`."
        ),
    ] = UNSET


class Final(Section, frozen=True, kw_only=True):
    """What became of the weights that were tested."""

    epochs: Annotated[Count, about("Epochs trained.")]
    stopped_by: Annotated[str, about('The stop rule that ended it, or "epochs" for the cap.')]
    target_met: Annotated[
        bool | None, about("Whether the rule's target was reached; null for rules without one.")
    ]
    selection: Annotated[str, about("Which weights were tested.")]
    selected_epoch: Annotated[Count, about("Theirs, counted from 1.")]
    train: Annotated[Fit, about("On the training images, without augmentation.")]
    validation: Annotated[Fit | None, about("On the validation part; null without one.")]
    test: Annotated[Test, about("On the test part.")]
    generalization_gap: Annotated[float, about("Training accuracy less test accuracy.")]


class Cost(Section, frozen=True, kw_only=True):
    """What a run cost, sessions before an interruption included."""

    train_seconds: Annotated[
        Amount,
        about(
            "Training steps alone, the device synchronised, the warm-up pass left out.",
            unit="seconds",
        ),
    ]
    evaluation_seconds: Annotated[
        Amount, about("Evaluation while and after training.", unit="seconds")
    ]
    overhead_seconds: Annotated[Amount, about("Loading, warm-up, saving.", unit="seconds")]
    steps: Annotated[Count, about("Updates of the weights.")]
    gradient_evaluations: Annotated[
        Count | Amount,
        about(
            "Forward and backward passes over one mini-batch; a forward pass alone counts a third.",
            unit="passes",
        ),
    ]
    images_per_second: Annotated[
        Amount | None, about("Images trained on, each once a step, by the training seconds.")
    ]
    peak_memory_bytes: Annotated[
        Count, about("Allocated on a GPU; resident for the whole process on a CPU.", unit="bytes")
    ]
    energy_joules: Annotated[Amount | None, about("Null where it was not measured.", unit="joules")]


class Rounding(Section, frozen=True, kw_only=True):
    """What the arithmetic's rounding of the weights leaves of a perturbation e: d.

    Over the tensors of two or more dimensions, in one step.
    """

    precision: Annotated[str, about('"tf32" or "bf16".')]
    changed: Annotated[Fraction, about("Share of the weights that d changes.")]
    cosine: Annotated[float, about("Of d and e; 1 where nothing is lost.")]
    norm_ratio: Annotated[Amount, about("Length of d by that of e.")]


class Perturbation(Section, frozen=True, kw_only=True):
    """What the last observed step learned of its perturbation e, on its mini-batch."""

    epsilon_norm: Annotated[Amount, about("|e|, L2 over all trainable tensors.")]
    one_dimensional_share: Annotated[
        Fraction, about("Share of |e|² on tensors of one dimension: biases, norm layers.")
    ]
    gradient_cosine: Annotated[float, about("Of the gradients at w and at w + e.")]
    gradient_norm_ratio: Annotated[Amount, about("Length of the gradient at w + e by that at w.")]
    sharpness: Annotated[float, about("L(w + e) - L(w).")]
    rounding: Annotated[
        Rounding | UnsetType,
        about("What the precision left of e; of runs whose precision rounds the weights."),
    ] = UNSET
