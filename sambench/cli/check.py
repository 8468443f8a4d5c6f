"""`sambench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    plugin: Annotated[Path, typer.Argument(help="A Python file that registers an optimizer.")],
) -> None:
    """Run the contract of all optimizers on those of a file, and say what they do not keep.

    Example: sambench check examples/my_optimizer.py
    """
    from sambench.console import Screen
    from sambench.errors import PluginError
    from sambench.optim.contract import findings
    from sambench.optim.method import optimizers
    from sambench.plugin import load_plugin

    module = load_plugin(plugin)
    own = [info for info in optimizers.list() if info.method.__module__ == module]
    if not own:
        raise PluginError(
            f"{plugin} registers no optimizer; decorate its class with "
            "@optimizer(...) from sambench.optim.method"
        )
    screen = Screen()
    broken = 0
    for info in own:
        found = list(findings(info))
        rows = [(rule.name, "kept" if wrong is None else wrong) for rule, wrong in found]
        failed = sum(wrong is not None for _, wrong in found)
        caption = f"{info.name}: {len(found) - failed} of {len(found)} rules kept"
        screen.listing(("rule", "found"), rows, caption)
        broken += failed
    raise typer.Exit(int(broken > 0))
