"""A journal holds what is of its identity, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.run.section import Journal


def test_what_is_set_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    first = Journal(path, {"seed": 1, "sizes": (1, 2)})
    assert not path.exists()
    first.update(batches=[{"value": 0.1}])
    first.update(seconds=2.5)
    again = Journal(path, {"seed": 1, "sizes": (1, 2)})
    assert dict(again) == {"batches": [{"value": 0.1}], "seconds": 2.5}
    again.remove()
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_identity_starts_anew_and_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    Journal(path, {"seed": 1}).update(x=1)
    other = Journal(path, {"seed": 2})
    assert len(other) == 0
    other.update(y=2)
    assert dict(Journal(path, {"seed": 2})) == {"y": 2}
    assert len(Journal(path, {"seed": 1})) == 0


def test_a_value_that_was_altered_is_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    Journal(path, {}).update(whole={"top": 12.5})
    path.write_text(path.read_text().replace("12.5", "13.5"))
    assert len(Journal(path, {})) == 0


@pytest.mark.parametrize("change", [{"version": 1}, {"entries": 3}])
def test_what_cannot_be_used_is_not(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "progress.json"
    Journal(path, {}).update(x=1)
    write_json(path, {**json.loads(read_sealed(path)), **change})
    assert len(Journal(path, {})) == 0
    for text in ("{", "[" * 100_000):
        path.write_text(text)
        assert len(Journal(path, {})) == 0


def test_entries_that_belong_together_come_in_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement that is killed between two writes would keep the time and lose the result."""
    written: list[dict[str, object]] = []
    monkeypatch.setattr(
        "sambench.run.section.write_json",
        lambda path, kept: written.append(json.loads(json.dumps(kept["entries"]))),
    )
    Journal(tmp_path / "progress.json", {}).update({"seconds": 2.5, "whole": {"trace": 1.0}})
    assert written == [{"seconds": 2.5, "whole": {"trace": 1.0}}]
