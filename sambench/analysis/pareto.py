"""Which optimizers no other beats in both score and cost."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> tuple[int, ...]:
    """Return the places that are not dominated, by ascending cost.

    A place is dominated where another costs no more and scores no less, and is better in one of
    the two (Pareto 1906). Places alike in both are all on the front.

    Args:
        costs: Lower is better.
        scores: Higher is better.

    Raises:
        ValueError: If there is not one score for each cost.
    """
    if len(costs) != len(scores):
        raise ValueError("a front needs a score for each cost")
    order = sorted(range(len(costs)), key=lambda place: (costs[place], -scores[place]))
    front: list[int] = []
    for place in order:
        best = front[-1] if front else None
        alike = best is not None and (costs[best], scores[best]) == (costs[place], scores[place])
        if best is None or alike or scores[place] > scores[best]:
            front.append(place)
    return tuple(front)
