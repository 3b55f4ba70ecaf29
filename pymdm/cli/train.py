"""`pymdm train`: train a masked diffusion model on text."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from pymdm.cli.errors import stop
from pymdm.cli.screen import say
from pymdm.train.log import Progress as Report
from pymdm.train.recipe import PRESETS, Recipe, preset, settings

EXAMPLE = """\b
Example: pymdm train notes.txt --out runs/notes --minutes 20
Its autoregressive twin:
Example: pymdm train notes.txt --out runs/twin --objective autoregressive
From the weights of another:
Example: pymdm train notes.txt --out runs/tuned --init-from bundled --steps 200
Many processes:
Example: torchrun --nproc-per-node 2 -m pymdm train tokens --parallel fsdp

The curve is logged in OUT.csv, beside the checkpoint folder."""


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            help="UTF-8 text file, folder, JSON lines, hf:NAME, or a folder made by `pymdm data`; "
            "default: the prose of the running Python."
        ),
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="Text to hold out, instead of a share by hash.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(help="Begin with the weights, tokenizer and shape of this checkpoint folder, or of: bundled."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")] = Path("runs/model"),
    preset_name: Annotated[
        str | None, typer.Option("--preset", help=f"Settings to start from: {', '.join(PRESETS)}. Default: demo.")
    ] = None,
    vocab: Annotated[str | None, typer.Option(help="char, byte or bpe.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Number of bpe pieces.")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence.")] = None,
    width: Annotated[int | None, typer.Option(help="Size of a hidden state.")] = None,
    layers: Annotated[int | None, typer.Option(help="Transformer blocks.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout while training.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences in a step.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps (reproducible), instead of minutes.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes by the clock.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of AdamW.")] = None,
    muon_lr: Annotated[float | None, typer.Option(help="Peak learning rate of the blocks' matrices with muon.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="muon or adamw.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the budget with a rising rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of the matrices.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the average of the weights.")] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="count (mask counts), order-agnostic, continuous (in time), autoregressive, any-order or block."
        ),
    ] = None,
    block_length: Annotated[int | None, typer.Option(help="Positions of a block, with block.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of time: linear, cosine or geometric.")] = None,
    conditioning: Annotated[str | None, typer.Option(help="none (time-free), constant or time (adaLN).")] = None,
    draw: Annotated[
        str | None, typer.Option(help="Counts or times: low-discrepancy, stratified or independent.")
    ] = None,
    weight_power: Annotated[float | None, typer.Option(help="1: the bound; 0: every masked token alike.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File with any positive weights w_1..w_L of the mask counts.")
    ] = None,
    neighbours: Annotated[float | None, typer.Option(help="How sharply heads start on near positions; 0: off.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads; 0: torch's choice.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Groups that a batch is split into, to save memory.")] = None,
    recompute: Annotated[bool | None, typer.Option(help="Recompute activations in the backward pass.")] = None,
    parallel: Annotated[str | None, typer.Option(help="Under torchrun: ddp (copies) or fsdp (split).")] = None,
    compile: Annotated[bool | None, typer.Option(help="Run the blocks through torch.compile.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, data order, masks and dropout.")] = None,
    eval_every: Annotated[int | None, typer.Option(help="Steps between held-out bounds; 0: only at the end.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints; 0: only at the end.")] = None,
    save_minutes: Annotated[
        float | None, typer.Option(help="Minutes between checkpoints, whatever the steps; 0: never for that reason.")
    ] = None,
    eval_tokens: Annotated[int | None, typer.Option(help="Held-out tokens looked at at the end.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the curve to OUT.png (needs matplotlib).")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; a finished one with more --steps.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train a masked diffusion model; the loss is a bound on the text's bits per character."""
    options: dict[str, Any] = dict(locals())
    from pymdm.data.round_trip import lost_words
    from pymdm.train.choices import check_given
    from pymdm.train.log import log_file, plot_curve
    from pymdm.train.parallel import ToldByFirst
    from pymdm.train.stop import Stopped
    from pymdm.train.target import check_picture

    for name in ("out", "preset_name", "plot", "resume", "overwrite", "as_json"):
        options.pop(name)
    changes = {name: value for name, value in options.items() if value is not None}
    try:
        if weights is not None:
            changes["weights"] = _read_weights(weights)
        recipe: Recipe | dict[str, Any] = settings(preset_name, changes)
        if not resume:
            recipe = preset(preset_name or "demo", **changes)
            check_given(recipe, changes)
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


def _show_defaults(command: Any) -> None:
    """Adds to the help of each setting what it is without the option: the default preset's value."""
    import typing

    hints = typing.get_type_hints(command, include_extras=True)
    values = {f.name: f.default for f in fields(Recipe)} | PRESETS["demo"]
    for name, hint in hints.items():
        found = values.get(name)
        for option in getattr(hint, "__metadata__", ()):
            if isinstance(option, typer.models.OptionInfo) and found is not None and option.help:
                option.help += f" Default: {f'{found:g}' if isinstance(found, float) else found}."
    command.__annotations__ = hints


_show_defaults(train)
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
