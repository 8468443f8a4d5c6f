"""How runs become groups: what is alike, which images they share, how lines are called in print."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mode
from typing import Annotated

from yaml import YAMLError

from sambench.analysis.groups import REPEATS, Group, Line, by_key, repeat, setting_text
from sambench.config.run_config import EXECUTION, RunConfig
from sambench.errors import ConfigError
from sambench.files.definition import EMPTY, Definition, build
from sambench.files.yaml_text import read_yaml
from sambench.store.record import RunRecord
from sambench.store.search_record import TUNED, Role, Roles

Part = tuple[Role, RunRecord]


def build_groups(
    records: Iterable[RunRecord],
    baseline: str | None,
    planned: Sequence[RunConfig] = (),
    names: Names | None = None,
    beside: Sequence[str] = (),
    roles: Roles | None = None,
) -> tuple[Group, ...]:
    """Sort records into groups, in order of dataset, model and the values of their settings.

    Runs of other images (data prepared anew, another split, other code) are groups of their own.

    Args:
        records: Any runs.
        baseline: Name or label of the optimizer that comes first. Where several of its name differ
            in a setting, it is that of most settings, or the first (`ambiguous_baseline` says so).
        planned: Runs in the order of a suite, which the lines follow.
        names: Of display.
        beside: Settings in which lines of a group may differ; what is not usual is in the label.
        roles: What runs are compared as, by id, where a search chose values: one that it chose as
            given in some settings or folds alone is in two lines.
    """
    names = names or Names()
    planned_as = {
        _key(config, role, beside): number
        for number, config in reversed([*enumerate(planned)])
        for role in _roles(config, roles)
    }
    once = other_settings("optimizer", "seed", *beside)
    by_folds = other_settings("optimizer", *REPEATS, *beside)
    alike = by_key(records, lambda r: (once if r.config.fold is None else by_folds)(r.config))
    lined = []
    for runs in alike.values():
        told = ((role, run) for run in runs for role in _roles(run.config, roles))
        lined.append(by_key(told, lambda part: _key(part[1].config, part[0], beside)))
    common = Counter(key for lines in lined for key in lines)
    order = {key: (planned_as.get(key, len(planned)), -number) for key, number in common.items()}
    firsts = ([parts[0][0] for parts in lines.values()] for lines in lined)
    telling = {told for roles_there in firsts for told in telling_settings(roles_there)}
    made = [_group(lines, baseline or "", order, names, beside, telling) for lines in lined]
    made.sort(key=_in_order)
    parts = [part for group in made for part in _on_the_same_images(group)]
    return tuple(
        replace(group, title=title, baseline=group.lines[0].is_called(baseline or ""))
        for group, title in zip(parts, _titles(parts, names), strict=True)
    )


def _in_order(group: Group) -> tuple[object, ...]:
    """Return what groups are sorted by: batch sizes and the like as a reader expects them."""
    setting = group.setting
    values = other_settings("optimizer", "seed", "fold")(setting)
    ordered = ((v, "") if isinstance(v, int | float) else (0, setting_text(v)) for v in values)
    return (setting.dataset, setting.model, *ordered, setting.name)


def ambiguous_baseline(groups: Sequence[Group], baseline: str) -> tuple[str, ...]:
    """Return the labels that the baseline's name stands for, its own first, where several do."""
    called = [[line.label for line in g.lines if line.is_called(baseline)] for g in groups]
    several = (labels for labels in called if len(labels) > 1 and baseline not in labels)
    return tuple(dict.fromkeys(label for labels in several for label in labels))


def other_settings(*names: str) -> Callable[[RunConfig], tuple[object, ...]]:
    """Return what tells a configuration's other settings that affect its numbers."""
    left_out = {*names, *EXECUTION}
    return operator.attrgetter(*(n for n in RunConfig.__struct_fields__ if n not in left_out))


def _roles(config: RunConfig, roles: Roles | None) -> Sequence[Role]:
    return (roles and roles.get(config.id)) or (Role(config.optimizer),)


def _key(config: RunConfig, role: Role, beside: Sequence[str]) -> str:
    """What runs of one line have in common."""
    further = {name: getattr(config, name) for name in beside}
    return role.name + repr(sorted((role.given | further).items()))


def _group(
    lines: Mapping[str, Sequence[Part]],
    baseline: str,
    order: Mapping[str, tuple[int, int]],
    names: Names,
    beside: Sequence[str],
    telling: Container[tuple[object, str]],
) -> Group:
    configs = [record.config for parts in lines.values() for _, record in parts]
    usual = {name: mode(getattr(config, name) for config in configs) for name in beside}
    made = []
    for key, parts in lines.items():
        role, of_line = parts[0][0], parts[0][1].config
        unusual = {n: getattr(of_line, n) for n in beside if getattr(of_line, n) != usual[n]}
        label = label_of(role, telling, unusual)
        runs = (record for _, record in parts)
        line = Line(
            label=label,
            title=names.optimizer(label),
            optimizer=of_line.optimizer,
            role=role.name,
            records=tuple(
                sorted(runs, key=lambda r: (repeat(r)[0], r.config.seed, repeat(r)[1] or 0))
            ),
        )
        rank, rarity = order[key]
        first = line.is_called(baseline)
        before = (label != baseline, bool(unusual), role.name != TUNED, rarity) if first else ()
        made.append(((not first, *before, rank, label), line))
    titles = Counter(line.title for _, line in made)
    if twice := [title for title, times in titles.items() if times > 1]:
        called = " and ".join(line.label for _, line in made if line.title == twice[0])
        raise ConfigError(f"--names shows {called} as {twice[0]}; give each a name of its own")
    made.sort(key=operator.itemgetter(0))
    most = (c for c in configs if all(getattr(c, n) == usual[n] for n in beside))
    return Group(setting=next(most, configs[0]), lines=tuple(line for _, line in made))


def telling_settings(roles: Iterable[Role]) -> Iterator[tuple[object, str]]:
    """Yield the hyperparameters in which lines of one name and base differ, after the name."""
    optimizers = (role.given for role in roles)
    for (name, _), alike in by_key(optimizers, lambda one: (one["name"], one.get("base"))).items():
        for key in dict.fromkeys(key for one in alike for key in one):
            if any(one.get(key) != alike[0].get(key) for one in alike):
                yield name, key


def label_of(role: Role, telling: Container[object], unusual: Mapping[str, object]) -> str:
    """Name an optimizer, with what tells its namesakes apart and what is unusual in its group.

    A base other than Adam is always told: nobody would think of it.
    """
    name, base = str(role.given["name"]), role.given.get("base", "adam")
    shown = () if base in (name, "adam") else ("base",)
    told = {k: v for k, v in role.given.items() if k in shown or (name, k) in telling}
    settings = [f"{k}={setting_text(v)}" for k, v in (*told.items(), *unusual.items())]
    if role.name:  # a tuned line may have other values than it was given
        own = role.name + (f" from {settings.pop(0)}" if told and role.name == TUNED else "")
        settings.insert(0, own)
    return f"{name} ({', '.join(settings)})" if settings else name


def _on_the_same_images(group: Group) -> Iterator[Group]:
    """Part a group whose runs were not trained and tested on the same images by the same code.

    All are to have the prepared data and the code in common, with files of one's own that all need;
    those of a fold the split; those of a line its further files. Runs without data stay with most.
    """
    known = [record for record in group.records if record.data is not None]
    line_of = {id(record): line.label for line in group.lines for record in line.records}
    times = Counter(name for record in known for name in _code(record))

    def code(record: RunRecord, *, of_all: bool) -> tuple[object, ...]:
        there = _code(record).items()
        return tuple(sorted(item for item in there if (times[item[0]] == len(known)) is of_all))

    traits: tuple[Callable[[RunRecord], tuple[object, object]], ...] = (  # of what kind of runs
        lambda r: (None, (_images(r)[0], code(r, of_all=True))),
        lambda r: ((repeat(r)[:2], _images(r)[0]), _images(r)),
        lambda r: (line_of[id(r)], code(r, of_all=False)),
    )
    part: dict[int, tuple[int, ...]] = {id(record): () for record in group.records}
    for trait in traits:  # how usual a run's is among those of its kind, from 0 on
        told = {id(record): trait(record) for record in group.records}
        common = (found for found, _ in Counter(told[id(r)] for r in known).most_common())
        of_kinds = by_key(common, operator.itemgetter(0)).values()
        rank = {found: place for of_kind in of_kinds for place, found in enumerate(of_kind)}
        part = {name: (*place, rank.get(told[name], 0)) for name, place in part.items()}
    for number, place in enumerate(sorted(set(part.values())), start=1):
        own = [tuple(r for r in line.records if part[id(r)] == place) for line in group.lines]
        lines = (replace(line, records=runs) for line, runs in zip(group.lines, own, strict=True))
        yield replace(group, lines=tuple(line for line in lines if line.records), part=number)


def _images(record: RunRecord) -> tuple[object, object]:
    """What tells the training and test images of runs apart: prepared data, and their split."""
    data = record.data or {}
    return data.get("fingerprint"), data.get("split_sha256")


def _code(record: RunRecord) -> dict[str, object]:
    """What tells the code of runs apart: its numerics, and the files of one's own by name."""
    return {"": record.numerics, **((record.environment or {}).get("plugins") or {})}


def _titles(among: Sequence[Group], names: Names) -> list[str]:
    """Name each group by model and dataset, and by the settings that tell it from its namesakes."""

    def plain(group: Group) -> str:
        model = names.printed("models", group.setting.model)
        return f"{model} on {names.printed('datasets', group.setting.dataset)}"

    told = {title: iter(_told_apart(found)) for title, found in by_key(among, plain).items()}
    return [title + next(told[title]) for title in map(plain, among)]


def _told_apart(namesakes: Sequence[Group]) -> list[str]:
    """Return what tells each of some groups of one name from the others; nothing for one."""
    if len(namesakes) == 1:
        return [""]
    settings = [group.setting for group in namesakes]
    folds = any(setting.fold is not None for setting in settings)
    repeated = ("optimizer", *REPEATS) if folds else ("optimizer", "seed")
    differing = [
        name
        for name in RunConfig.__struct_fields__
        if name not in repeated and len({getattr(setting, name) for setting in settings}) > 1
    ]
    said = [
        ", ".join(f"{name}={setting_text(getattr(setting, name))}" for name in differing)
        for setting in settings
    ]
    for text, places in by_key(range(len(said)), said.__getitem__).items():
        if len(places) > 1:
            what = _what_differs([namesakes[place] for place in places])
            for number, place in enumerate(places, start=1):
                part = f"{what} {number} of {len(places)}"
                said[place] = f"{text}, {part}" if text else part
    return [f" ({text})" for text in said]


def _what_differs(parts: Iterable[Group]) -> str:
    """Return what tells runs of one setting apart: their images, the code, or both."""
    found = {what: defaultdict[object, set[object]](set) for what in ("images", "code")}
    for record in (record for part in parts for record in part.records if record.data):
        found["images"][repeat(record)[:2]].add(_images(record))
        for name, version in _code(record).items():
            found["code"][name].add(version)
    several = [what for what, of in found.items() if any(len(one) > 1 for one in of.values())]
    return " and ".join(several) or "images"


class Names(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of display, those of a file before our own."""

    optimizers: Annotated[dict[str, str], "Of names, or labels with settings."] = EMPTY
    models: Annotated[dict[str, str], "Of names."] = EMPTY
    datasets: Annotated[dict[str, str], "Of names."] = EMPTY

    def optimizer(self, label: str) -> str:
        """Return how an optimizer is printed, its settings in parentheses kept."""
        name, bracket, rest = label.partition(" (")
        whole = " ".join(self.optimizers.get(label, "").split())
        return (whole or self.printed("optimizers", name)) + bracket + rest

    def printed(self, kind: str, name: str) -> str:
        """Return how one of the `optimizers`, `models` or `datasets` is printed."""
        own = " ".join(getattr(self, kind).get(name, "").split())  # a row of a table is one line
        return own or getattr(_in_papers(), kind).get(name, name)


@cache
def _in_papers() -> Names:
    """Return the names as the papers print them; what is not there is printed by its own name."""
    return read_names(Path(__file__).with_name("names.yaml"))


def read_names(path: Path) -> Names:
    """Read a YAML file of names; a ConfigError is raised if it is none or has another key."""
    try:
        return build(Names, read_yaml(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, YAMLError) as error:
        said = getattr(error, "strerror", "") or " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read ({said}); give a YAML file") from None
