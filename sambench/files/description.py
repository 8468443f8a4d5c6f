"""What the definition of a structure says, for people: types, ranges, defaults and meanings."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct, UnsetType

BEYOND_NUMBERS = 1e18
"""Bounds above this only keep out what no field can mean, and are not worth a reader's time."""

NAMES = {str: "text", bool: "true or false", type(None): "null", Any: "anything"}


@dataclass(frozen=True, kw_only=True)
class Described:
    """One field of a structure."""

    name: str  # in the file
    type: Any  # its annotation
    allowed: str  # the type in words, with its range
    choices: tuple[str, ...]  # all that a user may write, where that is a few
    default: Any  # None where there is none
    required: bool
    optional: bool  # a stored file may lack it
    unit: str  # of a number; empty where it has none
    meaning: str


def described(of: type[Struct]) -> tuple[Described, ...]:
    """Return the fields of a structure, in order."""
    return tuple(map(_described, msgspec.structs.fields(of)))


def allowed(hint: Any) -> str:
    """Return in words what values an annotation allows."""
    said = [_words(part) for part in _annotated_parts(hint) if part is not type(None)]
    return " or ".join(dict.fromkeys(said))


def parts_of(hint: Any) -> tuple[Any, ...]:
    """Return the types that an annotation is one of, without what is said about them."""
    return tuple(_bare(part) for part in _annotated_parts(hint))


def _described(field: msgspec.structs.FieldInfo) -> Described:
    metas, unset = _metas(field.type), UnsetType in get_args(_bare(field.type))
    default = field.default if field.default_factory is NODEFAULT else field.default_factory()
    return Described(
        name=field.encode_name,
        type=field.type,
        allowed=(said := allowed(field.type)),
        choices=_choices(field.type, said),
        default=None if default is NODEFAULT or unset else default,
        required=field.required,
        optional=unset,
        unit=str(_extra(metas, "unit", "")),
        meaning=next((said for said in _said(field.type) if isinstance(said, str)), ""),
    )


def _choices(hint: Any, said: str) -> tuple[str, ...]:
    if any(get_origin(part) is Literal for part in parts_of(hint)):
        return tuple(said.split(", "))
    return ("true", "false") if parts_of(hint) == (bool,) else ()


def _annotated_parts(hint: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, each with what is said about it; without "not there"."""
    bare = _bare(hint)
    if get_origin(bare) in (Union, types.UnionType):
        return tuple(p for a in get_args(bare) if a is not UnsetType for p in _annotated_parts(a))
    return (hint,)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _said(hint: Any) -> tuple[Any, ...]:
    """Return what is said about a type: its meaning as text, and its range and unit as `Meta`."""
    return getattr(hint, "__metadata__", ())


def _metas(hint: Any) -> tuple[Meta, ...]:
    return tuple(said for said in _said(hint) if isinstance(said, Meta))


def _extra(metas: tuple[Meta, ...], name: str, default: object) -> Any:
    return next((m.extra[name] for m in metas if m.extra and name in m.extra), default)


def _words(hint: Any) -> str:
    bare, metas = _bare(hint), _metas(hint)
    if said := _extra(metas, "allowed", ""):
        return str(said)
    origin, arguments = get_origin(bare), get_args(bare)
    if origin is Literal:
        return ", ".join(map(str, (*arguments, *_extra(metas, "also", ()))))
    if bare in (int, float):
        return _number(bare, metas)
    if origin in (list, tuple):
        each = allowed(arguments[0])
        return "a list of values" if " or " in each else f"a list, each {each}"
    if origin is dict or (isinstance(bare, type) and issubclass(bare, Struct)):
        return "a mapping"
    return NAMES.get(bare, getattr(bare, "__name__", str(bare)))


def _number(kind: type, metas: tuple[Meta, ...]) -> str:
    """Return a range in words: "a whole number >= 1", "a number in [0, 1)"."""
    said = "a whole number" if kind is int else "a number"
    gt, ge, lt, le = (
        next((v for m in metas if (v := getattr(m, name)) is not None), None)
        for name in ("gt", "ge", "lt", "le")
    )
    upper = le if lt is None else lt
    if upper is None or upper > BEYOND_NUMBERS:
        if gt is not None:
            return f"{said} above {gt:g}"
        return said if ge is None else f"{said} >= {ge:g}"
    left, right = "(" if ge is None else "[", ")" if le is None else "]"
    lower = gt if ge is None else ge
    return f"{said} in {left}{lower:g}, {upper:g}{right}"
