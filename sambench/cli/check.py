"""`sambench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sambench.cli.grouping import argument, grouped
from sambench.cli.options import Output


@grouped
def check(
    plugin: Annotated[Path, argument("FILE", "A Python file that registers an optimizer.")],
    output: Output,
) -> None:
    """Test the optimizers of a file by the rules that every optimizer here keeps.

    Example:
      sambench check examples/my_optimizer.py
    """
    from sambench.errors import PluginError
    from sambench.optim.contract import RULES, findings
    from sambench.optim.method import optimizers
    from sambench.plugin import files_of, load_plugin

    load_plugin(plugin)
    name = plugin.resolve().name
    own = [o for o in optimizers.list() if name in files_of([("optimizer", o.name)])]
    if not own:
        raise PluginError(
            f"{plugin} registers no optimizer; decorate its class with "
            "@optimizer(...) from sambench.optim.method"
        )
    screen = output.screen()
    answers = []
    for info in own:
        rules: list[dict[str, Any]] = []
        with screen.progress() as progress:
            for rule, wrong in findings(info):
                rules.append({"rule": rule.name, "kept": wrong is None, "found": wrong})
                progress(len(rules), len(RULES), info.name)
        kept = sum(rule["kept"] for rule in rules)
        rows = [(rule["rule"], rule["found"] or "kept") for rule in rules]
        screen.listing(("rule", "found"), rows, f"{info.name}: {kept} of {len(rules)} rules kept")
        answers.append({"name": info.name, "kept": kept == len(rules), "rules": rules})
    kept_all = all(answer["kept"] for answer in answers)
    output.answer({"file": str(plugin), "kept": kept_all, "optimizers": answers})
    raise typer.Exit(int(not kept_all))
