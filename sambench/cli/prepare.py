"""`sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sambench.cli import options
from sambench.cli.grouping import argument, flag, group, grouped, option
from sambench.errors import ConfigError


@group("The files")
class Files:
    """Where the images come from."""

    xlsx: Path | None = option("FILE", "Table of the images: a workbook (.xlsx) or a CSV file.")
    source: Path | None = option("DIR", "Folder that holds the dataset's files.")
    test_source: Path | None = option("DIR", "Folder of test images, where they are kept apart.")
    pages: str | None = option(
        "first|all",
        "Which pages or frames to take of files that have several.",
        show_default="first",
    )
    raw: Path = option("DIR", "Folder of downloaded or simulated files.", default=Path("data/raw"))
    settings: list[str] | None = option(
        "KEY=VALUE",
        "A setting of the dataset, such as normal=drop; see `sambench list datasets`. Every one "
        "has fit=squash|letterbox|crop and depth=auto|8|10|12|14|16. Repeatable.",
        "--set",
    )


@group("The prepared dataset")
class Making:
    """What is made of them."""

    size: int | None = option(
        "PIXELS", "Side of the prepared images.", min=8, show_default="the dataset's own"
    )
    name: str | None = option(
        "NAME",
        "Name of the prepared dataset, where you have several of one kind.",
        show_default="the dataset's own",
    )
    skip_unreadable: bool = flag("Leave out images that cannot be read.")
    drop_conflicts: bool = flag("Leave out copies with different labels.")
    drop_duplicates: bool = flag("Keep only one of each image and its copies.")
    audit: bool = flag("Also report copies, conflicting labels, leaks between parts, shortcuts.")
    workers: int | None = option("THREADS", "Threads that decode.", min=1, show_default="all cores")


@group(options.PLACE)
class Place:
    """Where it is kept, and code of one's own."""

    data: Path = options.data()
    plugin: list[Path] | None = options.plugin()


@grouped
def prepare(
    dataset: Annotated[str, argument("DATASET", "One of `sambench list datasets`.")],
    files: Files,
    making: Making,
    output: options.Output,
    place: Place,
) -> None:
    """Read a dataset once and keep it ready for training, with a summary and a contact sheet.

    Examples:
      sambench prepare phantom --size 64
      sambench prepare bus --xlsx "BIRADS&FOLD.xlsx"
      sambench prepare folder --name ours --source DIR --audit
    """
    from sambench.cli.preparing import audit, decode, show_summary
    from sambench.config.settings import parse_settings
    from sambench.data.drawing import draw_contact_sheet, write_png
    from sambench.data.prepared import open_prepared, prepared_datasets
    from sambench.data.source import Request, sources
    from sambench.data.summary import summarize
    from sambench.data.writing import Drops
    from sambench.files.definition import check_name

    source, screen = sources.get(dataset), output.screen()
    name, side = making.name or dataset, making.size or source.image_size
    check_name(name, "--name")
    if name != dataset and name in {other.name for other in sources.list()}:
        raise ConfigError(f"--name {name} is another dataset's; choose a name of your own")
    drops = Drops(conflicts=making.drop_conflicts, duplicates=making.drop_duplicates)
    as_it_is = making.audit and files == Files(raw=files.raw) and drops == Drops()
    as_it_is = as_it_is and side in prepared_datasets(place.data).get(name, ())
    if as_it_is:
        prepared, reused = open_prepared(place.data, name, side), True
    else:
        settings = parse_settings(files.settings) | ({"pages": files.pages} if files.pages else {})
        request = Request(
            table=files.xlsx,
            folder=files.source,
            test=files.test_source,
            raw=files.raw,
            options=source.resolve(settings),
        )
        more = {"workers": making.workers, "skip_unreadable": making.skip_unreadable}
        done = decode(screen, source, request, place.data, side, name=name, drops=drops, **more)
        prepared, reused = done.prepared, done.reused
    sheet, summary = prepared.folder / "contact_sheet.png", summarize(prepared)
    if not as_it_is:
        if not (reused and sheet.exists()):
            write_png(draw_contact_sheet(prepared), sheet)
        if reused:
            screen.say(f"{prepared.folder} was prepared before from the same files; nothing to do")
        show_summary(screen, summary)
        screen.show(f"prepared in {prepared.folder}, contact sheet {sheet}")
    written = audit(screen, prepared) if making.audit else []
    output.answer(
        {
            "path": str(prepared.folder),
            "contact_sheet": str(sheet),
            "reused": reused,
            "summary": summary,
            "audit": [str(path) for path in written],
        }
    )
