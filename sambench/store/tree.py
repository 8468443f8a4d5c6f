"""The results tree: one folder for each run, found, claimed and written without losing anything."""

from __future__ import annotations

import fnmatch
import gc
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.errors import (
    DO_AGAIN,
    ClaimError,
    CurvatureError,
    DamagedError,
    StoreError,
    did_you_mean,
)
from sambench.files.atomic import store_errors, write_bytes, write_json, write_text
from sambench.files.checksums import read_checked, read_whole, sha256_of, unsealed
from sambench.files.claim import Claim, claiming
from sambench.store.record import COMPLETED, RunRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

RECORD, HISTORY, PREDICTIONS = "run.json", "history.jsonl", "predictions.npz"
WEIGHTS, CLAIM, NOTE = "model.safetensors", "claim.json", "note.txt"


@contextmanager
def without_collection() -> Iterator[None]:
    """Put off the search for garbage in cycles: it walks all that was read, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _sharing(record: RunRecord, known: dict[object, object]) -> RunRecord:
    """Have records of the same surroundings share one description: a tenth of the memory."""
    own = record.environment
    try:
        same = known.setdefault(own, own)
    except TypeError:  # it holds a list or a mapping: the run was resumed or needs a plugin
        return record
    return record if same is own else replace(record, environment=same)


class Store:
    """All runs below one results folder; they lie in `<root>/runs/<name>/`.

    What cannot be written is a StoreError. A record that is damaged, altered or of another schema,
    or a file beside it that is not what the run wrote, is a DamagedError wherever it is read.
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

    def weights(self, config: RunConfig) -> Path:
        """Where a run's weights lie, existing or not."""
        return self.folder(config) / WEIGHTS

    def load(self, config: RunConfig) -> RunRecord | None:
        """Return a run's record, or None where there is none."""
        return self.read(self.folder(config) / RECORD, expected=config)

    def look(self, config: RunConfig) -> tuple[RunRecord | None, DamagedError | None]:
        """Return a run's record, if there is one, and how it is damaged, if it is."""
        try:
            return self.load(config), None
        except DamagedError as error:
            return None, error

    def completed(self, config: RunConfig) -> RunRecord | None:
        """Return a run's record where it is completed."""
        record = self.load(config)
        return record if record is not None and record.status == COMPLETED else None

    def read(self, path: Path, expected: RunConfig | None = None) -> RunRecord | None:
        """Read one record file, if it is there, of the expected run where that is known."""
        try:
            text, intact = unsealed(read_whole(path).decode(errors="replace"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            said = f"{path} cannot be read ({error.strerror}); get permission to read it, or move"
            raise DamagedError(f"{said} its folder away") from error
        ours = re.search("-[0-9a-f]{10}$", path.parent.name)  # another's is not done again
        remedy = DO_AGAIN if ours else "move its folder away"
        record = RunRecord.parse(text, str(path), expected, intact=intact, remedy=remedy)
        if not intact:
            said = f"{path} is damaged (it was altered: its checksum does not fit); {remedy}"
            raise DamagedError(said)
        if path.parent.name != record.name:  # the files beside it would be looked for elsewhere
            said = f"{path} is of run {record.name}, which counts only in a folder of its own name"
            raise DamagedError(f"{said}; rename that folder or move it away")
        return record

    def save(self, record: RunRecord) -> None:
        """Write a run's record, sealed with its own checksum."""
        write_json(self.folder(record.config) / RECORD, record.to_dict())

    def save_history(self, config: RunConfig, lines: Iterable[dict[str, object]]) -> str:
        """Write a run's epochs, a JSON object on each line; return the file's sha256."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(self.history(config), text)
        return sha256_of(text.encode())

    def add_to_history(self, config: RunConfig, line: dict[str, object]) -> None:
        """Add an epoch: to write all of them anew after each would take quadratic time."""
        with store_errors(self.root), self.history(config).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save_predictions(
        self,
        config: RunConfig,
        ids: Sequence[str],
        probabilities: NDArray[np.float64],
        labels: NDArray[np.int64],
    ) -> str:
        """Write each test image's id, probability of each class and label; return the sha256."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, version=1, ids=np.array(ids), probabilities=probabilities, labels=labels
        )
        write_bytes(self.predictions(config), buffer.getvalue())
        return sha256_of(buffer.getvalue())

    def save_weights(self, config: RunConfig, model: nn.Module) -> str:
        """Write the network's weights and buffers, tied ones too; return the file's sha256."""
        import torch
        from safetensors.torch import save

        # a copy of each: safetensors refuses tensors that share memory, as tied weights do
        alone = {"device": "cpu", "copy": True, "memory_format": torch.contiguous_format}
        weights = {name: held.detach().to(**alone) for name, held in model.state_dict().items()}
        data = save(weights, metadata={"version": "1"})
        write_bytes(self.weights(config), data)
        return sha256_of(data)

    def weights_of(self, record: RunRecord) -> Path:
        """Return the file of a completed run's weights; a CurvatureError if it has none."""
        weights = self.weights(record.config)
        if record.status != COMPLETED or not weights.exists():
            gone = f"put {weights} back, or move its folder away and do the run again"
            remedy = gone if record.status == COMPLETED else "complete it first"
            said = f"run {record.name} is {record.status} and has no weights; {remedy}"
            raise CurvatureError(said)
        return weights

    def read_weights(self, record: RunRecord) -> dict[str, Tensor]:
        """Return what `save_weights` wrote; a CurvatureError if it is gone or cannot be read."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.weights_of(record)
        try:
            return load(read_checked(path, record.sha256_of(WEIGHTS)))
        except (SafetensorError, OSError) as error:
            said = f"the weights {path} cannot be read; train the run again"
            raise CurvatureError(said) from error

    def records(self, names: Iterable[str] | None = None) -> tuple[list[RunRecord], list[str]]:
        """Return the sound records of these runs, or of all, and a message for each other one."""
        found: list[RunRecord] = []
        damaged: list[str] = []
        alike: dict[object, object] = {}
        with without_collection():
            there = self.names()
            known = set(there)
            for name in there if names is None else (name for name in names if name in known):
                try:
                    if record := self.read(self.runs / name / RECORD):
                        found.append(_sharing(record, alike))
                except StoreError as error:  # damaged, or git has left a pointer in its place
                    damaged.append(str(error))
        return found, damaged

    def damaged(self, patterns: Sequence[str]) -> list[str]:
        """Return a message for each damaged record of runs with such a name or id."""
        names = [
            name
            for name in self.names()
            for pattern in patterns
            if fnmatch.fnmatchcase(name, pattern) or name.endswith(f"-{pattern}")
        ]
        return self.records(dict.fromkeys(names))[1]

    def names(self) -> list[str]:
        """Return what lies in the folder of runs, in order; nothing where there is none."""
        try:
            return sorted(os.listdir(self.runs))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"{self.runs} cannot be read: {error.strerror}; get permission to read it or "
                "choose another folder with --results"
            ) from error

    def retire(self, config: RunConfig, why: str) -> Path:
        """Move what there is of a run out of the way, so that it can be done anew.

        Why is written beside what was moved, into `note.txt`. Returns where it lies now, or raises
        Claimed where a living process is at the run.
        """
        with self.claim(config) as claim, store_errors(self.root):
            aside = self.root / "retired" / config.name
            numbers = (int(path.name) for path in aside.glob("*") if path.name.isdecimal())
            target = aside / str(max(numbers, default=0) + 1)
            target.mkdir(parents=True)
            for path in self.folder(config).iterdir():
                if path != claim.path:
                    path.rename(target / path.name)
            write_text(target / NOTE, f"{config.name} was moved here and done anew: {why}\n")
        return target

    def find(
        self, patterns: Sequence[str], records: Sequence[RunRecord] | None = None
    ) -> list[RunRecord]:
        """Return the records whose name or id matches one of the patterns (shell globs).

        The name of a study stands for its runs (`of_study`). Looked for among the given records, or
        all that can be read. A pattern of no run is a StoreError with the closest names; one of
        damaged runs alone is a DamagedError.
        """
        records = self.records()[0] if records is None else records
        chosen: dict[str, RunRecord] = {}
        for given in patterns:
            folder, _, pattern = given.rstrip("/").rpartition("/")  # as a shell completes a path
            if folder and Path(folder).resolve() != self.runs.resolve():
                said = f"{given} is not in {self.runs}; name its results folder with --results"
                raise StoreError(said)
            hits = [r for r in records if r.id == pattern] or self.of_study(pattern, records)
            hits = hits or [r for r in records if fnmatch.fnmatchcase(r.name, pattern)]
            if not hits and (damaged := self.damaged([pattern])):
                raise DamagedError("; ".join(damaged))
            if not hits:
                from sambench.config.suite_file import shipped_suites  # with numpy

                names = [record.name for record in records]
                said = f"no run {given!r} in {self.runs}{did_you_mean(pattern, names)}"
                makes = f"`sambench compare {pattern}` makes its runs"
                known = pattern in shipped_suites()
                raise StoreError(f"{said}; {makes if known else '`sambench list runs` shows all'}")
            chosen.update({record.id: record for record in hits})
        return list(chosen.values())

    def of_study(self, name: str, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the records of a study: those of its plan, or without one, first made for it."""
        from sambench.store.study_plan import planned_ids  # with numpy

        planned = planned_ids(self.root, name)
        return [r for r in records if (r.id in planned if planned else r.suite == name)]

    def find_one(self, pattern: str) -> RunRecord:
        """Return the only record whose name or id matches; a StoreError if none or several do."""
        found = self.find([pattern])
        if len(found) > 1:
            names = ", ".join(record.name for record in found[:3])
            more = ", ..." if len(found) > 3 else ""
            raise StoreError(f"{pattern!r} fits {len(found)} runs ({names}{more}); name one")
        return found[0]

    @contextmanager
    def claim(self, config: RunConfig, device: str = "") -> Iterator[Claim]:
        """Hold a run for this process, or raise Claimed where a living process holds it.

        Another user's run that we may not write is a ClaimError. The device is for others to see.
        """
        with ExitStack() as held:
            try:
                claim = held.enter_context(claiming(self.folder(config) / CLAIM, device))
            except OSError as error:
                if isinstance(error, PermissionError) and os.access(self.runs, os.W_OK):
                    raise ClaimError(
                        f"{self.folder(config)} is another user's and cannot be written "
                        f"({error.strerror}): let them go on with it, or get permission"
                    ) from error
                raise StoreError(
                    f"results folder {self.root} cannot be written ({error.strerror}); "
                    "choose another, or a copy of it, with --results"
                ) from error
            yield claim
