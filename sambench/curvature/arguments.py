"""How an argument that means nothing is refused: before any work, in one line, by its name."""

from __future__ import annotations

import math
from typing import Any, get_args


def require_one_of(choices: Any, **given: object) -> None:
    """Refuse what is none of the values of a `Literal`."""
    for name, value in given.items():
        if value not in get_args(choices):
            raise ValueError(f"{name}={value!r}: one of {', '.join(map(str, get_args(choices)))}")


def require_at_least(least: int, **given: float | None) -> None:
    """Refuse what is below the least; None, where it is allowed, stands for a default."""
    for name, value in given.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name}={value!r} must be at least {least}")


def require_positive(**given: float | None) -> None:
    """Refuse what is not above zero or not finite; None likewise."""
    for name, value in given.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value!r} must be positive")


def require_functions(**given: object) -> None:
    """Refuse what cannot be called, such as None: of a call that tells nobody, leave it out."""
    for name, value in given.items():
        if not callable(value):
            raise ValueError(f"{name}={value!r} must be a function, or left out")
