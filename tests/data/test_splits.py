from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sambench.config.run_config import RunConfig
from sambench.data.audit.tears import leak_warning
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.data.sources.image_tables import RELEASE
from sambench.data.splits import NAMES, Split, folds_of, make_split
from sambench.errors import ConfigError, DataError
from sambench.files.description import described

GOLDEN_TEST_PART = "c6414a5c5d254a9933f97ea1a1e0e560696f690def8bb358bfc6e08710c3a90a"
"""sha256 over the ids of the release's test part for seed 0: the images that all tables are on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """What splits ask of prepared data."""

    ids: Sequence[str]
    labels: NDArray[np.int64]
    groups: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    name: str = "ours"
    classes: Sequence[str] = ("a", "b")

    def __len__(self) -> int:
        return len(self.ids)


def population(
    ids: Sequence[str],
    labels: Sequence[int] | NDArray[np.int64],
    *,
    groups: Sequence[str] | None = None,
    **facts: Sequence[str],
) -> Population:
    return Population(
        ids=ids,
        labels=np.array(labels, dtype=np.int64),
        groups=ids if groups is None else groups,
        columns=facts,
    )


def release() -> Population:
    ids = list(RELEASE)
    return population(
        ids,
        [int(id.startswith("malignant")) for id in ids],
        centre=[RELEASE[id] for id in ids],
        fold=[str(number % 5 + 1) for number in range(len(ids))],
    )


def plain(number: int, classes: int = 2, **facts: Sequence[str]) -> Population:
    return population(
        [f"image{index}" for index in range(number)],
        [index % classes for index in range(number)],
        **facts,
    )


def shuffle(people: Population, seed: int) -> Population:
    order = np.random.default_rng(seed).permutation(len(people))

    def reordered(values: Sequence[str]) -> list[str]:
        return [values[index] for index in order]

    return Population(
        ids=reordered(people.ids),
        labels=people.labels[order],
        groups=reordered(people.groups),
        columns={name: reordered(column) for name, column in people.columns.items()},
    )


def grouped_randomly(seed: int, number: int = 200) -> Population:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 12)
    return population(
        [f"image{index}" for index in range(number)],
        generator.integers(0, 3, number),
        groups=[f"group{group}" for group in generator.integers(0, number // sizes, number)],
    )


def split(
    people: Population,
    name: str = "holdout",
    *,
    fold: int | None = None,
    seed: int = 0,
    validation: float = 0.0,
) -> Split:
    return make_split(people, name, fold=fold, seed=seed, validation=validation)


def ids_of(people: Population, part: NDArray[np.int64]) -> set[str]:
    return {people.ids[index] for index in part}


def groups_of(people: Population, part: NDArray[np.int64]) -> set[str]:
    return {people.groups[index] for index in part}


def refused(error: type[Exception], people: Population, name: str, **settings: float) -> str:
    with pytest.raises(error) as caught:
        split(people, name, **settings)  # type: ignore[arg-type]
    return str(caught.value)


def test_the_papers_sizes() -> None:
    parts = split(release())
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1924, 0, 481)


def test_the_hold_out_is_stratified() -> None:
    people = release()
    assert np.bincount(people.labels).tolist() == [886, 1519]
    assert np.bincount(people.labels[split(people).test]).tolist() == [177, 304]


@pytest.mark.parametrize("counts", [(7, 8), (1, 2, 3, 4), (101, 33, 5), (3, 3, 3)])
def test_each_class_gets_its_share_to_within_one_image(counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    people = population([f"image{index}" for index in range(len(labels))], labels)
    held = split(people).test
    assert len(held) == round(0.2 * sum(counts))
    found = np.bincount(labels[held], minlength=len(counts))
    assert np.abs(found - 0.2 * np.array(counts)).max() < 1


@pytest.mark.parametrize(
    ("name", "fold", "validation"),
    [
        ("holdout", None, 0.0),
        ("holdout", None, 0.1),
        ("kfold-4", 2, 0.1),
        ("grouped-4", 3, 0.2),
        ("folds", 2, 0.0),
        ("centre:GDPH", None, 0.1),
    ],
)
def test_the_parts_are_sorted_and_cover_everything_once(
    name: str, fold: int | None, validation: float
) -> None:
    people = release()
    parts = split(people, name, fold=fold, validation=validation)
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(everything.tolist()) == list(range(2405))
    assert bool(len(parts.validation)) == bool(validation)


def test_the_test_part_is_golden() -> None:
    people = release()
    text = "\n".join(sorted(ids_of(people, split(people).test)))
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN_TEST_PART


def test_the_hold_out_follows_its_definition() -> None:
    people = release()
    held = ids_of(people, split(people, seed=3).test)
    expected = set()
    for label, number in (("benign", 177), ("malignant", 304)):
        members = [id for id in people.ids if id.startswith(label)]
        members.sort(key=lambda id: hashlib.sha256(f"test:3:{id}".encode()).hexdigest())
        expected |= set(members[:number])
    assert held == expected


@pytest.mark.parametrize(
    ("name", "fold"), [("holdout", None), ("kfold-3", 1), ("grouped-3", 2), ("folds", 4)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_samples_does_not_matter(name: str, fold: int | None, seed: int) -> None:
    generator = np.random.default_rng(seed)
    people = population(
        [f"image{index}" for index in range(150)],
        generator.integers(0, 2, 150),
        groups=[f"group{group}" for group in generator.integers(0, 60, 150)],
        fold=[str(index % 5) for index in range(150)],
    )
    other = shuffle(people, seed)
    one = split(people, name, fold=fold, seed=7, validation=0.2)
    two = split(other, name, fold=fold, seed=7, validation=0.2)
    for part in ("train", "validation", "test"):
        assert ids_of(people, getattr(one, part)) == ids_of(other, getattr(two, part))


@pytest.mark.parametrize(("name", "fold"), [("holdout", None), ("kfold-5", 1), ("grouped-5", 1)])
def test_another_seed_is_another_split(name: str, fold: int | None) -> None:
    people = plain(200)
    one, two = (ids_of(people, split(people, name, fold=fold, seed=s).test) for s in (0, 1))
    assert one != two
    assert len(one & two) < 0.5 * len(one)


def test_a_further_image_moves_few_others() -> None:
    more, fewer = plain(201), plain(200)
    changed = ids_of(more, split(more).test) ^ ids_of(fewer, split(fewer).test)
    assert len(changed) <= 2


@pytest.mark.parametrize("name", ["kfold-5", "grouped-5"])
def test_every_image_is_tested_in_one_fold(name: str) -> None:
    people = grouped_randomly(0)
    folds = [ids_of(people, split(people, name, fold=fold).test) for fold in range(1, 6)]
    assert sum(map(len, folds)) == 200
    assert set.union(*folds) == set(people.ids)


def test_kfold_is_stratified_and_even() -> None:
    people = release()
    for fold in range(1, 6):
        counts = np.bincount(people.labels[split(people, "kfold-5", fold=fold).test])
        assert np.abs(counts - np.array([886, 1519]) / 5).max() < 1.01


def test_kfold_does_not_respect_groups() -> None:
    people = population([f"i{n}" for n in range(40)], [0, 1] * 20, groups=["same"] * 40)
    parts = split(people, "kfold-4", fold=1)
    assert len(parts.test) == 10
    assert groups_of(people, parts.train) & groups_of(people, parts.test) == {"same"}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("folds", [2, 5])
def test_grouped_keeps_groups_together(seed: int, folds: int) -> None:
    people = grouped_randomly(seed)
    for fold in range(1, folds + 1):
        parts = split(people, f"grouped-{folds}", fold=fold, seed=seed)
        assert not groups_of(people, parts.train) & groups_of(people, parts.test)


@pytest.mark.parametrize("seed", range(5))
def test_grouped_is_about_even(seed: int) -> None:
    generator = np.random.default_rng(seed)
    people = population(
        [f"image{index}" for index in range(500)],
        generator.integers(0, 2, 500),
        groups=[f"group{group}" for group in generator.integers(0, 200, 500)],
    )
    for fold in range(1, 6):
        held = split(people, "grouped-5", fold=fold, seed=seed).test
        assert abs(len(held) - 100) <= 5
        assert abs(people.labels[held].sum() - people.labels.sum() / 5) <= 5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ["holdout", "grouped-5", "kfold-5"])
def test_validation_keeps_groups_together_within_the_training_part(seed: int, name: str) -> None:
    people = grouped_randomly(seed)
    fold = None if name == "holdout" else 1
    parts = split(people, name, fold=fold, seed=seed, validation=0.2)
    assert not groups_of(people, parts.train) & groups_of(people, parts.validation)


def test_validation_is_cut_from_the_training_part_alone() -> None:
    people = release()
    without, having = split(people), split(people, validation=0.1)
    assert having.test.tolist() == without.test.tolist()
    assert len(having.validation) == pytest.approx(0.1 * 1924, abs=1)
    share = people.labels[having.validation].mean()
    assert share == pytest.approx(people.labels[without.train].mean(), abs=0.01)


def test_the_sources_own_folds() -> None:
    people = plain(10, fold=[*"0011223344"])
    parts = split(people, "folds", fold=2)
    assert parts.test.tolist() == [4, 5]
    assert parts.train.tolist() == [0, 1, 2, 3, 6, 7, 8, 9]


def test_the_seed_does_not_change_what_the_source_fixes() -> None:
    people = release()
    one, two = (split(people, "centre:GDPH", seed=seed) for seed in (0, 1))
    assert one.test.tolist() == two.test.tolist()


def test_a_centre_is_tested_with_models_of_the_others() -> None:
    people = release()
    parts = split(people, "centre:GDPH")
    assert {people.columns["centre"][index] for index in parts.test} == {"GDPH"}
    assert {people.columns["centre"][index] for index in parts.train} == {"SYSUCC"}
    assert len(parts.test) == 846


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("hold-out", ": did you mean 'holdout' or 'kfold-K'?"),
        ("fold", ": did you mean 'folds' or 'kfold-K' or 'holdout'?"),
        ("kfold-1", ": did you mean 'kfold-K' or 'folds'?"),
        ("kfold-x", ": did you mean 'kfold-K' or 'folds'?"),
        ("kfold-²", ": did you mean 'kfold-K' or 'folds'?"),
        ("grouped", ": did you mean 'grouped-K'?"),
        ("centre:", ": did you mean 'centre:NAME'?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_split(name: str, guess: str) -> None:
    message = refused(ConfigError, plain(20), name)
    assert message == (
        f"unknown split {name!r}{guess}; splits: holdout, folds, authors, kfold-K, "
        "grouped-K, patient-K, centre:NAME"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_split_is_made_and_explained(name: str) -> None:
    """So that a new one is known to `folds_of` and `_test_mask`, and to the page of settings."""
    example = name.replace("-K", "-2").replace("NAME", "A")
    facts = {"patient": "ABCDEFGH" * 2, "fold": "01" * 8, "centre": "AB" * 8}
    people = plain(16, **facts, part=["train", "test"] * 8)
    (first, *_) = folds_of(example) or ([None] if folds_of(example) == () else [1])
    made = split(people, example, fold=first)
    assert sorted([*made.train, *made.test]) == list(range(16))
    (field,) = (field for field in described(RunConfig) if field.name == "split")
    assert f'"{name}"' in field.meaning, "say what it is in RunConfig.split"


@pytest.mark.parametrize("name", ["holdout", "centre:A"])
def test_a_fold_where_there_are_none(name: str) -> None:
    people = plain(20, centre=["A", "B"] * 10)
    assert refused(ConfigError, people, name, fold=1) == (
        f"split {name} has no folds, but fold=1 was given; leave it out"
    )


@pytest.mark.parametrize("name", ["kfold-3", "grouped-3"])
def test_a_fold_is_needed(name: str) -> None:
    assert refused(ConfigError, plain(20), name) == (
        f"split {name} needs a fold and none was given; folds: 1, 2, 3, as `--set fold=1`"
    )


@pytest.mark.parametrize("fold", [0, 4])
def test_a_fold_that_does_not_exist(fold: int) -> None:
    assert refused(ConfigError, plain(20), "kfold-3", fold=fold) == (
        f"split kfold-3 needs a fold and {fold} does not exist; folds: 1, 2, 3"
    )


def test_a_fold_that_the_source_does_not_have() -> None:
    people = plain(6, fold=["1", "10", "2"] * 2)
    assert refused(ConfigError, people, "folds", fold=3) == (
        "split folds needs a fold and 3 does not exist; folds: 1, 2, 10"
    )


@pytest.mark.parametrize("facts", [{}, {"fold": ["1", "", "2", "1"]}])
def test_data_without_complete_folds(facts: dict[str, Sequence[str]]) -> None:
    assert refused(DataError, plain(4, **facts), "folds", fold=1) == (
        "the data have no complete 'fold' column, which this split needs; "
        "choose another split, e.g. holdout or grouped-5"
    )


def test_data_without_centres() -> None:
    message = refused(DataError, plain(4), "centre:GDPH")
    assert message.startswith("the data have no complete 'centre' column")


def test_an_unknown_centre() -> None:
    people = plain(4, centre=["GDPH", "SYSUCC"] * 2)
    assert refused(ConfigError, people, "centre:gdph") == (
        "no image has centre 'gdph'; there are: GDPH, SYSUCC"
    )


@pytest.mark.parametrize(
    ("people", "name", "settings", "part"),
    [
        (plain(2), "holdout", {}, "test"),
        (plain(4, centre=["A"] * 4), "centre:A", {}, "train"),
        (plain(3), "kfold-5", {"fold": 5}, "test"),
        (population(["a", "b"], [0, 1], groups=["g", "g"]), "grouped-2", {"fold": 1}, "train"),
    ],
)
def test_an_empty_part(
    people: Population, name: str, settings: dict[str, float], part: str
) -> None:
    fewer = ", or choose a split of fewer folds" if name == "kfold-5" else ""
    assert refused(DataError, people, name, **settings) == (
        f"split {name} leaves no image for the {part} part; prepare more images{fewer}"
    )


def test_nothing_is_left_to_train_or_select_on() -> None:
    people = plain(4, centre=["A"] * 4)
    assert refused(DataError, people, "centre:A", validation=0.1) == (
        "split centre:A leaves no image for the train part; prepare more images, or set another "
        "validation"
    )


def test_an_empty_validation_part() -> None:
    people = population([f"i{n}" for n in range(10)], [0, 1] * 5, groups=["same"] * 10)
    message = refused(DataError, people, "holdout", validation=0.1)
    assert message == (
        "split holdout leaves no image for the validation part; prepare more images, or set "
        "another validation"
    )


def test_a_validation_part_that_leaves_nothing_to_train_on() -> None:
    message = refused(DataError, plain(10), "holdout", validation=0.95)
    assert "for the train part; " in message
    assert message.endswith("or set another validation")


def test_parts_that_lack_one_class_or_another_are_not_said_to_lack_both() -> None:
    """Six patients, a fold each: each test part has images of one class alone."""
    people = plain(18, fold=[str(number % 6) for number in range(18)])
    (said,) = leak_warning(people, "folds", range(6), seed=0)  # type: ignore[arg-type]
    assert said == (
        "split folds: 6 of the 6 test parts have no image of some class (a, b); prepare more "
        "images of them, or choose another split"
    )


def test_of_a_hundred_folds_a_message_names_the_first() -> None:
    people = plain(200)
    message = refused(ConfigError, people, "kfold-100")
    assert message.endswith("19, 20 ... and 80 more, as `--set fold=1`")


def test_the_authors_parts() -> None:
    people = plain(8, part=["train"] * 4 + ["validation"] * 2 + ["test"] * 2)
    parts = split(people, "authors")
    assert parts.test.tolist() == [6, 7]
    assert parts.train.tolist() == [0, 1, 2, 3]
    assert parts.validation.tolist() == []
    selecting = split(people, "authors", validation=0.1)
    assert selecting.train.tolist() == [0, 1, 2, 3]
    assert selecting.validation.tolist() == [4, 5]


def test_validation_is_carved_where_the_authors_have_none() -> None:
    people = plain(30, part=["train"] * 20 + ["test"] * 10)
    parts = split(people, "authors", validation=0.2)
    assert len(parts.validation) == 4
    assert set(parts.validation.tolist()) < set(range(20))
    assert parts.test.tolist() == list(range(20, 30))


def test_other_splits_do_not_care_for_the_authors_parts() -> None:
    with_parts = plain(20, part=["validation"] * 20)
    assert split(with_parts, validation=0.2).train.tolist() == (
        split(plain(20), validation=0.2).train.tolist()
    )


@pytest.mark.parametrize(
    ("name", "column"), [("authors", "part"), ("patient-3", "patient"), ("device:X", "device")]
)
@pytest.mark.parametrize("complete", [True, False])
def test_a_column_that_is_needed(name: str, column: str, complete: bool) -> None:
    facts = {} if complete else {column: ["a", "", *"bcde"]}
    fold = 1 if name == "patient-3" else None
    assert refused(DataError, plain(6, **facts), name, fold=fold) == (  # type: ignore[arg-type]
        f"the data have no complete {column!r} column, which this split needs; "
        "choose another split, e.g. holdout or grouped-5"
    )


def test_any_column_can_be_left_out_and_tested() -> None:
    people = plain(6, device=["GE Logiq: 5", "Aplio"] * 3)
    assert split(people, "device:GE Logiq: 5").test.tolist() == [0, 2, 4]


@st.composite
def populations(draw: st.DrawFn) -> Population:
    """Images with classes, groups of any sizes and patients that the groups respect."""
    number = draw(st.integers(12, 60))
    group = draw(st.lists(st.integers(0, 11), min_size=number, max_size=number))
    labels = draw(st.lists(st.integers(0, 2), min_size=number, max_size=number))
    names = [f"image{index}" for index in range(number)]
    return population(
        names,
        labels,
        groups=[f"group{g}" for g in group],
        patient=[f"patient{g}" for g in group],
    )


@settings(max_examples=60, deadline=None)
@given(
    populations(),
    st.sampled_from(["grouped", "patient"]),
    st.integers(2, 5),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.25]),
)
def test_grouped_splits_share_no_group(
    people: Population, kind: str, folds: int, seed: int, validation: float
) -> None:
    tested: list[int] = []
    for fold in range(1, folds + 1):
        try:
            parts = split(people, f"{kind}-{folds}", fold=fold, seed=seed, validation=validation)
        except DataError as error:
            assert "leaves no image for the" in str(error)
            return
        in_parts = [groups_of(people, part) for part in (parts.train, parts.validation, parts.test)]
        assert not in_parts[0] & in_parts[1]
        assert not in_parts[0] & in_parts[2]
        assert not in_parts[1] & in_parts[2]
        tested += parts.test.tolist()
    assert sorted(tested) == list(range(len(people)))


@settings(max_examples=40, deadline=None)
@given(populations(), st.sampled_from(["holdout", "kfold-3"]), st.integers(0, 3))
def test_validation_shares_no_group_with_training(people: Population, name: str, seed: int) -> None:
    try:
        parts = split(
            people, name, fold=None if name == "holdout" else 1, seed=seed, validation=0.25
        )
    except DataError:
        return
    assert not groups_of(people, parts.train) & groups_of(people, parts.validation)


@pytest.mark.real
def test_grouped_splits_of_the_real_images(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "gdph_sysucc_layout" / "GDPH&SYSUCC"
    prepared = prepare(sources.get("bus"), Request(folder=folder), tmp_path, 64).prepared
    people = prepared
    assert len(people) == 647
    assert len(set(people.groups)) < 560
    sizes = []
    for fold in range(1, 6):
        parts = split(people, "grouped-5", fold=fold, validation=0.1)
        assert not groups_of(people, parts.train) & groups_of(people, parts.test)
        assert not groups_of(people, parts.train) & groups_of(people, parts.validation)
        sizes.append(len(parts.test))
    assert sum(sizes) == 647
    assert max(sizes) - min(sizes) <= 3
    for fold in range(5):
        assert len(split(people, "folds", fold=fold).test) in (129, 130)
