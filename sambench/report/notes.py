"""What stands below a table, how a report is read, what went wrong and where seeds are too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from sambench.analysis.comparison import EQUIVALENT, Comparison
from sambench.analysis.decision import coarse
from sambench.analysis.grouping import build_groups
from sambench.analysis.groups import LOST, Group, by_key, setting_text
from sambench.analysis.inference import FOLDS, SEEDS
from sambench.analysis.metrics import Metric, find_metric, values_at
from sambench.analysis.study import Study
from sambench.analysis.troubles import Trouble
from sambench.config.run_config import DEFAULTS, RunConfig
from sambench.config.suite import ReportSettings
from sambench.report.table import Row, Section, counted, isolated, points
from sambench.report.wording import paragraphs, worded
from sambench.store.record import COMPLETED, RUNNING, RunRecord
from sambench.store.search_record import Roles

said, notes = partial(worded, "notes.md"), partial(paragraphs, "notes.md")
"""Return a sentence, and several, of some facts."""

MOST_NAMES = 20
"""Runs that are named for each trouble; of more the number is given."""
SELDOM_SET = ("label_smoothing", "class_weights", "sampler", "decayed", "average", "label_noise")
"""Settings of training that are said where they are not at their default."""
OVER_BATCHES = ("median", "mean", "sd")
"""Metrics of a minimum that summarize its batches."""
OF_A_CLASS = ("sensitivity", "specificity", "f1")
"""Metrics that are of the positive class, or of the other one."""
MANY_BATCHES = 3
"""Batches from which on a median is not their mean; of fewer a reader is told."""
FAITHFUL = 0.9
"""Cosine of a perturbation with what rounding leaves of it, below which a reader is warned."""


def start_of(config: RunConfig) -> str:
    """Say what a run's weights were at first."""
    if config.weights:
        return f"from weights {setting_text(config.weights)}"
    return "pretrained" if config.pretrained else "from scratch"


def schedule_of(config: RunConfig) -> str:
    """Say how a run's learning rate changes."""
    if not config.warmup:
        return config.schedule
    return f"{config.schedule} after {counted(config.warmup, 'epoch')} of warm-up"


def unusual_settings(config: RunConfig) -> tuple[str, ...]:
    """Return what else is unusual in a run's training, as `--set` takes it."""
    values = {name: getattr(config, name) for name in SELDOM_SET}
    return tuple(f"{name}={value}" for name, value in values.items() if value != DEFAULTS[name])


def protocol(group: Group) -> str:
    """Return how the runs of a group were trained, in a sentence."""
    setting, done = group.setting, group.completed
    rates = (run.config.optimizer.get("lr") for run in group.records)
    return said(
        "protocol",
        setting=setting,
        sizes=sorted({(r.data["train"], r.data["test"]) for r in done if r.data}),
        start=start_of(setting),
        rates=sorted({float(str(rate)) for rate in rates if rate is not None}),
        schedule=schedule_of(setting),
        unusual=unusual_settings(setting),
        places=sorted({place_of(record.environment) for record in done if record.environment}),
        met=sum(bool((record.final or {}).get("target_met")) for record in done),
        done=len(done),
    )


def place_of(environment: Mapping[str, Any]) -> str:
    """Say where a run was timed: on a CPU with how many threads, and beside how many others."""
    threads, at_once = environment.get("threads"), environment.get("runs_on_device", 1)
    told = [f"{at_once} runs at once"] if at_once > 1 else []
    if threads and not environment.get("gpu"):
        told.append(f"{counted(threads, 'thread')} each")
    place = str(environment.get("gpu") or environment.get("cpu"))
    return f"{place} ({', '.join(told)})" if told else place


def legend(rows: Sequence[Row], baseline: str | None = None) -> tuple[str, ...]:
    """Return what the marks of a table mean, those alone that it has."""
    cells = [cell for _, own in rows for cell in own]
    text, bold = "".join(cell.text for cell in cells), any(cell.bold for cell in cells)
    return notes("legend", text=text, bold=bold, baseline=baseline)


def on_few_images(groups: Iterable[Group], metric: Metric) -> tuple[str, ...]:
    """Say that the test images are too few for the margin of equivalence, where they are."""
    images = coarse(groups, metric)
    return () if images is None else notes("few_images", images=images, margin=metric.margin)


def of_equivalence(found: Sequence[Comparison], groups: Iterable[Group]) -> tuple[str, ...]:
    """Say of statements by one metric that equivalence is of few images, where one says it."""
    there = [one.metric for one in found if one.verdict == EQUIVALENT and not one.metric.ratio]
    return on_few_images(groups, there[0]) if there else ()


def other_rates(group: Group) -> tuple[str, ...]:
    """Say which learning rates are not the usual one: nobody sees them in the labels."""
    there = ((run.config.optimizer.get("lr"), line) for line in group.lines for run in line.records)
    told = dict.fromkeys((float(str(rate)), line.title) for rate, line in there if rate is not None)
    by_rate = by_key(told, lambda one: one[0])
    usual_first = sorted(by_rate.items(), key=lambda found: (-len(found[1]), found[0]))
    others = [(rate, [title for _, title in found]) for rate, found in usual_first[1:]]
    return notes("other_rates", others=others)


def few_batches(group: Group, columns: Iterable[Metric]) -> tuple[str, ...]:
    """Say of measures over batches that there are one or two of these, where it is so."""
    over = [one.in_text for one in columns if one.name in OVER_BATCHES]
    found = values_at(group.completed, "hessian.batch_spectrum.measured_batches")
    most = max((number for number in found if isinstance(number, int)), default=MANY_BATCHES)
    return notes("few_batches", over=over, batches=most) if over and most < MANY_BATCHES else ()


def positive_class(group: Group, columns: Iterable[Metric]) -> tuple[str, ...]:
    """Say which class sensitivity and specificity are of, where a table has them."""
    if not group.classes or all(one.name not in OF_A_CLASS for one in columns):
        return ()
    return notes("positive", classes=[*map(isolated, group.classes)])


def run_notes(group: Group) -> Iterable[str]:
    """Return what a reader must know of single runs: which do not count, and what rounding did."""
    missing = by_key(group.records, lambda record: record.status)
    for status in sorted(missing.keys() - {COMPLETED}):
        names = [record.name for record in missing[status]]
        yield said("lost", group=group, status=status, names=names, result=status in LOST)
    yield from rounding_notes(group)


def rounding_notes(group: Group) -> Iterable[str]:
    """Yield a sentence for each optimizer whose perturbations were not those that it asked for."""
    for line in group.lines:
        seen = [r for record in line.completed if (r := (record.sharpness or {}).get("rounding"))]
        if seen and (cosine := fmean(r["cosine"] for r in seen)) < FAITHFUL:
            found = {"precision": seen[0]["precision"], "cosine": cosine}
            changed = fmean(r["changed"] for r in seen)
            yield said("rounding", group=group, line=line, changed=changed, **found)


def how_to_read(study: Study) -> tuple[str, ...]:
    """Explain each statistic of the report once: a paragraph of the template is an item."""
    found = [one for one in study.every() if one.n]
    if not found:
        return (said("uncompared"),)
    primary = min(found, key=lambda one: (one.metric.name != study.primary, one.p is None))
    used = dict.fromkeys(one.metric for one in found)  # with the suite's margins of equivalence
    return paragraphs(
        "how-to-read.md",
        "how_to_read",
        baseline=study.title_of(found[0].baseline),
        designs=dict.fromkeys(one.design for one in found if one.p is not None),
        intervals=dict.fromkeys(one.design.interval for one in found),
        margin=points(study.margin),
        margins={m.in_text: m for m in used if m.margin != find_metric(m.name).margin},
        family=primary.family,
        primary=study.primary_metric.in_text,
        heading=find_metric(study.primary).heading,
        one_test_part=any(one.design.unit == "seed" for one in found),
    )


def problems(
    found: Sequence[Trouble], damaged: Sequence[str], groups: Sequence[Group], few: Iterable[str]
) -> Section:
    """Return the last section of a report; it says so where nothing went wrong.

    `damaged` has a message for each record that is not counted, `few` the sentences of `too_few`.
    """
    items = (
        *(f"Record not counted: {message}." for message in damaged),
        *map(_trouble, found),
        *(note for group in groups for note in rounding_notes(group)),
        *few,
    )
    paragraphs = () if items else ("Nothing: every run is completed, and no measurement failed.",)
    return Section(title="What went wrong", paragraphs=paragraphs, items=items)


def planned_groups(
    configs: Iterable[RunConfig], asked: ReportSettings, roles: Roles | None = None
) -> tuple[Group, ...]:
    """Return the groups that some runs will make, done or not."""
    runs = (RunRecord(config=config, status=RUNNING) for config in configs)
    return build_groups(runs, asked.baseline, beside=asked.beside, roles=roles)


def too_few(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return a sentence for the settings whose runs can show no difference, done or not."""
    alike: dict[tuple[str, int, int], list[str]] = {}
    for group in groups:
        if len(group.lines) < 2 or not group.baseline:
            continue
        design = FOLDS if group.folds else SEEDS
        of_lines = [set(map(group.unit, line.records)) for line in group.lines]
        most = max(len(of_lines[0] & other) for other in of_lines[1:])
        if most < design.least_units:
            alike.setdefault((design.unit, most, design.least_units), []).append(group.title)
    several = len({group.network for group in groups}) >= SEEDS.least_units
    return tuple(
        said("too_few", titles=titles, unit=unit, most=most, least=least, several=several)
        for (unit, most, least), titles in alike.items()
    )


def _trouble(trouble: Trouble) -> str:
    causes = Counter(filter(None, trouble.runs.values())).most_common(5)
    return said("trouble", **trouble._asdict(), most=MOST_NAMES, causes=causes)
