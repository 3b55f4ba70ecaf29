"""The commands and their order. They import what they need when they run, so that a help text needs no torch."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pymdm.cli import INTERRUPTED
from pymdm.cli.audit import audit
from pymdm.cli.bench import app as bench_app
from pymdm.cli.compare import compare
from pymdm.cli.data import data
from pymdm.cli.demo import demo
from pymdm.cli.errors import user_errors
from pymdm.cli.evaluate import evaluate
from pymdm.cli.export import export
from pymdm.cli.info import info
from pymdm.cli.precision import audit as audit_source
from pymdm.cli.precision import precision
from pymdm.cli.sample import sample
from pymdm.cli.schedule import schedule
from pymdm.cli.screen import one_line
from pymdm.cli.train import train

DISTRIBUTION = "masked-diffusion"
# What typer raises for bad options: an error of click, or of the copy of it inside newer versions.
ClickError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    name="pymdm",
    help="Exact and fast sampling of masked diffusion models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    """From the package's metadata, which needs neither torch nor a core that was built; without it, from the core."""
    if wanted:
        from importlib import metadata

        try:
            found = metadata.version(DISTRIBUTION)
        except metadata.PackageNotFoundError:
            import pymdm

            found = pymdm.__version__
        print(f"pymdm {found}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exact and fast sampling of masked diffusion models."""


COMMANDS: dict[Any, str] = {  # in the order of the help, which shows one line of each
    demo: "Train, sample and infill in front of you.",
    sample: "Sample text from a model.",
    train: "Train a model on your text.",
    data: "Tokenize a text once, for many trainings.",
    evaluate: "Bits per character of a text; what judges say of samples.",
    compare: "Samplers side by side on one model.",
    schedule: "How many network calls are enough.",
    audit: "Test whether a sampler draws from the law it claims.",
    info: "What this installation can use; what a model is.",
    export: "Write a model for transformers, or in MDLM's layout.",
}
for command, line in COMMANDS.items():
    app.command(short_help=line)(user_errors(command))
app.add_typer(bench_app, name="bench", short_help="Measure speed on this machine.")
precision_app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}, subcommand_metavar="[audit]"
)
precision_app.callback(invoke_without_command=True)(user_errors(precision))
precision_app.command("audit")(user_errors(audit_source))
app.add_typer(precision_app, name="precision", short_help="What 32-bit noise does to samples.")


def _told(error: Any) -> str:
    """A bad option in one line; of an unknown command also those that there are."""
    context = getattr(error, "ctx", None)
    if context is None:
        return str(error.format_message())
    command, words = context.command_path.partition(" ")[2], error.format_message()
    if words.startswith("No such command"):
        known = [name for name, c in context.command.commands.items() if not c.hidden]
        words = f"expected one of {', '.join(known)}; {words[0].lower()}{words[1:].partition('.')[0]}"
    return f"{command + ': ' if command else ''}{words}"


def run() -> int:
    """Runs the command line -> exit code; bad options are one line and code 2."""
    try:
        code = app(standalone_mode=False, prog_name="pymdm")
    except KeyboardInterrupt:
        print("pymdm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if type(error).__name__ == "Abort":
            return INTERRUPTED
        if not isinstance(error, ClickError):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            print(one_line(f"pymdm: {_told(error)}"), file=sys.stderr)
        return int(error.exit_code)
    return code if isinstance(code, int) else 0
