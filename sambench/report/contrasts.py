"""Tables of a search, and of two sides set beside each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from sambench.analysis.comparison import Comparison
from sambench.analysis.grouping import label_of, telling_settings
from sambench.analysis.groups import Group, by_key, setting_text
from sambench.analysis.predictions import DeLong, McNemar
from sambench.analysis.study import Study
from sambench.analysis.units import summarize
from sambench.report.differences import HEADINGS, difference_cells, lost_units, unlike, untimed
from sambench.report.notes import legend, notes, of_equivalence, run_notes, said
from sambench.report.table import MISSING, Cell, Row, Table, counted, p_value, signed
from sambench.report.tables import printed
from sambench.store.search_record import Role, SearchRecord, TuningRecord

CONTRAST = ("Metric", "Baseline", "Candidate", "Difference or ratio", *HEADINGS[1:])
IMAGES = (
    *("Pair", "Images", "Only baseline right", "Only candidate right", "McNemar p"),
    *("AUROC difference (points)", "DeLong p"),
)


def contrast_tables(study: Study, unmatched: Sequence[str]) -> tuple[Table, ...]:
    """Return what several settings say together, a table for each, and what was not compared."""
    tables = []
    pooled = itertools.chain.from_iterable(study.pooled.values())
    pairs = by_key(pooled, lambda one: (one.candidate, one.baseline))
    for (second, first), found in pairs.items():
        lost = [f"{c.metric.heading}: {text}" for c in found for text in lost_units([c], study)]
        tables.append(
            Table(
                title=f"{second} against {first}, over {_over(study, found[0])}",
                headings=("Metric", *CONTRAST[3:]),
                rows=tuple((one.metric.title, difference_cells(one)) for one in found),
                notes=tuple(filter(None, [*lost, unlike(study, found)])),
            )
        )
    tables += [_setting_table(group) for group in study.groups]
    if not (tables or unmatched):
        unmatched = ("the two sides have no setting in common",)
    if unmatched:
        lines = tuple((reason, ()) for reason in unmatched)
        tables.append(Table(title="Not compared", headings=("Setting",), rows=lines, notes=()))
    return tuple(tables)


def _over(study: Study, pooled: Comparison) -> str:
    """Say what was pooled: settings, optimizers, or both."""
    names = {str(group.lines[-1].optimizer["name"]) for group in study.groups}
    if len(names) == 1:
        return pooled.setting
    optimizers = counted(len(names), "optimizer")
    return optimizers if len(names) == pooled.settings else f"{pooled.setting} of {optimizers}"


def _setting_table(group: Group) -> Table:
    first, second = group.lines
    found = [one for compared in group.found.values() for one in compared if one.n]

    def cells(one: Comparison) -> tuple[Cell, ...]:
        both = (summarize(group, line, one.metric) for line in group.lines)
        return *(printed(cell, one.metric) for cell in both), *difference_cells(one)

    barred = [one.metric.in_text for one in found if one.barred]
    rows = [(one.metric.title, cells(one)) for one in found]
    return Table(
        title=f"{second.label} against {first.label}: {group.title}",
        headings=CONTRAST,
        rows=tuple(rows),
        notes=(
            *(legend([(title, own[:2]) for title, own in rows]) if rows else ()),
            *run_notes(group),
            *untimed(group),
            *notes("contrast", one=found[0] if found else None, barred=barred),
            *(note for one in found for note in of_equivalence([one], [group])),
        ),
    )


def predictions_table(found: Sequence[tuple[str, McNemar, DeLong | None]]) -> Table:
    """Return what two runs of each pair say of the same test images, a row for each pair."""
    rows: list[Row] = []
    for label, errors, ranking in found:
        counts = (errors.n, errors.only_baseline, errors.only_candidate)
        gap, p = (None, None) if ranking is None else (100 * ranking.difference, ranking.p)
        rows.append((label, (
            *(Cell(text=str(count), numbers={"images": count}) for count in counts),
            Cell(text=p_value(errors.p), numbers={"p": errors.p}),
            Cell(text=MISSING if gap is None else signed(gap, 1), numbers={"points": gap}),
            Cell(text=p_value(p), numbers={"p": p}),
        )))  # fmt: skip
    title, notes_below = "On the same test images", notes("same_images")
    return Table(title=title, headings=IMAGES, rows=tuple(rows), notes=notes_below)


SEARCH = (
    *("Optimizer", "Trials", "Validation accuracy as given (%)", "Best trial (%)", "Chosen"),
    *("Gradient evaluations", "Training time (s)"),
)


def search_table(found: SearchRecord, where: str) -> Table:
    """Return what a search found, a row for each optimizer and setting; `where` is its file."""
    named = [*zip(names_of(found), found.tunings, strict=True)]
    unmet = [f"{b.unmet} of {b.runs} of {n}" for n, t in named if (b := t.budget).unmet]
    edges = [f"{name} {edge}" for name, tuning in named for edge in _edges(tuning)]
    return Table(
        title=f"Search of {found.suite}",
        headings=SEARCH,
        rows=tuple((name, _cells(name, tuning)) for name, tuning in named),
        notes=notes("search", rule=rule_of(found), unmet=unmet, edges=edges, where=where),
    )


def names_of(found: SearchRecord) -> list[str]:
    """Return what the search for each optimizer and setting is called: by what tells it apart."""
    every = [Role({**tuning.optimizer, **tuning.setting}) for tuning in found.tunings]
    telling = set(telling_settings(every))
    return [label_of(role, telling, {}) for role in every]


def rule_of(found: SearchRecord) -> str:
    """Say how a search tried and chose; of validation images, the runs' own share goes first."""
    settings = [tuning.setting for tuning in found.tunings]
    shares = sorted({one.get("validation") or found.search.validation for one in settings})
    own = any(one.get("split") == "authors" for one in settings)
    return said("rule", search=found.search, shares=shares, own=own)


def searches_left(found: SearchRecord, suite: str) -> tuple[str, ...]:
    """Say which searches are not done, and what goes on with them; nothing where all are."""
    named = zip(names_of(found), found.tunings, strict=True)
    return notes("left", names=[name for name, t in named if t.chosen is None], suite=suite)


def chosen_text(tuning: TuningRecord) -> str:
    """Return the values that a search chose."""
    return said("chosen", tuning=tuning, text=setting_text)


def _edges(tuning: TuningRecord) -> Iterator[str]:
    """Yield the chosen numbers that are the least or the greatest tried, where one may go on."""
    scored = any(trial.validation_accuracy is not None for trial in tuning.trials)
    chosen = tuning.chosen.optimizer if tuning.chosen and scored else {}
    for key in dict.fromkeys(key for trial in tuning.trials for key in trial.values):
        found = [t.values.get(key, tuning.optimizer.get(key, 0.0)) for t in tuning.trials]
        tried = [v for v in found if isinstance(v, int | float) and not isinstance(v, bool)]
        low, high, value = min(tried, default=0), max(tried, default=0), chosen.get(key, 0.0)
        if low < high and value != 0 and value in (low, high):
            yield f"{key}={setting_text(value)} ({'greatest' if value == high else 'least'})"


def _cells(name: str, tuning: TuningRecord) -> tuple[Cell, ...]:
    trials, budget = tuning.trials, tuning.budget
    scores = [t.validation_accuracy for t in trials if t.validation_accuracy is not None]
    given = trials[0].validation_accuracy if trials else None
    best = max(scores) if tuning.chosen is not None and scores else None
    return (
        _number(len(scores), f"{{:.0f}} of {len(trials)}"),
        *(_number(None if score is None else 100 * score, "{:.1f}") for score in (given, best)),
        Cell(text=chosen_text(tuning), source=f"search/{name}"),
        _number(budget.gradient_evaluations, "{:.0f}"),
        _number(budget.train_seconds, "{:.1f}"),
    )


def _number(value: float | None, form: str) -> Cell:
    if value is None:
        return Cell(text=MISSING)
    return Cell(text=form.format(value), numbers={"value": float(value)})
