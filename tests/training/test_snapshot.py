from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from sambench.errors import StoreError
from sambench.training import snapshot
from sambench.training.snapshot import load_checkpoint, remove_checkpoints, save_checkpoint

FILES = [
    "checkpoint.previous.pt",
    "checkpoint.previous.pt.sha256",
    "checkpoint.pt",
    "checkpoint.pt.sha256",
]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, {"step": step})


def step_of(folder: Path) -> object:
    state = load_checkpoint(folder)
    return None if state is None else state["step"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x80
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_round_trip(tmp_path: Path) -> None:
    state = {
        "weights": {"a": torch.arange(3.0), "b": torch.tensor([1], dtype=torch.int64)},
        "rule": "patience",
        "losses": [0.5, None, 1],
    }
    save_checkpoint(tmp_path, state)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded["weights"].pop("a"), torch.arange(3.0))
    assert loaded["weights"]["b"].dtype == torch.int64
    assert (loaded["rule"], loaded["losses"]) == ("patience", [0.5, None, 1])
    assert list(loaded) == ["weights", "rule", "losses"]


def test_nothing_there(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3)
    assert names(tmp_path) == FILES
    assert step_of(tmp_path) == 3
    (tmp_path / "checkpoint.pt").unlink()
    assert step_of(tmp_path) == 2


@pytest.mark.parametrize("damage", [cut, flip, empty, Path.unlink])
@pytest.mark.parametrize("file", ["checkpoint.pt", "checkpoint.pt.sha256"])
def test_a_damaged_one_falls_back_to_the_one_before(
    tmp_path: Path, damage: object, file: str
) -> None:
    save(tmp_path, 1, 2)
    assert callable(damage)
    damage(tmp_path / file)
    assert step_of(tmp_path) == 1


@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_two_damaged_ones_are_none(tmp_path: Path, damage: object) -> None:
    save(tmp_path, 1, 2)
    assert callable(damage)
    damage(tmp_path / "checkpoint.pt")
    damage(tmp_path / "checkpoint.previous.pt")
    assert load_checkpoint(tmp_path) is None


def test_another_format_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr(snapshot, "FORMAT_VERSION", 2)
    save(tmp_path, 2)
    assert step_of(tmp_path) == 2
    monkeypatch.setattr(snapshot, "FORMAT_VERSION", 1)
    assert step_of(tmp_path) == 1


def test_only_plain_values_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    load = torch.load

    def spy(file: object, **options: object) -> object:
        given.update(options)
        return load(file, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", spy)
    save(tmp_path, 1)
    assert step_of(tmp_path) == 1
    assert given == {"weights_only": True, "map_location": "cpu"}


def test_all_are_removed_at_the_end(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    (tmp_path / "run.json").touch()
    remove_checkpoints(tmp_path)
    remove_checkpoints(tmp_path)
    assert names(tmp_path) == ["run.json"]


class PowerCutError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("survived", range(4))
def test_a_crash_at_any_point_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    save(tmp_path, 1, 2)
    done = 0

    def counted(change: object) -> object:
        def wrapped(*given: object) -> object:
            nonlocal done
            if done == survived:
                raise PowerCutError
            done += 1
            assert callable(change)
            return change(*given)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted(Path.replace))
        with pytest.raises(PowerCutError):
            save(tmp_path, 3)
    assert step_of(tmp_path) == 2
    for step in (4, 5):
        save(tmp_path, step)
        assert step_of(tmp_path) == step
        (tmp_path / "checkpoint.pt").rename(tmp_path / "hidden")
        assert step_of(tmp_path) in (2, 4)
        (tmp_path / "hidden").rename(tmp_path / "checkpoint.pt")
    assert names(tmp_path) == FILES


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(StoreError, match="a file is in the way of a folder"):
        save(tmp_path / "run", 1)


def test_a_disk_that_refuses_leaves_no_view_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python up to 3.12.1 dies when it collects such a view with the frames of the error."""
    seen: list[memoryview] = []

    def refuse(path: Path, data: memoryview) -> None:
        seen.append(data)
        raise StoreError("no space left")

    monkeypatch.setattr(snapshot, "write_bytes", refuse)
    with pytest.raises(StoreError):
        save_checkpoint(tmp_path, {"epoch": 1})
    with pytest.raises(ValueError, match="released"):
        seen[0].tobytes()


class Harmful:
    """Writes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_checkpoint_of_others_runs_no_code_and_is_passed_over(tmp_path: Path) -> None:
    """Its checksum fits: whoever wrote it knew how."""
    folder = tmp_path / "run"
    save(folder, 1)
    for content in ({"format_version": 1, "step": Harmful(tmp_path / "mark")}, torch.zeros(3)):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        (folder / "checkpoint.pt").write_bytes(buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        (folder / "checkpoint.pt.sha256").write_text(digest)
        assert load_checkpoint(folder) is None
        assert not (tmp_path / "mark").exists()
