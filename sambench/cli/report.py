"""`sambench report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from sambench.cli.grouping import argument, flag, group, grouped, option
from sambench.cli.options import Filter, Output, Place


@group("What it says")
class Content:
    """What the report says."""

    baseline: str | None = option(
        "NAME",
        "Optimizer that the others are compared with, such as adam or 'adam (lr=0.001)'.",
        show_default="the suite's, or adam",
    )
    published: bool = flag("Show the papers' tables and claims beside your runs.")
    explain: str | None = option(
        "CELL",
        "Show the records and the arithmetic of one number, such as sam/accuracy or "
        "resnet50/sam/top (with --published: claim/sam-beats-adam); write nothing.",
    )
    predictions: bool = flag(
        "Also write predictions.csv, with a row for each test image of each run."
    )
    name: str | None = option(
        "NAME",
        "Folder of the report within results/reports.",
        show_default="the suite's, or made of the patterns",
    )
    out: Path | None = option(
        "DIR", "Folder to write into, if it cannot or should not be results/reports."
    )
    names: Path | None = option(
        "FILE", "YAML of names to show, as `optimizers: {sam: SAM}`; also models and datasets."
    )


@grouped
def report(
    content: Content,
    place: Place,
    output: Output,
    chosen: Filter,
    patterns: Annotated[
        list[str] | None,
        argument(
            "SUITE or RUN",
            "Names or files of suites, or names, ids or shell patterns of runs.",
            show_default="all runs",
        ),
    ] = None,
) -> None:
    """Write the answer, tables, figures and a methods text from stored records alone.

    Examples:
      sambench report demo
      sambench report demo --explain sam/accuracy
    """
    from sambench.store.tree import without_collection

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its matrices are small: threads only spin
    with without_collection():  # hardly anything is garbage before the end
        from sambench.cli.reporting import Report
        from sambench.report.explain import find_source
        from sambench.report.forms import to_plain

        screen, patterns = output.screen(), patterns or []
        made = Report(
            patterns,
            chosen.where or (),
            place,
            baseline=content.baseline,
            names=content.names,
            published=content.published,
        )
        screen.warn_of_damage(made.found.damaged)
        if content.explain is not None:
            lines = list(find_source(content.explain, made.sources).explain())
            screen.show(*lines)
            output.answer({"explanation": lines})
            return
        whole = made.found.plan.suite or "-".join(patterns) or "all"
        part = "".join(f"-where-{condition.replace('=', '-')}" for condition in made.found.part)
        name = content.name or whole + part
        document, written = made.write(screen, content.out, name, predictions=content.predictions)
        if output.as_json:  # the plain form of a large report takes its time
            output.answer(to_plain(document, written))
