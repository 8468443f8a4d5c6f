"""The methods text of a paper, composed from the records: every setting and version.

What differs among the runs is said with the number of runs that have each value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter

from sambench.analysis.groups import Group, Line, by_key, setting_text
from sambench.analysis.inference import ALPHA
from sambench.analysis.metrics import find_metric, values_at
from sambench.analysis.study import Study
from sambench.analysis.troubles import doubts
from sambench.analysis.units import device_of
from sambench.report.contrasts import rule_of
from sambench.report.notes import schedule_of, start_of, unusual_settings
from sambench.report.table import Section, counted, isolated, listed
from sambench.report.wording import paragraphs
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.search_record import SearchRecord

VERSIONS = ("sambench", "python", "torch", "torchvision", "timm", "numpy", "cuda")
MOST_VALUES, MOST_CLASSES = 8, 12
"""Different values of a setting, and classes, that are listed; of more the number is given."""
UNKNOWN = "not recorded"
SELECTED = {"last": "the last weights", "best-validation": "the best weights on validation"}
PARTS = ("train", "validation", "test")


def methods(study: Study, search: SearchRecord | None = None) -> Section:
    """Return the methods section, of the completed runs where there are any, and of a search."""
    runs = [record for group in study.groups for record in group.records]
    done = [record for record in runs if record.status == COMPLETED] or runs
    measured = [record for record in done if record.hessian]
    compared = [found for found in study.every() if found.n]
    datasets, models = (by_key(done, attrgetter(f"config.{name}")) for name in ("dataset", "model"))
    return Section(
        title="Methods",
        paragraphs=paragraphs(
            "methods.md",
            "methods",
            datasets=[(name, partial(_of, own), doubts(own),
                       sorted({f for r in own if (f := r.config.fold) is not None}))
                      for name, own in datasets.items()],
            networks=[(name, partial(_of, own), _sizes(own)) for name, own in models.items()],
            of=partial(_of, done),
            seeds=_ranges(sorted({run.config.seed for run in done})),
            rule=rule_of(search) if search else "",
            budgets=[tuning.budget for tuning in search.tunings] if search else (),
            measured=len(measured),
            of_measured=partial(_of, measured),
            baseline=study.title_of(compared[0].baseline) if compared else "",
            designs=list(dict.fromkeys(one.design for one in compared)),
            primary=find_metric(study.primary).heading,
            alpha=ALPHA,
            runs=len(done),
            training=sum(float((run.cost or {}).get("train_seconds") or 0.0) for run in done),
            curvature=sum(float((run.hessian or {}).get("seconds") or 0.0) for run in done),
            versions=_versions(done),
        ),
        items=tuple(sorted(_optimizers(study.groups))),
    )  # fmt: skip


def said(values: Iterable[object], **words: str) -> str:
    """Return the value that all runs share, or each value with the number of runs that have it.

    For the values that they name, `words` stand.
    """
    numbers = Counter[str]()
    for value, number in Counter(map(str, (v for v in values if v is not None))).items():
        numbers[words.get(value, value)] += number
    if len(numbers) <= 1:
        return next(iter(numbers), UNKNOWN)
    common = numbers.most_common(MOST_VALUES)
    text = ", ".join(f"{found} ({counted(number, 'run')})" for found, number in common)
    left = len(numbers) - len(common)
    return text + (f" and {left} more values" if left else "")


def _of(runs: Sequence[RunRecord], name: str, **words: str) -> str:
    """Return what runs have at a place of the record, or of what `CALCULATED` names, in words."""
    found = map(CALCULATED[name], runs) if name in CALCULATED else values_at(runs, name)
    return said(found, **words)


def _classes(record: RunRecord) -> object:
    names = (record.data or {}).get("classes")
    if names is None:
        return None
    listed = f" ({', '.join(map(isolated, names))})" if len(names) <= MOST_CLASSES else ""
    positive = f", {isolated(names[1])} the positive one" if len(names) == 2 else ""
    return f"{len(names)} classes{listed}{positive}"


def _command(record: RunRecord) -> object:
    """The command that made a run, its files without the folders they lay in."""
    text = (record.environment or {}).get("command")
    if text is None:
        return None
    return " ".join(
        word.rpartition("/")[2] if word.startswith("/") else word for word in text.split()
    )


CALCULATED: Mapping[str, Callable[[RunRecord], object]] = {
    "classes": _classes,
    "sizes": lambda r: " / ".join(str(r.data.get(part)) for part in PARTS) if r.data else None,
    "fingerprint": lambda r: ((r.data or {}).get("fingerprint") or "")[:16] or None,
    "stop": lambda r: setting_text(r.config.stop),
    "command": _command,
    "selection": lambda r: (
        SELECTED.get(r.config.selection, r.config.selection)
        + ", averaged over the steps" * (r.config.average == "ema")
    ),
    "start": lambda r: start_of(r.config),
    "further": lambda r: ", ".join(unusual_settings(r.config)),
    "schedule": lambda r: schedule_of(r.config),
    "device": lambda r: device_of(r) or None,
    "together": lambda r: (r.environment or {}).get("runs_on_device", 1),
}
"""What a text may name besides places in the record."""


def _sizes(runs: Iterable[RunRecord]) -> list[str]:
    """Return the numbers of weights of networks whose curvature was measured."""
    found = {size for run in runs if (size := (run.hessian or {}).get("parameters"))}
    return [f"{size:,}" for size in sorted(found)]


def _versions(runs: Sequence[RunRecord]) -> list[str]:
    """Return what ran, and the files of one's own that were needed, with their versions."""
    found = {name: said(values_at(runs, f"environment.{name}")) for name in VERSIONS}
    own = [(run.environment or {}).get("plugins") or {} for run in runs]
    for name in sorted({name for files in own for name in files}):
        shas = (setting_text(files[name]) for files in own if name in files)
        found[f"plug-in {name} of sha256"] = said(shas)
    return [f"{name} {one}" for name, one in found.items() if one != UNKNOWN]


def _optimizers(groups: Sequence[Group]) -> Iterable[str]:
    """Yield a line for each optimizer with all its hyperparameters, and where it has them.

    Once, and without the place, if settings agree.
    """
    told = [
        (str(line.optimizer["name"]), _hyperparameters(line), group.title)
        for group in groups
        for line in group.lines
    ]
    where, every = by_key(told, itemgetter(0, 1)), by_key(told, itemgetter(0))
    for (name, text), some in where.items():
        there, anywhere = (dict.fromkeys(title for *_, title in one) for one in (some, every[name]))
        place = "" if there == anywhere else f"; for {listed([*there], MOST_VALUES)}"
        yield f"{name}: {text}{place}."


def _hyperparameters(line: Line) -> str:
    names = dict.fromkeys(key for one in line.optimizers for key in one if key != "name")
    found = {k: sorted((o.get(k) for o in line.optimizers), key=_numbers_first) for k in names}
    values = {k: dict.fromkeys(map(setting_text, some)) for k, some in found.items()}
    settings = ", ".join(f"{key} {' or '.join(texts)}" for key, texts in values.items())
    notes = [line.role + " by fold" * (len(line.optimizers) > 1), line.default_note]
    return f"{settings} ({'; '.join(filter(None, notes))})" if any(notes) else settings


def _numbers_first(value: object) -> tuple[float, str]:
    return (value if isinstance(value, int | float) else math.inf, str(value))


def _ranges(numbers: Sequence[int]) -> str:
    """Write 0, 1, 2, 3, 7 as `0-3, 7`."""
    without_gaps = by_key(enumerate(numbers), lambda one: one[1] - one[0]).values()
    parts = [[number for _, number in part] for part in without_gaps]
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts)
