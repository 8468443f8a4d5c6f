"""Datasets that need nobody's files are prepared when a run first asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambench.cli.screen import Screen


def make_data(screen: Screen, data: Path, dataset: str, image_size: int) -> None:
    """Simulate and prepare a dataset that is made on the spot, where no size of it is prepared.

    One that is prepared at another size may have been made with settings of its own, so that is
    left to `sambench prepare`.

    Args:
        screen: Where to show how it goes.
        data: Folder of the prepared datasets; what is made lies in `raw` beside it.
        dataset: Its name; nothing happens where it is not simulated.
        image_size: Side of the prepared images in pixels.
    """
    from sambench.data.prepared import prepared_sizes
    from sambench.data.source import Request, sources

    if prepared_sizes(data, dataset) or dataset not in {found.name for found in sources.list()}:
        return
    source = sources.get(dataset)
    if not source.simulated:
        return
    from sambench.data.preparation import prepare

    screen.say(f"dataset {dataset!r} is not prepared; making it in {data}")
    with screen.progress() as progress:
        prepare(
            source,
            Request(raw=data.parent / "raw", options=source.resolve({}), progress=progress),
            data,
            image_size,
            on_start=screen.outlook,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
        )
