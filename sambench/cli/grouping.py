"""Commands, whose options come in groups (a class for each), and how messages name commands."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from sambench.cli.completion import completed
from sambench.errors import did_you_mean

HELP_PANEL = "Output"
PLACES = ("data", "results", "plugin")
"""Options that say where things lie: without them another command looks elsewhere."""

_in_use: dict[str, str] = {}
"""What to add to each command that a message names, so that it looks where the present one does."""

Made = TypeVar("Made")


def option(metavar: str | None, text: str, *names: str, default: Any = None, **more: Any) -> Any:
    """Return a field of a group: an option with its help, called as the field is, or by `names`.

    The metavar tells what its value is, None for a flag. `more` is what else `typer.Option` takes;
    `show_default` is a text where the default itself says nothing.
    """
    if isinstance(more.get("show_default"), str):  # Typer would put it in parentheses
        text += f" [dim]\\[default: {more['show_default']}][/]"
        more["show_default"] = False
    given = {"metavar": metavar, "help": text, **more}
    return dataclasses.field(default=default, metadata={"names": names, "given": given})


def argument(metavar: str, text: str, **more: Any) -> Any:
    """Return what a word of the command line is; as `option`, for a parameter's annotation."""
    return typer.Argument(metavar=metavar, help=text, **more)


def flag(text: str, *names: str, **more: Any) -> Any:
    """Return a field of a group: an option without a value."""
    return option(None, text, *names, default=False, **more)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def group(title: str) -> Callable[[type[Made]], type[Made]]:
    """Make a class a group of options, under a title in the help."""

    def made(cls: type[Made]) -> type[Made]:
        cls.panel = title  # type: ignore[attr-defined]
        return dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    return made


def spelled(group: Any) -> dict[str, str]:
    """Return what the options of a group are called on the command line, by field."""
    return {f.name: _names(f)[0].partition("/")[0] for f in dataclasses.fields(group)}


def _names(field: Any) -> tuple[str, ...]:
    return field.metadata["names"] or (f"--{field.name.replace('_', '-')}",)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as Typer reads it: a parameter annotated with a group is its options."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {n: h for n, h in hints.items() if dataclasses.is_dataclass(h)}
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            flat.extend(_parameters(groups[name]))
        else:
            flat.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
    for parameter in flat:
        for info in getattr(parameter.annotation, "__metadata__", ()):
            info.autocompletion = completed(command.__name__, parameter.name, info.metavar)

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
    hints = get_type_hints(group)
    for field in dataclasses.fields(group):
        given = {"rich_help_panel": group.panel, **field.metadata["given"]}
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[hints[field.name], typer.Option(*_names(field), **given)],
        )


def _filled(text: str) -> str:
    """Join the lines of each paragraph; examples, which are indented, keep theirs."""
    paragraphs = (re.sub(r"\s*\n(?! )", " ", paragraph) for paragraph in text.split("\n\n"))
    return "\n\n".join(re.sub(r"\n +", "\n", paragraph) for paragraph in paragraphs)


class Command(TyperCommand):
    """A command whose help shows no type beside flags, and itself among the output options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; an option that takes one value and is given two is refused."""
        _, _, given = self.make_parser(ctx).parse_args(args=[*args])
        for one, times in Counter(given).items():
            if times > 1 and not getattr(one, "is_flag", True) and not one.multiple:
                said = f"is given {times} times, and only the last would count; give it once"
                ctx.fail(f"{one.opts[0]} {one.metavar} {said}")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the commands that it names have its folders."""
        said = {}
        for name, typed in given_options(ctx, {name: f" --{name} " for name in PLACES}).items():
            value = ctx.params[name]
            values = value if isinstance(value, list) else [value]
            said[name] = "".join(typed + shlex.quote(str(each)) for each in values)
        for name, command in ctx.parent.command.commands.items():
            has = {parameter.name for parameter in command.params}
            _in_use[name] = "".join(text for place, text in said.items() if place in has)
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help; on a narrow terminal long words are broken, not cut."""
        from rich.columns import Columns
        from rich.table import Table
        from typer import rich_utils

        def breaking(kind: Any, parts: str) -> Any:
            class Breaking(kind):  # type: ignore[misc]
                def __rich_console__(self, *place: Any) -> Any:
                    for part in getattr(self, parts):
                        part.overflow = "fold"
                    return super().__rich_console__(*place)

            return Breaking

        typers: Any = rich_utils
        typers.Table, typers.Columns = breaking(Table, "columns"), breaking(Columns, "renderables")
        super().format_help(ctx, formatter)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with what the help shows of them."""
        return _as_shown(super().get_params(ctx), HELP_PANEL)


class Group(TyperGroup):
    """The commands together; its help shows no type beside flags."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C, where it does not see to that itself, ends it like an error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with what the help shows of them."""
        return _as_shown(super().get_params(ctx))


def _as_shown(parameters: Any, help_panel: str | None = None) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        if parameter.name == "help" and help_panel:
            parameter.rich_help_panel = help_panel
    return list(parameters)


def given_options(context: typer.Context, options: dict[str, str]) -> dict[str, str]:
    """Return those of the options, by parameter, that stand on the command line."""
    return {
        name: option
        for name, option in options.items()
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }


def as_typed(text: str) -> str:
    """Return a message whose commands look where the present one does."""

    def with_places(found: re.Match[str]) -> str:
        program, command, rest = found.groups()
        elsewhere = command == "list" and not rest.startswith(" runs")
        places = "" if "--help" in rest or elsewhere else _in_use.get(command, "")
        return f"`{program} {command}{rest}{places}`"

    return re.sub(r"`(sambench) (\w+)([^`]*)`", with_places, text)


def usage_fault(error: Any, words: Sequence[str]) -> str:
    """Return in one line what is wrong with the words of a command line, and where to look."""
    context, text = error.ctx, " ".join(error.format_message().split())
    if context and hasattr(error, "possibilities"):
        known = [name for option in context.command.get_params(context) for name in option.opts]
        text = f"no option {error.option_name}{did_you_mean(error.option_name, known)}"
    text = text.rstrip(".").replace(". Did you mean", ": did you mean")
    command = [word for word in words[:1] if not word.startswith("-")]
    path = context.command_path if context else " ".join(["sambench", *command])
    return f"{text[:1].lower()}{text[1:]}; `{path} --help` shows all"
