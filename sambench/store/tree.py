"""The results tree: one folder for each run, found, claimed and written without losing anything."""

from __future__ import annotations

import fnmatch
import gc
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sambench.config.run_config import RunConfig
from sambench.errors import StoreError, did_you_mean
from sambench.files.atomic import store_errors, write_json, write_text
from sambench.files.claim import Claim, claiming
from sambench.store.record import COMPLETED, RunRecord

RECORD, HISTORY, PREDICTIONS = "run.json", "history.jsonl", "predictions.npz"
WEIGHTS, CLAIM = "model.safetensors", "claim.json"


@contextmanager
def _no_collection() -> Iterator[None]:
    """Put off the search for garbage in cycles: it walks all that was read, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Store:
    """All runs below one results folder.

    Args:
        root: The results folder; runs lie in `<root>/runs/<name>/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs"

    def folder(self, config: RunConfig) -> Path:
        """Where a run's files lie, existing or not."""
        return self.runs / config.name

    def history(self, config: RunConfig) -> Path:
        """Where a run's epochs lie, existing or not."""
        return self.folder(config) / HISTORY

    def predictions(self, config: RunConfig) -> Path:
        """Where a run's test predictions lie, existing or not."""
        return self.folder(config) / PREDICTIONS

    def load(self, config: RunConfig) -> RunRecord | None:
        """Return a run's record, or None where there is none.

        Raises:
            StoreError: If the record is damaged or of another schema.
        """
        path = self.folder(config) / RECORD
        return self.read(path) if path.exists() else None

    def completed(self, config: RunConfig) -> RunRecord | None:
        """Return a run's record where it is completed.

        Raises:
            StoreError: If the record is damaged or of another schema.
        """
        record = self.load(config)
        return record if record is not None and record.status == COMPLETED else None

    def read(self, path: Path) -> RunRecord:
        """Read one record file.

        Raises:
            StoreError: If it cannot be read or is damaged.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return RunRecord.parse(data, str(path))

    def save(self, record: RunRecord) -> None:
        """Write a run's record.

        Raises:
            StoreError: If the folder cannot be written.
        """
        write_json(self.folder(record.config) / RECORD, record.to_dict())

    def save_history(self, config: RunConfig, lines: Iterable[dict[str, object]]) -> None:
        """Write a run's epochs, a JSON object on each line.

        Raises:
            StoreError: If the folder cannot be written.
        """
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(self.history(config), text)

    def records(self) -> tuple[list[RunRecord], list[str]]:
        """Return all readable records in order of name, and a message for each unreadable one."""
        found: list[RunRecord] = []
        damaged: list[str] = []
        with _no_collection():
            for name in self._names():
                path = self.runs / name / RECORD
                try:
                    found.append(self.read(path))
                except StoreError as error:
                    if path.exists():
                        damaged.append(str(error))
        return found, damaged

    def _names(self) -> list[str]:
        """What lies in the folder of runs, in order."""
        try:
            return sorted(os.listdir(self.runs))  # noqa: PTH208
        except OSError:
            return []

    def retire(self, config: RunConfig) -> Path:
        """Move what there is of a run out of the way, so that it can be done anew.

        Returns:
            Where it lies now.

        Raises:
            Claimed: If a living process is at the run.
            StoreError: If the results folder cannot be written.
        """
        with self.claim(config) as claim, store_errors(self.root):
            aside = self.root / "retired" / config.name
            number = 1 + sum(1 for _ in aside.glob("*"))
            target = aside / str(number)
            target.mkdir(parents=True)
            for path in self.folder(config).iterdir():
                if path != claim.path:
                    path.rename(target / path.name)
        return target

    def find(
        self, patterns: Sequence[str], records: Sequence[RunRecord] | None = None
    ) -> list[RunRecord]:
        """Return the records whose name or id matches one of the patterns (shell globs).

        The name of a suite stands for the runs that were first made for it.

        Args:
            patterns: What to look for.
            records: Where to look; all that can be read if they are not read yet.

        Raises:
            StoreError: If a pattern matches no run; offers the closest names.
        """
        records = self.records()[0] if records is None else records
        chosen: dict[str, RunRecord] = {}
        for pattern in patterns:
            hits = [r for r in records if pattern in (r.id, r.suite)]
            hits = hits or [r for r in records if fnmatch.fnmatchcase(r.name, pattern)]
            if not hits:
                names = [record.name for record in records]
                raise StoreError(
                    f"no run {pattern!r} in {self.runs}{did_you_mean(pattern, names)}; "
                    f"`ls {self.runs}` shows all"
                )
            chosen.update({record.id: record for record in hits})
        return list(chosen.values())

    def find_one(self, pattern: str) -> RunRecord:
        """Return the only record whose name or id matches.

        Raises:
            StoreError: If none or several do.
        """
        found = self.find([pattern])
        if len(found) > 1:
            names = ", ".join(record.name for record in found[:3])
            more = ", ..." if len(found) > 3 else ""
            raise StoreError(f"{len(found)} runs are {pattern!r} ({names}{more}); name one")
        return found[0]

    @contextmanager
    def claim(self, config: RunConfig, device: str = "") -> Iterator[Claim]:
        """Hold a run for this process.

        Args:
            config: The run.
            device: Where it goes, for others to see.

        Raises:
            Claimed: If a living process holds it.
            StoreError: If the results folder cannot be written.
        """
        with ExitStack() as held:
            try:
                claim = held.enter_context(claiming(self.folder(config) / CLAIM, device))
            except OSError as error:
                raise StoreError(
                    f"results folder {self.root} cannot be written ({error.strerror}); "
                    "choose another with --results"
                ) from error
            yield claim
