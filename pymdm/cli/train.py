"""`pymdm train`: train a masked diffusion model on text."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pymdm.cli.errors import stop
from pymdm.cli.options import OptionsOf, with_options
from pymdm.cli.screen import say
from pymdm.train.log import Progress as Report
from pymdm.train.recipe import PRESETS, Recipe, preset
from pymdm.train.recipe import settings as with_preset

EXAMPLE = """\b
Example: pymdm train notes.txt --out runs/notes --minutes 20
Its autoregressive twin:
Example: pymdm train notes.txt --out runs/twin --objective autoregressive
From the weights of another:
Example: pymdm train notes.txt --out runs/tuned --init-from bundled:masked --steps 200
Many processes:
Example: torchrun --nproc-per-node 2 -m pymdm train tokens --parallel fsdp

The curve is logged in OUT.csv, beside the checkpoint folder."""


@with_options
def train(
    *,
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")] = Path("runs/model"),
    preset_name: Annotated[
        str | None, typer.Option("--preset", help=f"Settings to start from: {', '.join(PRESETS)}. Default: demo.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the curve to OUT.png (needs matplotlib).")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; a finished one with more --steps.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    settings: Annotated[
        dict[str, Any], OptionsOf(Recipe, argument="source", kinds={"weights": Path}, defaults=PRESETS["demo"])
    ],
) -> None:
    """Train a masked diffusion model; the loss is a bound on the text's bits per character."""
    from pymdm.data.round_trip import lost_words
    from pymdm.train.choices import check_given
    from pymdm.train.log import log_file, plot_curve
    from pymdm.train.parallel import ToldByFirst
    from pymdm.train.stop import Stopped
    from pymdm.train.target import check_picture

    try:
        if "weights" in settings:
            settings["weights"] = _read_weights(settings["weights"])
        recipe: Recipe | dict[str, Any] = with_preset(preset_name, settings)
        if not resume:
            recipe = preset(preset_name or "demo", **settings)
            check_given(recipe, settings)
        if plot:
            check_picture(out, overwrite)
        training = _run(recipe, out, resume, overwrite)
    except ToldByFirst:
        raise typer.Exit(2) from None
    except Stopped as stopped:
        if int(os.environ.get("RANK", "0")):
            raise typer.Exit(128 + stopped.signal) from None
        raise
    except RuntimeError as error:  # such as a loss that is not finite
        stop(str(error))
    if int(os.environ.get("RANK", "0")):  # under torchrun the first process speaks
        return
    if plot:
        plot_curve(log_file(out), out.with_name(out.name + ".png"))
    score, ngrams = training["held_out"], training["ngram_bits_per_char"]
    if as_json:
        print(json.dumps({"checkpoint": str(out), **training}))
        return
    others = ", ".join(f"order {k}: {v:.3f}" for k, v in ngrams.items())
    kind = "exact" if training["recipe"]["objective"] == "autoregressive" else "bound"
    unit = "byte" if training["corpus"]["unit"] == "byte" else "character"
    print(f"held out: {score['bits_per_char']:.3f} bits per {unit} ({kind}); n-grams: {others}")
    if lost := training["corpus"]["held_out_lost"]:
        print(lost_words(lost, "the held-out text"))
    say(f"wrote {out} after {training['steps']} steps, {training['seconds']:.0f} s")


train.__doc__ = f"{train.__doc__}\n\n{EXAMPLE}"


def _read_weights(file: Path) -> tuple[float, ...]:
    """The numbers of a file, separated by blanks or lines."""
    try:
        return tuple(float(word) for word in file.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise ValueError(f"train: cannot read weights from {file}: {error}") from None


def _run(recipe: Recipe | dict[str, Any], out: Path, resume: bool, overwrite: bool) -> dict[str, Any]:
    """Train with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pymdm.train.loop import train as run_training

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  bits/char {task.fields[bits]}  held out {task.fields[held]}"),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("", total=1.0, bits="-", held="-", left="-")
    try:

        def show(report: Report) -> None:
            before = report.event in ("reading", "tokenizing")
            if not before or bar.console.is_terminal:  # elsewhere with the first step: bad input has been told by then
                bar.live.transient = before
                bar.start()
            held = report.held_out_bits_per_char
            rows = f", {report.rows:,} rows" if report.rows else ""
            stage = before or report.event == "evaluating"
            bar.update(
                task,
                completed=report.fraction,
                total=None if before else 1.0,
                description=report.event + rows if stage else f"step {report.step}",
                bits=f"{report.bits_per_char:.3f}",
                held="-" if held is None else f"{held:.3f}",
                left=_clock(report.seconds_left),
            )
            if not bar.console.is_terminal and report.event == "evaluated":
                bar.console.print(
                    f"step {report.step}  {report.bits_per_char:.3f}  held out {held:.3f}", soft_wrap=True
                )

        command = shlex.join(["pymdm", *sys.argv[1:]])
        options: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "command": command}
        return run_training(recipe, out, on_progress=show, **options).training
    finally:
        if bar.live.is_started:
            bar.stop()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}" if seconds < 1e7 else "-"
