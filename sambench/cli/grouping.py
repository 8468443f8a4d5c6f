"""Commands whose options come in groups: a dataclass for each, whose fields are the options."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

HELP_PANEL = "Output"
PANEL = "panel"
"""Class variable of a group: the title under which the help shows its options."""


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as Typer reads it: each field of its groups is an option of its own.

    Args:
        command: A parameter that is annotated with a dataclass stands for a group of options. The
            fields of the dataclass are annotated as Typer's parameters are.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)
    }
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            flat.extend(_parameters(groups[name]))
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            flat.append(parameter.replace(annotation=hints[name], kind=kind))

    def call(**given: Any) -> None:
        made = {
            name: group(**{f.name: given.pop(f.name) for f in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    call.__name__, call.__module__ = command.__name__, command.__module__
    call.__doc__ = _filled(inspect.getdoc(command) or "")
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    return call


def _parameters(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the options of a group, under its title where they have none of their own."""
    hints = get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty
            if field.default is dataclasses.MISSING
            else field.default,
            annotation=_titled(hints[field.name], getattr(group, PANEL, None)),
        )


def _filled(text: str) -> str:
    """Join the lines of each paragraph; examples, which are indented, keep theirs."""
    paragraphs = (re.sub(r"\s*\n(?! )", " ", paragraph) for paragraph in text.split("\n\n"))
    return "\n\n".join(re.sub(r"\n +", "\n", paragraph) for paragraph in paragraphs)


def _titled(annotation: Any, title: str | None) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, information, *_ = get_args(annotation)
    if isinstance(information, typer.models.OptionInfo):
        information = copy(information)
        information.rich_help_panel = information.rich_help_panel or title
        if isinstance(information.show_default, str):  # Typer would put it in parentheses
            information.help = f"{information.help} [dim]\\[default: {information.show_default}][/]"
            information.show_default = False
    return Annotated[kind, information]


class Command(TyperCommand):
    """A command whose help shows no type beside flags, and itself among the output options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with what the help shows of them."""
        parameters = _without_type_of_flags(super().get_params(ctx))
        for parameter in parameters:
            if parameter.name == "help":
                parameter.rich_help_panel = HELP_PANEL
        return parameters


class Group(TyperGroup):
    """The commands together; its help shows no type beside flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with what the help shows of them."""
        return _without_type_of_flags(super().get_params(ctx))


def _without_type_of_flags(parameters: Any) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return list(parameters)


def given_options(context: typer.Context, options: Mapping[str, str]) -> dict[str, str]:
    """Return those of the options, by parameter, that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {
        name: options[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
