"""Options that are generated: one a field of the dataclass, with its type, its help and its default."""

import inspect
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from helpers.command_line import run
from typer.testing import CliRunner

from pymdm.cli.options import OptionsOf, field_help, with_options
from pymdm.sampling.options import SampleOptions
from pymdm.train.recipe import PRESETS, Recipe


@dataclass(frozen=True)
class Thing:
    """A thing.

    Args:
        where: a place.
        size: how large, in "units"
            of one.
        share: a part: any.
        bold: said aloud.
        many: some numbers.
        file: of numbers.
        hidden: not for the command line.

    Raises:
        ValueError: never.
    """

    where: str | None = None
    size: int = 3
    share: float = 0.25
    bold: bool = False
    many: tuple[int, ...] = ()
    file: tuple[float, ...] | None = None
    hidden: int = 0


def made(seen):
    @with_options
    def command(
        *,
        first: int = 1,
        thing: Annotated[
            dict[str, Any],
            OptionsOf(Thing, leave_out=("hidden",), argument="where", kinds={"file": Path}, defaults={"size": 7}),
        ],
        last: bool = False,
    ) -> None:
        """Does it."""
        seen.append((first, thing, last))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    return app


def test_fields_are_options_of_their_types_and_only_what_is_given_arrives():
    seen = []
    words = "here --size 5 --share 1e-3 --no-bold --many 4 --many 2 --file a.txt --last"
    assert CliRunner().invoke(made(seen), words.split()).exit_code == 0
    thing = {"where": "here", "size": 5, "share": 1e-3, "bold": False, "many": [4, 2], "file": Path("a.txt")}
    assert seen.pop() == (1, thing, True)
    assert CliRunner().invoke(made(seen), ["--size", "0"]).exit_code == 0
    assert seen.pop() == (1, {"size": 0}, False)
    assert CliRunner().invoke(made(seen), ["--size", "0.5"]).exit_code == 2 and not seen
    assert CliRunner().invoke(made(seen), ["--hidden", "1"]).exit_code == 2 and not seen


def test_the_help_is_the_docstrings():
    assert field_help(Thing)["size"] == "How large, in units of one."
    shown = CliRunner().invoke(made([]), ["--help"], env={"COLUMNS": "200"}).stdout
    shown = " ".join(shown.split())
    for line in (
        r"--size \S+ How large, in units of one\. Default: 7\.",
        r"--share \S+ A part: any\. Default: 0\.25\.",
        r"--bold / --no-bold Said aloud\. Default: False\.",
        r"--many \S+ Some numbers\. --file \S+ Of numbers\.",
    ):
        assert re.search(line, shown), (line, shown)
    order = [shown.index(f"--{name}") for name in ("first", "size", "share", "bold", "many", "file", "last")]
    assert order == sorted(order)


@pytest.mark.parametrize("kind", [Recipe, SampleOptions])
def test_every_field_has_a_help_of_its_own(kind):
    told = field_help(kind)
    assert list(told) == [f.name for f in fields(kind)]
    for name, text in told.items():
        assert name == "allowed" or (8 < len(text) < 260 and text.endswith(".")), (name, text)


def test_train_has_every_setting_of_a_recipe():
    from pymdm.cli.train import train

    shown = " ".join(run("train", "--help").stdout.split())
    for f in fields(Recipe):
        assert f.name in inspect.signature(train).parameters
        assert f.name == "source" or f"--{f.name.replace('_', '-')}" in shown, f.name
    assert f"Default: {PRESETS['demo']['vocab_size']}." in shown and "Default: 0.03." in shown
    assert shown.index("--out") < shown.index("--held-out") < shown.index("--vocab-size") < shown.index("--threads")
