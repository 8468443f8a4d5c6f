"""The exceptions of sambench.

A `UserError` ends a command with one line and exit code 2, a `RunFailed` with one line and exit
code 1; the command line catches them once. Each message names the thing, the place and the remedy.
Everything else is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import sys
from collections.abc import Iterable, Sequence

INTERRUPTED = 130
"""Exit code of a command that was stopped by the user."""


class UserError(Exception):
    """The user can put it right; the message says what, where and how."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, out of range or contradicts another."""


class DataError(UserError):
    """Images, a workbook, labels or prepared data are missing or unusable."""


class UnpreparedError(DataError):
    """Prepared data are missing, damaged or of another format version; preparing is the remedy."""


class DeviceError(UserError):
    """The requested device does not exist on this machine."""


class StoreError(UserError):
    """The results folder or a record in it cannot be read or written."""


class DamagedError(StoreError):
    """A run's record, or a file beside it, is damaged, altered, incomplete or another run's."""


class NewerError(DamagedError):
    """A run's record is of a newer version of this package, which alone can read it."""


class ModelError(UserError):
    """A model cannot be built with this image size, or its weights cannot be had."""


class PluginError(UserError):
    """A plugin does not exist, fails, or takes a name that is taken."""


class LaunchError(UserError):
    """Runs cannot be handed to workers or to a cluster as asked."""


class CurvatureError(UserError):
    """The Hessian of this model, data or run cannot be measured."""


class RunFailed(Exception):
    """A run of another process failed, or its process died: killed, out of memory, crashed."""


class RunInterrupted(RunFailed):
    """Something outside of a run ended its process; the run can go on from its checkpoint."""


class ClaimError(RunFailed):
    """A claim on a run cannot be understood, or was removed while the run was being done."""


class UnknownNameError(UserError):
    """No entry of that name and kind ("optimizer"); offers the closest of `known`, and a remedy."""

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str) -> None:
        super().__init__(f"unknown {kind} {shown(name)}{did_you_mean(name, known)}; {remedy}")


def is_of_surroundings(error: BaseException | None) -> bool:
    """Whether an error is a fault of the disk, the network or other people's files, not of a run.

    A full disk, a folder that is gone, a missing permission, prepared data that are missing or
    damaged: the run itself may be in order and can go on when they are.
    """
    if isinstance(error, OSError | StoreError | UnpreparedError | RunInterrupted | ClaimError):
        return True
    return error is not None and is_of_surroundings(error.__cause__)


SET_UTF8 = (
    "this locale is not UTF-8: `export PYTHONUTF8=1`, then give the same command"
    if sys.getfilesystemencoding() != "utf-8"
    else ""
)
"""What to do where names of files that are UTF-8, as all that is stored, are read as others."""

DO_AGAIN = "`sambench compare SUITE --retry damaged` does the run again"
"""What to do about a damaged run, whichever command finds it."""


class SambenchWarning(UserWarning):
    """Something the user should know that does not stop the work."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `": did you mean 'sam'?"` for the closest known names, in whatever capitals, or ""."""
    spelled: dict[str, str] = {}
    for other in known:
        spelled.setdefault(other.casefold(), other)
    begun = [other for other in spelled if name and other.startswith(name.casefold())]
    alike = difflib.get_close_matches(name.casefold(), list(spelled), n=3, cutoff=0.5)
    found = alike if not begun or {*begun} & {*alike} else begun[:3]
    close = [spelled[match] for match in found]
    return f": did you mean {' or '.join(repr(match) for match in close)}?" if close else ""


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, shortened, however deep it is nested."""
    return _SHORTENED.repr(value)


_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\ufeff]")


def visible(text: str) -> str:
    """Return a text in which what a terminal obeys, or nobody sees, is written out as an escape."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


_SHORTENED = reprlib.Repr()
_SHORTENED.maxstring = _SHORTENED.maxother = _SHORTENED.maxlong = 100
_SHORTENED.maxlevel = 4


MOST_NAMES = 20


def reason_of(error: BaseException, longest: int | None = None) -> str:
    """Return what an error of a library says, in one line; its kind if it says nothing."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def some(names: Sequence[str], limit: int = MOST_NAMES) -> str:
    """Join names with commas; after `limit` of them say how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    'a, b ... and 1 more'
    """
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} ... and {len(names) - limit} more"


class Problems(dict[tuple[str, str], list[str]]):
    """Problems of several kinds, each with one remedy and the things that it was found at."""

    def add(self, kind: str, thing: str, remedy: str) -> None:
        """Note one thing, e.g. "benign(3)" of the kind "ids without an image file in img"."""
        self.setdefault((kind, remedy), []).append(thing)

    def check(self) -> None:
        """Stop if there is any problem.

        Raises:
            DataError: One line for each kind of problem, with up to twenty of its things.
        """
        lines = [f"{kind}: {some(things)}; {fix}" for (kind, fix), things in self.items()]
        if lines:
            raise DataError("\n".join(lines))
