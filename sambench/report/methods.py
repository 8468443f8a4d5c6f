"""The methods text of a paper, composed from the records: every setting and version.

What differs among the runs is said with the number of runs that have each value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sambench.analysis.groups import Group
from sambench.analysis.inference import ALPHA
from sambench.analysis.study import Study
from sambench.report.document import Section
from sambench.report.table import counted
from sambench.store.record import COMPLETED, RunRecord

SCALED = {
    "unit": "scaled to [0, 1]",
    "standard": "scaled to [0, 1], then to mean 0 and SD 1 of the training images",
    "imagenet": "scaled to [0, 1], then by ImageNet's means and SDs",
    "pretrained": "scaled to [0, 1], then by the means and SDs of the model's published weights",
}
VERSIONS = ("sambench", "python", "torch", "torchvision", "timm", "numpy", "cuda")
MOST_VALUES = 8
"""Different values of a setting that are listed; the others are counted."""


def methods(study: Study) -> Section:
    """Return the methods section; it is of the completed runs where there are any."""
    runs = [record for group in study.groups for record in group.records]
    done = [record for record in runs if record.status == COMPLETED] or runs
    paragraphs = (
        _data(done),
        _models(done),
        _training(done),
        _selection(done),
        *_curvature(done),
        _statistics(study),
        _machines(done),
        _software(done),
    )
    return Section(title="Methods", paragraphs=paragraphs, items=tuple(_optimizers(study.groups)))


def said(runs: Sequence[RunRecord], value: Callable[[RunRecord], object]) -> str:
    """Return the value that all runs share, or each value with the number of runs that have it."""
    values = [found for run in runs if (found := value(run)) is not None]
    numbers: Counter[str] = Counter()
    for (_, found), number in _alike(values):
        numbers[str(found)] += number
    if len(numbers) <= 1:
        return next(iter(numbers), "not recorded")
    common = numbers.most_common(MOST_VALUES)
    text = ", ".join(f"{found} ({counted(number, 'run')})" for found, number in common)
    left = len(numbers) - len(common)
    return text + (f" and {left} more values" if left else "")


def _alike(values: Sequence[object]) -> Iterable[tuple[tuple[type, object], int]]:
    """Return each different value, beside its type, with its number."""
    try:
        return Counter(zip(map(type, values), values, strict=True)).items()
    except TypeError:  # a list or a mapping among them
        return Counter((str, str(value)) for value in values).items()


def _of(name: str) -> Callable[[RunRecord], object]:
    return lambda record: getattr(record.config, name)


def _at(section: str, key: str) -> Callable[[RunRecord], object]:
    return lambda record: (getattr(record, section) or {}).get(key)


def _data(runs: Sequence[RunRecord]) -> str:
    """Say what the images are, how they are divided, and how they enter the network."""
    by_dataset: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_dataset.setdefault(run.config.dataset, []).append(run)
    return "Data. " + " ".join(_dataset(name, found) for name, found in by_dataset.items())


def _dataset(name: str, runs: Sequence[RunRecord]) -> str:
    def sizes(record: RunRecord) -> object:
        data = record.data or {}
        if not data:
            return None
        return f"{data.get('train')} / {data.get('validation')} / {data.get('test')}"

    def classes(record: RunRecord) -> object:
        names = (record.data or {}).get("classes")
        if names is None:
            return None
        return f"{len(names)} classes" + (f" ({', '.join(names)})" if len(names) <= 12 else "")

    return (
        f"{name}: {said(runs, classes)}, {said(runs, _of('image_size'))} px, split "
        f"{said(runs, _of('split'))} (split seed {said(runs, _of('split_seed'))}"
        f"{_folds(runs)}) into training / validation / test images {said(runs, sizes)}; the test "
        f"images are read once, at the end. Pixels are {said(runs, _scaled)}; augmentation: "
        f"{said(runs, _of('augmentation'))}; share of training labels made wrong: "
        f"{said(runs, _of('label_noise'))}; disturbed test images: {said(runs, _of('shifts'))}. "
        f"Fingerprint of the prepared images: {said(runs, _fingerprint)}."
    )


def _folds(runs: Sequence[RunRecord]) -> str:
    folds = sorted({run.config.fold for run in runs if run.config.fold is not None})
    return f", folds {', '.join(map(str, folds))}" if folds else ""


def _scaled(record: RunRecord) -> object:
    return SCALED.get(record.config.normalization, record.config.normalization)


def _fingerprint(record: RunRecord) -> object:
    found = (record.data or {}).get("fingerprint")
    return None if found is None else str(found)[:16]


def _models(runs: Sequence[RunRecord]) -> str:
    by_model: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_model.setdefault(run.config.model, []).append(run)
    texts = []
    for name, found in by_model.items():
        start = said(found, lambda r: "pretrained" if r.config.pretrained else "from scratch")
        sizes = {size for run in found if (size := (run.hessian or {}).get("parameters"))}
        count = f", {' or '.join(f'{size:,}' for size in sorted(sizes))} parameters"
        texts.append(f"{name} {start}{count if sizes else ''}")
    return f"Networks. {'; '.join(texts)}."


def _training(runs: Sequence[RunRecord]) -> str:
    seeds = sorted({run.config.seed for run in runs})
    return (
        f"Training. Batches of {said(runs, _of('batch_size'))}, epochs at most "
        f"{said(runs, _of('epochs'))}, learning rate schedule "
        f"{said(runs, _of('schedule'))}, precision {said(runs, _of('precision'))}, seeds "
        f"{_ranges(seeds)} (each sets initialisation, order and augmentation, and is shared by all "
        "optimizers)."
    )


def _selection(runs: Sequence[RunRecord]) -> str:
    def stop(record: RunRecord) -> object:
        rule = record.config.stop
        return rule.rule if rule.value is None else f"{rule.rule}={rule.value:g}"

    rules = {"last": "the last weights", "best-validation": "the best weights on validation"}
    return (
        f"Stopping and selection. Stop rule {said(runs, stop)}; tested are "
        f"{said(runs, lambda r: rules.get(r.config.selection, r.config.selection))}; epochs done: "
        f"{said(runs, _at('final', 'epochs'))}."
    )


def _curvature(runs: Sequence[RunRecord]) -> Iterable[str]:
    measured = [run for run in runs if run.hessian]
    if not measured:
        return

    def asked(key: str) -> str:
        return said(measured, lambda r: ((r.hessian or {}).get("settings") or {}).get(key))

    def of(key: str) -> str:
        return said(measured, _at("hessian", key))

    yield (
        f"Curvature, of {counted(len(measured), 'run')}. The Hessian of the mean training loss "
        f"over {of('samples')} training images at the tested weights, batch "
        f"normalisation in mode {of('batch_norm')}, products by "
        f"{of('hvp')} differentiation in "
        f"{of('dtype')}, L2 penalty {of('l2')}. "
        f"Top eigenvalue by Lanczos to a relative error of {asked('tol')}; trace by "
        f"{said(measured, lambda r: ((r.hessian or {}).get('trace') or {}).get('method'))} "
        "to a relative half width of "
        f"{asked('trace_tol')} of its 95 % interval; at most "
        f"{asked('max_matvecs')} products each; seed "
        f"{of('seed')}. Median, mean and SD: "
        f"{of('definition')}, over "
        f"{of('batches')} batches. Runs that predict one class for "
        "every test image are left out of curvature."
    )


def _statistics(study: Study) -> str:
    compared = [found for found in study.every() if found.n]
    if not compared:
        return "Statistics. Cells are mean ± SD over runs; nothing was compared."
    designs = dict.fromkeys(one.design for one in compared)
    tests = "; ".join(
        f"over {design.unit}s the {design.test}, corrected by {design.correction}, 95 % intervals "
        f"by {design.interval}"
        for design in designs
    )
    return (
        f"Statistics. Each optimizer is compared with {study.title_of(compared[0].baseline)}, "
        f"{' or '.join(f'{d.unit} by {d.unit}' for d in designs)}; two-sided tests: {tests}. "
        "Curvature, times and gradient evaluations are compared on logarithms and given as "
        "geometric means and ratios. Test accuracy is the primary metric; its family is all "
        "comparisons of the report. Other metrics are secondary, each a family of its own. A "
        f"difference is called shown at corrected p < {ALPHA:g}; equivalence by two one-sided "
        "tests. Failed and diverged runs count in p at the accuracy of the largest class."
    )


def _machines(runs: Sequence[RunRecord]) -> str:
    def device(record: RunRecord) -> object:
        section = record.environment or {}
        return section.get("gpu") or section.get("cpu")

    def together(record: RunRecord) -> object:
        return (record.environment or {}).get("runs_on_device", 1)

    seconds = sum(float((run.cost or {}).get("train_seconds") or 0.0) for run in runs)
    curvature = sum(float((run.hessian or {}).get("seconds") or 0.0) for run in runs)
    return (
        f"Hardware. {said(runs, device)}, device {said(runs, _at('environment', 'device'))}, "
        f"{said(runs, _at('environment', 'threads'))} threads, runs on it at a time: "
        f"{said(runs, together)}, "
        f"{said(runs, _at('environment', 'platform'))}. Reproducible: "
        f"{said(runs, _at('environment', 'deterministic'))}. In all "
        f"{counted(len(runs), 'run')} with {seconds / 3600:.2f} h of training and "
        f"{curvature / 3600:.2f} h of curvature."
    )


def _software(runs: Sequence[RunRecord]) -> str:
    versions = ", ".join(
        f"{name} {found}"
        for name in VERSIONS
        if (found := said(runs, _at("environment", name))) != "not recorded"
    )
    return (
        f"Software. {versions or 'versions not recorded'}; commit "
        f"{said(runs, _at('environment', 'git'))}; command: {said(runs, _command)}."
    )


def _command(record: RunRecord) -> object:
    """The command that made a run, its files without the folders they lay in."""
    text = (record.environment or {}).get("command")
    if text is None:
        return None
    return " ".join(
        word.rpartition("/")[2] if word.startswith("/") else word for word in text.split()
    )


def _optimizers(groups: Sequence[Group]) -> Iterable[str]:
    """Return a line for each optimizer with all its hyperparameters, once if settings agree."""
    found: dict[str, None] = {}
    for group in groups:
        for line in group.lines:
            settings = {k: v for k, v in line.optimizer.items() if k != "name"}
            text = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
            found.setdefault(f"{line.optimizer['name']}: {text}.")
    return sorted(found)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_plain, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(numbers: Sequence[int]) -> str:
    """Write 0, 1, 2, 3, 7 as `0-3, 7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts)
