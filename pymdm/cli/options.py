"""Options of a command from the dataclass that they fill: one a field, its help from the class's docstring."""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any

import typer


@dataclass(frozen=True)
class OptionsOf:
    """Marks a command's parameter, a dict, that `with_options` replaces by an option for each field of a dataclass.

    Attributes:
        kind: the dataclass; the entries under "Args:" in its docstring are the help.
        leave_out: fields without an option.
        argument: a field that is an argument of the command instead.
        kinds: field -> type of its option, where it is not that of the field.
        defaults: what a field is without the option, where it is not the class's default; for the help.
    """

    kind: type
    leave_out: Collection[str] = ()
    argument: str = ""
    kinds: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> list[inspect.Parameter]:
        """A parameter for each option, as typer reads it; None where the user gives none."""
        found, told, hints = [], field_help(self.kind), typing.get_type_hints(self.kind)
        for f in fields(self.kind):
            if f.name in self.leave_out:
                continue
            text = told[f.name]
            if f.name == self.argument:
                info: Any = typer.Argument(help=text)
            else:
                default = self.defaults.get(f.name, f.default)
                if default not in (None, (), MISSING):
                    text += f" Default: {f'{default:g}' if isinstance(default, float) else default}."
                info = typer.Option(help=text)
            hint: Any = _plain(self.kinds.get(f.name, hints[f.name]))
            annotation: Any = Annotated[hint | None, info]
            found.append(inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
        return found


def field_help(kind: type) -> dict[str, str]:
    """Field -> its entry under "Args:" of a docstring, as a sentence in one line; quoted values lose their quotes.

    >>> @dataclass
    ... class Thing:
    ...     '''A thing.
    ...
    ...     Args:
    ...         size: how large; see
    ...             `Other`.
    ...         kind: "one" or "two".
    ...     '''
    ...     size: int = 1
    ...     kind: str = "one"
    >>> field_help(Thing)
    {'size': 'How large; see `Other`.', 'kind': 'one or two.'}
    """
    section = (inspect.getdoc(kind) or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    found = {name: re.sub(r"\s+", " ", text[:1].upper() + text[1:]).replace('"', "") for name, text in entries}
    return {f.name: "" for f in fields(kind)} | found


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options that its parameters marked by `OptionsOf` stand for.

    The command is called with a dict for each of them, of the options that were given.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, list[str]] = {}
    for parameter in inspect.signature(command).parameters.values():
        marks = [m for m in getattr(hints[parameter.name], "__metadata__", ()) if isinstance(m, OptionsOf)]
        if marks:
            made = marks[0].parameters()
            groups[parameter.name] = [p.name for p in made]
            parameters += made
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))

    @functools.wraps(command)
    def expanded(**values: Any) -> Any:
        for group, names in groups.items():
            given = {name: values.pop(name, None) for name in names}
            values[group] = {name: value for name, value in given.items() if value not in (None, [])}
        return command(**values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def _plain(hint: Any) -> Any:
    """A field's type as an option's: without None, a tuple of any length as a list (the option is then repeatable)."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = (h for h in typing.get_args(hint) if h is not type(None))
    return list[typing.get_args(hint)[0]] if typing.get_origin(hint) is tuple else hint  # type: ignore[misc]
