"""`sambench compare --plan`: what there is, what would run, and how long it would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.files.atomic import human

if TYPE_CHECKING:
    from sambench.analysis.time_estimates import Forecast, Timed
    from sambench.cli.screen import Screen
    from sambench.store.status import Standing


def show_plan(
    screen: Screen, standings: Sequence[Standing], coming: int, timed: Timed | None = None
) -> None:
    """Show the standing of each run, the number in each state, and the time left.

    Args:
        screen: Where to show it.
        standings: Of all runs that are known.
        coming: Tuned runs that become known when their search is done.
        timed: What was timed for it, where no finished run tells.
    """
    from sambench.analysis.time_estimates import forecast
    from sambench.store.environment import git_state
    from sambench.store.status import counts, pending

    rows = [(s.config.name, s.state, s.action, s.note) for s in standings]
    headings = ("run", "state", "would", "") if any(s.note for s in standings) else _HEADINGS
    screen.listing(headings, [row[: len(headings)] for row in rows], f"{len(rows)} runs")
    sizes = sorted({(s.config.dataset, s.config.image_size) for s in standings})
    screen.show("images: " + ", ".join(f"{name} at {side} px" for name, side in sizes))
    states = ", ".join(f"{number} {state}" for state, number in counts(standings).items())
    screen.show(f"{states}" + (f"; {coming} tuned runs follow the search" if coming else ""))
    left = len(pending(standings))
    if left:
        screen.show(_time_left(forecast(standings, timed), len(timed or ())))
    codes = sorted({s.code for s in standings if s.code})
    here = git_state()
    if len(codes) > 1 or (codes and here and not codes[0].endswith(here)):
        screen.show(f"note: made by sambench {', '.join(codes)}; this is {here or 'no checkout'}")
    screen.show(f"{left} of {len(rows)} runs have something to do; nothing was run")


_HEADINGS = ("run", "state", "would")


def time_steps(
    screen: Screen, standings: Sequence[Standing], data: Path, device: str | None
) -> Timed:
    """Time some passes of each kind of run of which no finished one tells, and say how long."""
    from sambench.analysis.time_estimates import untimed
    from sambench.run.pace import measure_pace
    from sambench.store.environment import choose_device

    found = {}
    for kind, config in untimed(standings).items():
        pace = measure_pace(config, data, choose_device(device)[0])
        found[kind] = (pace.seconds, pace.images)
        memory = f", {human(pace.memory_bytes)} of the device" if pace.memory_bytes else ""
        screen.say(
            f"timed {config.model} at {config.image_size} px: {1000 * pace.seconds:.0f} ms for a "
            f"gradient of {config.batch_size} images (slowest {pace.spread:.1f} times the "
            f"fastest){memory}"
        )
    return found


def _time_left(left: Forecast, timed: int) -> str:
    if not left.known:
        return (
            "time left: not known before a run like these is finished; --measure times some steps"
        )
    if not left.finished:
        return (
            f"time left: about {duration(left.seconds)} on one device for {left.known} runs, by "
            f"the steps timed of {timed} kinds of runs; curvature comes on top"
        )
    others = f"; {left.unknown} more runs have no finished one like them" if left.unknown else ""
    return (
        f"time left: about {duration(left.seconds)} on one device for {left.known} runs, at the "
        f"pace of {left.finished} finished ones{others}"
    )


def duration(seconds: float) -> str:
    """Write seconds as people say them: `40 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{days} d {hours} h"
