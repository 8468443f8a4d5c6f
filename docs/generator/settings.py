"""The page of the settings of a run."""

from __future__ import annotations

from docs.generator.markdown import Page, code
from sambench.config.run_config import AFTERWARDS, EXECUTION, RunConfig
from sambench.config.stop import STOP_RULES, StopRule
from sambench.files.description import Described, described

INTRODUCTION = """
Everything here affects a run's numbers and goes into its id, a hash: the same settings are the same
run, and another value is another run. Only {unnamed} do not: they say how steps are executed, and
what is measured of the final weights. The command line has options for some settings, and
`--set name=value` for all others; a suite sets them under `defaults`, `matrix` and `include`
([suites](suites.md)). Device, threads and workers are no settings: they change at most how sums are
rounded, and the record of a run says what they were. Before a run begins, a note names settings
that do nothing together with the others, or not what one would expect.
"""
OPTIMIZER = """
`optimizer` is a name, or a mapping with hyperparameters, `{name: sam, rho: 0.1, base: sgd}`;
`base`, `lr` and `weight_decay` may also stand beside it. The page of each
[optimizer](optimizers/README.md) lists its hyperparameters. The [curvature
settings](curvature.md#settings) are no part of a run's id, since they measure a run that exists.
"""


def page() -> str:
    """Return the page."""
    page = Page("Settings of a run")
    *most, last = map(code, (*EXECUTION, *AFTERWARDS))
    page.text(INTRODUCTION.format(unnamed=f"{', '.join(most)} and {last}"))
    page.table(
        ("Setting", "Default", "Allowed", "Unit", "Meaning"),
        [
            (f"`{f.name}`", _default(f), _allowed(f), f.unit, f.meaning)
            for f in described(RunConfig)
        ],
    )
    page.text(OPTIMIZER)
    page.heading("Stop rules")
    page.text(
        "`stop` is a rule, or a rule with its value: `patience=10`. Training never goes beyond the "
        "number of `epochs`."
    )
    page.table(
        ("Rule", "Value by default", "Allowed", "Unit", "Training ends when"),
        [
            (f"`{name}`", _value(rule), rule.allowed if rule.unit else "", rule.unit, rule.meaning)
            for name, rule in STOP_RULES.items()
        ],
    )
    return str(page)


def _default(field: Described) -> str:
    if field.name == "stop":
        return code(field.default.rule)
    return "required" if field.required else code(field.default)


def _allowed(field: Described) -> str:
    return "see below" if field.name in ("optimizer", "stop") else field.allowed


def _value(rule: StopRule) -> str:
    if not rule.unit:
        return "takes none"
    return "required" if rule.default is None else code(rule.default)
