"""`pymdm bench`: measurements, as ratios in one run; each case is a command, whose options are those of the case's parser."""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import subprocess
import sys
import time
from typing import Annotated, Any

import typer

from pymdm.bench.cases import CASES, TOOLS, module_name
from pymdm.cli.errors import user_errors

HELP = {"help_option_names": ["-h", "--help"]}
TOOLS_SAY = {
    "compare": "two results of one case beside each other",
    "docs": "the page of results from the results",
    "gpu": "the CUDA engine, on a card (not among all cases)",
}


def bench(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="All cases at full length.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a mark is missed.")] = False,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Write a JSON and a PNG file for each case.")] = "",
) -> None:
    """Measure on this machine, as ratios in one run: every case in under 2 minutes, or one case with options of its own.

    Example: pymdm bench choose --rows 256 --check
    """
    context.obj = ["--full"] * full + ["--check"] * check + (["--out", out] if out else [])
    if context.invoked_subcommand is None:
        raise typer.Exit(run_all(context.obj if full else ["--quick", *context.obj]))


def run_all(options: list[str]) -> int:
    """Each case in a process of its own, so that none inherits another's threads and memory; 1 where one failed."""
    failed, began = [], time.perf_counter()
    for i, (name, what) in enumerate(CASES.items()):
        print(f"[{i + 1}/{len(CASES)}] {name}: {what}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        if subprocess.run([sys.executable, "-m", "pymdm", "bench", name, *options]).returncode:
            failed.append(name)
        seconds = time.perf_counter() - start
        print(f"      {seconds:.0f} s, {time.perf_counter() - began:.0f} s in all", file=sys.stderr, flush=True)
    if failed:
        print(f"pymdm: bench: missed a mark or failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _measure(name: str) -> Any:
    """The command of a case: its module, and so torch, is imported when it is called or asked for its help."""

    def measure(context: typer.Context) -> None:
        from pymdm.bench import common

        module = importlib.import_module(TOOLS.get(name) or module_name(name))
        case = name not in TOOLS or name == "gpu"
        parser = common.make_parser(module) if case else module.make_parser()
        run = functools.partial(common.main, module) if case else module.main
        inner = typer.Typer(rich_markup_mode=None, context_settings=HELP, add_completion=False)
        inner.command(help=parser.description, epilog=parser.epilog)(_from_parser(parser, run))
        words = [*(context.obj or []), *context.args]
        raise typer.Exit(inner(words, prog_name=f"pymdm bench {name}", standalone_mode=False) or 0)

    measure.__name__ = "bench"  # for messages
    return user_errors(measure)


def _from_parser(parser: argparse.ArgumentParser, run: Any) -> Any:
    """A function with the parser's options in its signature, for typer; they go on as words, and the parser reads them."""
    actions = [a for a in parser._actions if a.dest != "help"]

    def command(**given: Any) -> Any:
        words: list[str] = []
        for action in actions:
            value = given[action.dest]
            flag = action.option_strings[:1]
            if action.nargs == 0:
                words += flag * value
            elif value not in (None, []):
                words += [*flag, *(value if isinstance(value, list) else [value])]
        return run(words)

    parameters = []
    for a in actions:
        kind: Any = bool if a.nargs == 0 else list[str] if a.nargs == "+" else str
        shown = "|".join(map(str, a.choices)) if a.choices else a.metavar or ("N" if a.type not in (None,) else "TEXT")
        about: dict[str, Any] = {"help": (a.help or "") + ("; repeatable" if a.nargs == "+" else "")}
        if a.nargs != 0:
            about["metavar"] = str(shown)
        if a.option_strings:
            annotation: Any = Annotated[kind | None if a.nargs != 0 else kind, typer.Option(*a.option_strings, **about)]
            default: Any = False if a.nargs == 0 else None
        else:
            optional = a.nargs == "?"
            about["metavar"] = a.dest.upper()
            annotation = Annotated[kind | None if optional else kind, typer.Argument(show_default=False, **about)]
            default = None if optional else inspect.Parameter.empty
        parameters.append(
            inspect.Parameter(a.dest, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


app = typer.Typer(rich_markup_mode=None, context_settings=HELP, subcommand_metavar="[CASE] [OPTIONS]")
app.callback(invoke_without_command=True)(user_errors(bench))
for _name, _what in (CASES | TOOLS_SAY).items():
    _settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(_name, help=_what, context_settings=_settings)(_measure(_name))
    if "_" in _name:
        app.command(_name.replace("_", "-"), hidden=True, context_settings=_settings)(_measure(_name))
