"""Where a run was done, on which images, how it ended and what it cost."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Engine(TypedDict):
    """How the steps were executed, which changes their rounding and nothing else.

    Attributes:
        captured: Whether whole steps were replayed as CUDA graphs.
        captured_reason: Why, or why not.
        compiled: Whether the network went through torch.compile.
        compiled_reason: Why, or why not.
        channels_last: Whether the network's tensors lay channels last.
        fused: Whether the base optimizer was torch's fused one.
        images: "resident" on the device, or "read" batch by batch.
    """

    captured: bool
    captured_reason: str
    compiled: bool
    compiled_reason: str
    channels_last: bool
    fused: bool
    images: str


class Environment(TypedDict):
    """Where and with what a run was done.

    Attributes:
        sambench: Version of this package.
        python: Version.
        torch: Version.
        torchvision: Version.
        timm: Version; null where it is not installed.
        numpy: Version.
        cuda: Version of CUDA; null on a CPU.
        gpu: Its name; null on a CPU.
        device: As torch names it, "cpu" or "cuda:0".
        cpu: Its name.
        threads: That torch used within an operation.
        runs_on_device: Runs of the launch that were on the device when this one began, itself
            among them; where not told, nobody counted.
        platform: Operating system and machine.
        git: Commit of the checkout, with "+changes" where files differed; null outside of one.
        command: The command line, without the path of the program.
        deterministic: "bitwise", or how far the device allows.
        engine: How the steps were executed; of runs that came to their end.
        resumed_from: Device, gpu, cpu, threads and torch of the earlier sessions of a run that was
            resumed where one of these was another.
    """

    sambench: str
    python: str
    torch: str | None
    torchvision: str | None
    timm: str | None
    numpy: str | None
    cuda: str | None
    gpu: str | None
    device: str
    cpu: str
    threads: int
    runs_on_device: NotRequired[int]
    platform: str
    git: str | None
    command: str
    deterministic: str
    engine: NotRequired[Engine]
    resumed_from: NotRequired[list[dict[str, str | int | None]]]


class Data(TypedDict):
    """Which images a run saw.

    Attributes:
        fingerprint: sha256 over the prepared dataset: pixels, labels, groups.
        classes: Names, in the order of the labels.
        train: Images trained on.
        validation: Images held out to select or stop by.
        test: Images tested on.
        split_sha256: Checksum of the stored split.
        wrong_labels: Training images with a wrong label on purpose (`label_noise`).
    """

    fingerprint: str
    classes: list[str]
    train: int
    validation: int
    test: int
    split_sha256: str
    wrong_labels: int


class Fit(TypedDict):
    """How the tested weights do on images that were trained on or held out, in evaluation mode.

    Attributes:
        loss: Mean negative log likelihood, in nats.
        accuracy: Fraction classified right.
    """

    loss: float
    accuracy: float


class Test(TypedDict):
    """How the tested weights do on the test images, which are read once.

    For two classes sensitivity, specificity, F1 and AUROC are those of class 1; for more they are
    means over classes, each against the rest.

    Attributes:
        n: Test images.
        loss: Mean negative log likelihood, in nats.
        accuracy: Fraction classified right.
        balanced_accuracy: Mean over classes of the recall.
        auroc: Area under the ROC curve; null where only one class is present.
        sensitivity: True positives among the positive; null where there are none.
        specificity: True negatives among the negative; null where there are none.
        f1: Harmonic mean of precision and sensitivity; null where undefined.
        ece: Expected calibration error, 15 bins of equal width.
        brier: Brier score, summed over classes: 0 to 2.
        majority_accuracy: Accuracy of always naming the most frequent class.
        collapsed: Every image was given the same class although several are present.
        robust: Accuracy under disturbances, where `shifts` asks for it: the family (`shifts`), the
            `severities`, for each disturbance a list of accuracies by severity, and their `mean`.
    """

    n: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    auroc: float | None
    sensitivity: float | None
    specificity: float | None
    f1: float | None
    ece: float
    brier: float
    majority_accuracy: float
    collapsed: bool
    robust: NotRequired[dict[str, str | float | list[float]]]


class Final(TypedDict):
    """What became of the weights that were tested.

    Attributes:
        epochs: Epochs trained.
        stopped_by: The stop rule that ended it, or "epochs" for the cap.
        target_met: Whether the rule's target was reached; null for rules without one.
        selection: Which weights were tested.
        selected_epoch: Theirs, counted from 1.
        train: On the training images, without augmentation.
        validation: On the validation part; null without one.
        test: On the test part.
        generalization_gap: Training accuracy less test accuracy.
    """

    epochs: int
    stopped_by: str
    target_met: bool | None
    selection: str
    selected_epoch: int
    train: Fit
    validation: Fit | None
    test: Test
    generalization_gap: float


class Cost(TypedDict):
    """What a run cost, sessions before an interruption included.

    Attributes:
        train_seconds: Training steps alone, the device synchronised, the warm-up pass left out.
        evaluation_seconds: Evaluation while and after training.
        overhead_seconds: Loading, warm-up, saving.
        steps: Updates of the weights.
        gradient_evaluations: Forward and backward passes over one mini-batch; a forward pass alone
            counts a third.
        images_per_second: Images trained on, each once a step, by the training seconds.
        peak_memory_bytes: Allocated on a GPU; resident for the whole process on a CPU.
        energy_joules: Null where it was not measured.
    """

    train_seconds: float
    evaluation_seconds: float
    overhead_seconds: float
    steps: int
    gradient_evaluations: float
    images_per_second: float | None
    peak_memory_bytes: int
    energy_joules: float | None


class Rounding(TypedDict):
    """What the arithmetic's rounding of the weights leaves of a perturbation e: d.

    Over the tensors of two or more dimensions, in one step.

    Attributes:
        precision: "tf32" or "bf16".
        changed: Share of the weights that d changes.
        cosine: Of d and e; 1 where nothing is lost.
        norm_ratio: Length of d by that of e.
    """

    precision: str
    changed: float
    cosine: float
    norm_ratio: float


class Perturbation(TypedDict):
    """What the last observed step learned of its perturbation e, on its mini-batch.

    Attributes:
        epsilon_norm: |e|, L2 over all trainable tensors.
        one_dimensional_share: Share of |e|² on tensors of one dimension: biases, norm layers.
        gradient_cosine: Of the gradients at w and at w + e.
        gradient_norm_ratio: Length of the gradient at w + e by that at w.
        sharpness: L(w + e) - L(w).
        rounding: What the precision left of e; of runs whose precision rounds the weights.
    """

    epsilon_norm: float
    one_dimensional_share: float
    gradient_cosine: float
    gradient_norm_ratio: float
    sharpness: float
    rounding: NotRequired[Rounding]
