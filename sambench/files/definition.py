"""One definition of each structure that is stored or given: its fields, checked as they are read.

A structure is a class. Each field has its type, range, default, meaning and unit at one place:

    class Stop(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
        rule: Annotated[Literal["epochs", "minutes"], "What ends training."] = "epochs"
        value: Annotated[Positive | None, "The rule's budget.", unit("minutes")] = None

Text is the meaning; msgspec's `Meta` says the rest, under `extra` also what is `allowed` in words,
and what a user may write `also`, which is replaced before the field is checked.

`build` and `decode` make one of plain values and of JSON; what is wrong is named with its path, the
nearest known key and what is allowed. `sambench.files.description` tells the same to people.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct

from sambench.errors import ConfigError, did_you_mean, shown
from sambench.files.description import allowed, parts_of

LONGEST_NAME = 200
"""Letters from which on a message shortens a name."""

T = TypeVar("T")
Path = tuple[str | int, ...]  # keys and positions that lead from the top of a structure to a value

LARGEST = 2**63 - 1
HUGE = 1e300
"""Far above what any field needs; keeps out infinity, and whole numbers that no array can hold."""

NAME = r"^[A-Za-z0-9][\w.-]*$(?!\n)"
"""What a name must look like that becomes a part of a file's: no separator, nothing hidden."""

EMPTY: Any = msgspec.field(default_factory=dict)  # default of a mapping

Whole = Annotated[int, Meta(ge=1, le=LARGEST)]
Several = Annotated[int, Meta(ge=2, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[float, Meta(gt=0, le=HUGE)]
Amount = Annotated[float, Meta(ge=0, le=HUGE)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Tolerance = Annotated[float, Meta(gt=0, le=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Sha256 = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"allowed": "64 hexadecimal digits"})
]
_NAME_IN_WORDS = {"allowed": "a name of at most 80 letters, digits and ._-"}
Name = Annotated[str, Meta(pattern=NAME, max_length=80, extra=_NAME_IN_WORDS)]


def check_name(given: str, what: str) -> None:
    """Refuse, by a ConfigError, what is no `Name`, and so could lead out of the folder it names."""
    try:
        msgspec.convert(given, Name)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{what} {shown(given)} is not allowed; allowed: {_NAME_IN_WORDS['allowed']}"
        ) from None


def unit(name: str) -> Meta:
    """Say in which unit the number of a field is."""
    return Meta(extra={"unit": name}, extra_json_schema={"unit": name})


class Definition(Struct, frozen=True, kw_only=True):
    """A structure that is stored or given."""


class Section(Definition, frozen=True, kw_only=True):
    """A part of a stored file; it is read by attributes or as the mapping that the file has."""

    def __getitem__(self, key: str) -> Any:
        """Return a field by its name in the file; a KeyError if the file does not have it."""
        value = self.get(key, UNSET)
        if value is UNSET:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return self.get(key, UNSET) is not UNSET

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __bool__(self) -> bool:
        return True  # without this, `if section` would count its fields

    def keys(self) -> list[str]:
        """Return the fields that there are, by their names in the file."""
        names = _attributes(type(self)).items()
        return [str(name) for name, own in names if getattr(self, own) is not UNSET]

    def items(self) -> list[tuple[str, Any]]:
        """Return the fields that there are, with their values."""
        return [(name, self[name]) for name in self.keys()]

    def get(self, key: object, default: Any = None) -> Any:
        """Return a field, or the default where the file does not have it."""
        value = getattr(self, _attributes(type(self)).get(key, ""), UNSET)
        return default if value is UNSET else value


Mapping.register(Section)


@functools.cache
def _attributes(of: type[Struct]) -> dict[object, str]:
    """Return the attributes of a structure by the names that they have in a file."""
    return dict(zip(of.__struct_encode_fields__, of.__struct_fields__, strict=True))


class Fault(ConfigError):
    """A value does not fit its definition: one line says which, and what is allowed."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path  # where it stands


def build(of: type[T], given: object, *names: str, what: str = "") -> T:
    """Make a structure of a mapping of plain values, as a user gave them.

    A key that is unknown or missing, or a value of the wrong type or out of range, is a Fault. It
    calls the structure by the names, which go before that of a field, or by `what` it is.
    """
    try:
        return msgspec.convert(given, of, dec_hook=_parse)
    except (msgspec.ValidationError, ConfigError) as error:
        _Search(" ", what).walk(of, given, names)
        raise error if isinstance(error, Fault) else Fault(str(error), names) from None


def decode(of: type[T], data: bytes | str) -> T:
    """Make a structure of JSON; a ValueError if it is none at all, a Fault if it does not fit."""
    try:
        decoded: T = _decoder(cast("Any", of)).decode(data)
        return decoded
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        try:
            given = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise ValueError("it is no JSON") from None
        _Search(".", "it").walk(of, given, ())
        raise Fault(str(error), ()) from None


def plain(structure: Struct) -> dict[str, Any]:
    """Return a structure as plain values for JSON, without the fields that it lacks."""
    found: dict[str, Any] = msgspec.to_builtins(structure, enc_hook=lambda own: own.to_dict())
    return found


@functools.cache
def _decoder(of: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(of, dec_hook=_parse)


def _parse(of: Any, given: object) -> Any:
    """Make what is no structure of plain values: it knows itself how."""
    return of.parse(given)


@functools.cache
def hints_of(of: type) -> dict[str, Any]:
    """Return the annotation of each field of a structure, by its name in a file."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(of)}


@dataclass
class _Search:
    """Finds what made a conversion fail: it goes down the values beside their annotations."""

    joint: str
    what: str

    def walk(self, hint: Any, given: object, path: Path) -> None:
        """Raise a fault if there is one in a value."""
        for part in parts_of(hint):
            if isinstance(part, type) and issubclass(part, Struct) and isinstance(given, Mapping):
                return self._structure(part, given, path)
            item = getattr(part, "__args__", (None,))[0]
            if getattr(part, "__origin__", None) in (list, tuple) and isinstance(given, list):
                for position, value in enumerate(given):
                    self.walk(item, value, (*path, position))
            if getattr(part, "__origin__", None) is dict and isinstance(given, Mapping):
                for key, value in given.items():
                    self.walk(part.__args__[1], value, (*path, str(key)))
        try:
            msgspec.convert(given, hint, dec_hook=_parse)
        except msgspec.ValidationError:
            choice = any(get_origin(part) is Literal for part in parts_of(hint))
            names = allowed(hint).split(", ") if choice else []
            near = did_you_mean(given, names) if type(given) is str else ""
            said = f"{self._spelled(path)}={shown(given)} is not allowed{near}"
            raise Fault(f"{said}; allowed: {allowed(hint)}", path) from None
        except ConfigError as error:
            raise Fault(str(error), path) from None
        return None

    def _structure(self, of: type[Struct], given: Mapping[Any, Any], path: Path) -> None:
        hints = hints_of(of)
        unknown = [key for key in given if key not in hints]
        for key in unknown if of.__struct_config__.forbid_unknown_fields else ():
            inside = self._spelled(path) or self.what
            near = did_you_mean(str(key), hints)
            raise Fault(
                f"unknown key {shown(str(key))} in {inside}{near}; known: {', '.join(hints)}",
                (*path, str(key)),
            )
        missing = []
        for field in msgspec.structs.fields(of):
            name, hint = field.encode_name, field.type
            empty = given.get(name) is None and type(None) not in parts_of(hint)
            if name in given and not (empty and field.required):
                self.walk(hint, given[name], (*path, name))
            elif field.required:
                missing.append(name)
        for name in missing:
            near = did_you_mean(name, map(str, unknown))
            raise Fault(f"{self._spelled(path) or self.what} needs {name!r}{near}", path)

    def _spelled(self, path: Path) -> str:
        return self.joint.join(
            name if name.isprintable() and len(name) < LONGEST_NAME else shown(name)
            for name in map(str, path)
        )
