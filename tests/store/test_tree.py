from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from msgspec.structs import replace

from sambench.errors import DO_AGAIN, ClaimError, DamagedError, StoreError
from sambench.files.atomic import write_text
from sambench.files.checksums import sealed
from sambench.files.claim import Claimed
from sambench.store import tree
from sambench.store.record import RunRecord
from sambench.store.status import Survey
from sambench.store.study_plan import StudyPlan, write_plan
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def record(make_record: RecordMaker) -> RunRecord:
    return make_record()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_save_and_load(store: Store, record: RunRecord) -> None:
    assert store.load(record.config) is None
    store.save(record)
    assert store.load(record.config) == record
    assert names(store.root / "runs" / record.name) == ["run.json"]


def test_the_history_is_a_line_for_each_epoch(store: Store, record: RunRecord) -> None:
    store.save_history(record.config, [{"epoch": 1, "lr": 0.1}, {"epoch": 2, "lr": 0.05}])
    text = (store.folder(record.config) / "history.jsonl").read_text()
    assert text == '{"epoch": 1, "lr": 0.1}\n{"epoch": 2, "lr": 0.05}\n'


def test_a_record_that_is_no_text(store: Store, record: RunRecord) -> None:
    store.save(record)
    path = store.folder(record.config) / "run.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match=rf"run\.json is not a run record; {DO_AGAIN}"):
        store.load(record.config)


def test_good_records_are_kept_beside_damaged_ones(store: Store, make_record: RecordMaker) -> None:
    good = [make_record("adam", seed=seed) for seed in (0, 1)]
    for each in good:
        store.save(each)
    truncated, newer = make_record("sam"), make_record("gcsam")
    for each in (truncated, newer):
        store.save(each)
    path = store.folder(truncated.config) / "run.json"
    path.write_text(path.read_text()[:50])
    other = store.folder(newer.config) / "run.json"
    other.write_text(other.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    (store.runs / "empty").mkdir()
    found, damaged = store.records()
    assert found == good
    assert damaged == [
        f"{other} has schema version 2, not 1; upgrade sambench",
        f"{path} is not a run record; {DO_AGAIN}",
    ]


def test_no_results_at_all(store: Store) -> None:
    assert store.records() == ([], [])


def test_a_retired_run_is_kept_aside_and_missing(store: Store, record: RunRecord) -> None:
    for number in (1, 2):
        store.save(record)
        aside = store.root / "retired" / record.name / str(number)
        assert store.retire(record.config, "stale, the code gives other numbers now") == aside
        assert store.load(record.config) is None
        assert names(store.runs) == []
    assert names(aside) == ["note.txt", "run.json"]
    assert (aside / "note.txt").read_text() == (
        f"{record.name} was moved here and done anew: stale, the code gives other numbers now\n"
    )


def test_a_retired_run_that_somebody_removed_hinders_no_other(
    store: Store, record: RunRecord
) -> None:
    aside = store.root / "retired" / record.name
    (aside / "2").mkdir(parents=True)  # 1 was removed to make room
    store.save(record)
    assert store.retire(record.config, "stale") == aside / "3"


def test_a_run_that_somebody_is_at_is_not_retired(store: Store, record: RunRecord) -> None:
    store.save(record)
    with store.claim(record.config), pytest.raises(Claimed):
        store.retire(record.config, "stale")
    assert store.load(record.config) == record


def edited(store: Store, record: RunRecord, old: str, new: str) -> Path:
    path = store.folder(record.config) / "run.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"accuracy": 0.75', '"accuracy": 0.99'),
        ('"train_seconds": 10.0', '"train_seconds": 9.0'),
        ('"status": "completed"', '"status": "failed"'),
        ('"suite": null', '"suite": "another"'),
        ('"sha256": "', '"sha256": "0'),
        ("\n}\n", ', "more": 1}\n'),
    ],
)
def test_an_edit_by_hand_is_noticed(store: Store, record: RunRecord, old: str, new: str) -> None:
    store.save(record)
    path = edited(store, record, old, new)
    said = f"{path} is damaged (it was altered: its checksum does not fit); {DO_AGAIN}"
    with pytest.raises(DamagedError) as caught:
        store.load(record.config)
    assert str(caught.value) == said
    assert store.records() == ([], [said])
    with pytest.raises(DamagedError) as caught:
        store.find([record.name])
    assert str(caught.value) == said
    assert store.damaged([record.id]) == [said]
    assert store.damaged(["another"]) == []


def test_every_bit_of_a_record_counts(store: Store, record: RunRecord) -> None:
    """Each flipped bit is noticed, or leaves what is read as it was (as in white space)."""
    store.save(record)
    path = store.folder(record.config) / "run.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            store.load(record.config)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))  # as git may write it
    assert store.load(record.config) == record


def test_a_record_without_its_seal_is_damaged(store: Store, record: RunRecord) -> None:
    write_text(store.folder(record.config) / "run.json", json.dumps(record.to_dict()))
    with pytest.raises(DamagedError, match="it was altered: its checksum does not fit"):
        store.load(record.config)


def test_a_record_of_another_version_is_not_to_be_done_again(
    store: Store, record: RunRecord
) -> None:
    """It is as it was sealed, and has a setting that is not known here."""
    path, said = store.folder(record.config) / "run.json", "unknown key 'mixup' in config"
    plain = record.to_dict()
    plain["config"]["mixup"] = 0.2
    write_text(path, sealed(json.dumps(plain, indent=2) + "\n"))
    with pytest.raises(DamagedError) as caught:
        store.read(path)
    assert str(caught.value).startswith(f"{path} is as another sambench wrote it ({said}")
    assert str(caught.value).endswith("); upgrade this one")
    write_text(path, json.dumps(plain))  # without a seal nobody knows
    with pytest.raises(DamagedError) as caught:
        store.read(path)
    assert str(caught.value).startswith(f"{path} is damaged ({said}")
    assert str(caught.value).endswith(DO_AGAIN)


def test_a_run_of_another_version_of_a_plugin_is_as_it_was_stored(
    store: Store, record: RunRecord
) -> None:
    """Its optimizer had a hyperparameter that the loaded one of its name has not."""
    own = {**record.config.optimizer, "radius": 0.1}
    other = replace(record, config=replace(record.config, optimizer=own))
    store.save(other)
    assert store.records() == ([other], [])
    write_plan(store.root, StudyPlan(suite="study", runs=[other.config]))
    assert store.find(["study"]) == [other]
    write_text(store.folder(other.config) / "run.json", json.dumps(other.to_dict()))
    assert "has no hyperparameter 'radius'" in store.records()[1][0]  # nobody has sealed it


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"0.9"', "1.5", "true"])
def test_a_completed_record_without_a_true_accuracy_is_damaged(
    store: Store, record: RunRecord, value: str
) -> None:
    write_text(store.folder(record.config) / "run.json", json.dumps(record.to_dict()))
    edited(store, record, '"accuracy": 0.75', f'"accuracy": {value}')
    with pytest.raises(DamagedError, match=r"run\.json is (damaged \(final|not a run record)"):
        store.load(record.config)


def test_find(store: Store, make_record: RecordMaker) -> None:
    adam, sam, again = make_record("adam"), make_record("sam"), make_record("sam", seed=1)
    for each in (adam, sam, again):
        store.save(each)
    assert store.find([adam.id]) == [adam]
    assert store.find([sam.name]) == [sam]
    assert store.find(["*-sam-*"]) == [sam, again]
    assert store.find(["*-s1-*", "*"]) == [again, adam, sam]


def test_a_path_is_not_looked_for_in_another_results_folder(
    store: Store, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (store, other := Store(tmp_path / "other")):
        folder.save(record)
    for path in (f"results/runs/{record.name}/", str(store.runs / "*-adam-*")):
        assert store.find([path]) == [record]
    for path in (f"other/runs/{record.name}", f"{other.runs}/*", f"nowhere/{record.name}"):
        with pytest.raises(StoreError) as caught:
            store.find([path])
        said = f"{path} is not in {store.runs}; name its results folder with --results"
        assert str(caught.value) == said


def test_find_nothing_offers_the_closest(store: Store, record: RunRecord) -> None:
    store.save(record)
    asked = record.name.replace("adam", "adan")
    with pytest.raises(StoreError) as caught:
        store.find([asked])
    assert str(caught.value) == (
        f"no run '{asked}' in {store.runs}: did you mean '{record.name}'?; "
        f"`sambench list runs` shows all"
    )


def test_find_is_exact_about_case_and_ids(store: Store, record: RunRecord) -> None:
    store.save(record)
    for asked in (record.id[:5], "PHANTOM-*"):
        with pytest.raises(StoreError, match=r"no run '.*' in "):
            store.find([asked])


@pytest.mark.parametrize("in_the_way", ["results", "results/runs"])
def test_a_results_folder_that_cannot_be_claimed_in(
    store: Store, record: RunRecord, in_the_way: str
) -> None:
    path = store.root.parent / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert store.load(record.config) is None
    with pytest.raises(StoreError) as caught, store.claim(record.config):
        pytest.fail("claimed in a folder that is none")
    assert str(caught.value) == (
        f"results folder {store.root} cannot be written (Not a directory); "
        "choose another, or a copy of it, with --results"
    )


def test_a_run_of_another_user_stops_no_other(
    store: Store, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read and write everything, so the refusals of the system are simulated."""
    store.save(record)

    def refuse(*arguments: object, **more: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(tree, "claiming", refuse)
        config, folder = record.config, store.folder(record.config)
        with pytest.raises(ClaimError, match=f"{folder} is another user's"), store.claim(config):
            pytest.fail("claimed in a folder of another")
        patch.setattr(tree.os, "access", lambda path, mode: False)
        with pytest.raises(StoreError, match="results folder"), store.claim(record.config):
            pytest.fail("claimed in a folder of another")
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DamagedError, match=r"run\.json cannot be read \(.*\); get permission"):
        store.load(record.config)
    assert [len(found) for found in store.records()] == [0, 1]
    (standing,) = Survey(store=store).of([record.config])
    assert (standing.state, standing.action) == ("damaged", "skip")


def test_a_results_folder_that_cannot_be_saved_in(store: Store, record: RunRecord) -> None:
    store.root.touch()
    with pytest.raises(StoreError, match="a file is in the way of a folder"):
        store.save(record)
