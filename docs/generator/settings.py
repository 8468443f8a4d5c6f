"""The page of the settings of a run."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields

from docs.generator.docstrings import docstring
from docs.generator.markdown import Page, code
from sambench.config.run_config import STOP_RULES, RunConfig, Stop
from sambench.errors import ConfigError

INTRODUCTION = """
Everything here affects a run's numbers and goes into its id, a hash: the same settings are the same
run, and another value is another run. The command line sets what it has an option for, and the rest
by `--set name=value`; a suite sets all under `defaults`, `matrix` and `include`
([suites](suites.md)). Device, folders, workers and display are no settings: they change no number.
"""
OPTIMIZER = """
`optimizer` is a name, or a mapping with hyperparameters, `{name: sam, rho: 0.1, base: sgd}`;
`base`, `lr` and `weight_decay` may also stand beside it. The pages of the
[optimizers](optimizers/README.md) list theirs. The [curvature settings](curvature.md#settings) are
no part of a run's id: they measure a run that exists.
"""
BEYOND = 2.5
"""What no setting may be: neither a name nor a choice, no whole number, and no fraction."""
SOUND = {"dataset": "any", "image_size": 64, "model": "any", "optimizer": "adam"}


def page() -> str:
    """Return the page."""
    page = Page("Settings of a run")
    page.text(INTRODUCTION)
    meanings = docstring(RunConfig).meanings
    page.table(
        ("Setting", "Default", "Allowed", "Meaning"),
        [
            (f"`{f.name}`", _default(f), allowed(f.name), meanings[f.name])
            for f in fields(RunConfig)
        ],
    )
    page.text(OPTIMIZER)
    page.heading("Stop rules")
    page.text(
        "`stop` is a rule, or a rule with its value: `patience=10`. The number of `epochs` caps "
        f"every rule. {docstring(Stop).meanings['value']}"
    )
    page.table(
        ("Rule", "Value by default"),
        [
            (f"`{rule}`", code(value) if value is not None else _without(rule))
            for rule, value in STOP_RULES.items()
        ],
    )
    return str(page)


def _default(field: Field[object]) -> str:
    if field.name == "stop":
        return code(Stop().rule)
    return "required" if field.default is MISSING else code(field.default)


def _without(rule: str) -> str:
    """Say whether a rule without a default value takes one."""
    try:
        Stop.parse(rule)
    except ConfigError:
        return "required"
    return "takes none"


def allowed(name: str) -> str:
    """Return what a setting may be, as its own complaint says it."""
    if name in ("optimizer", "stop"):
        return "see below"
    try:
        RunConfig.from_dict({**SOUND, name: BEYOND})
    except ConfigError as error:
        return str(error).rpartition("allowed: ")[2]
    raise ValueError(f"{name} takes anything")
