"""Several tests at once: Holm's step-down correction."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p values, in the given order.

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1 (Holm
    1979). It holds the chance of any false finding in the family, whatever the dependence.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, running)
    return tuple(adjusted)
