"""`pymdm evaluate`: likelihood of text, and samples under judges."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pymdm.cli.screen import harmless, say

QUICK, QUICK_DRAWS, FULL_DRAWS = 256, 16, 64  # as of pymdm.evaluate


def _numbers(text: str, kind: Any, name: str) -> list[Any]:
    """Values of a comma-separated option."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"evaluate: {name} must be numbers with commas between, got {text!r}") from None
    if not all(map(math.isfinite, found)):
        raise ValueError(f"evaluate: {name} must be finite numbers, got {text!r}")
    return found


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint folder, or bundled:masked, default bundled:any-order, which are in the package."
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="UTF-8 text file or folder to evaluate on; default: what the model's training held out."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help=f"All of the text, {FULL_DRAWS} rows a sequence.")] = False,
    draws: Annotated[
        int | None, typer.Option(help=f"Rows per sequence, even; default {QUICK_DRAWS}. With --exact: per count.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Sum over all counts n = 1..L; only masks are random (slow).")
    ] = False,
    windows: Annotated[
        int | None, typer.Option(help=f"Sequences to take, evenly spread; 0: all. Default {QUICK}.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="Exact likelihood under this rule instead of the bound: margin, entropy, or margin,tokens_per_call=2 ..."
        ),
    ] = None,
    skip_likelihood: Annotated[bool, typer.Option("--skip-likelihood", help="Only samples and judges.")] = False,
    samples: Annotated[int, typer.Option(help="Sequences to draw and judge; 0: none.")] = 0,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="ngram, ngram:K, an autoregressive checkpoint, a Hugging Face folder, a .gguf file; repeatable."
        ),
    ] = None,
    judge_dtype: Annotated[str, typer.Option(help="float32 or bfloat16, of Hugging Face and GGUF judges.")] = "float32",
    length: Annotated[int | None, typer.Option(help="Tokens of a sample; default: the model's length.")] = None,
    frontier: Annotated[bool, typer.Option("--frontier", help="Samples for every temperature and NFE.")] = False,
    temperature: Annotated[str, typer.Option(help="Of the conditionals; a list with --frontier.")] = "1.0",
    nfe: Annotated[
        str | None,
        typer.Option(help="Network calls a sample, first-hitting; a list with --frontier. Default: one a token."),
    ] = None,
    noise: Annotated[
        str, typer.Option(help="exact, or float32, float64, truncated, to measure what it does.")
    ] = "exact",
    seed: Annotated[int, typer.Option(help="Of masks, samples and controls.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16, of the model's arithmetic.")] = "float32",
    diversity: Annotated[
        Path | None,
        typer.Option(
            help="Instead: how far the sequences of a .fasta, .smi or other file (one a line) differ and repeat."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write OUT.json, OUT.md and OUT.png.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Likelihood of text under a model, with 95% intervals; with --samples, what judges say of its samples.

    A masked model's likelihood is bounded (Proposition 3.1), an autoregressive checkpoint's is exact. Perplexity is never
    printed without entropy and noise precision beside it.

    Example: pymdm evaluate --samples 32 --judge ngram
    """
    if diversity is not None:
        if model or text or samples or judge or rule or out or full or exact or frontier or nfe:
            raise ValueError("evaluate: --diversity goes with no other option but --json")
        _diversity(diversity, json_output)
        return
    from pymdm.evaluate.run import evaluate as run

    if samples == 0 and (frontier or skip_likelihood or judge or nfe):
        raise ValueError("evaluate: judging needs --samples, at least 2")
    if rule is not None and (exact or skip_likelihood):
        raise ValueError(f"evaluate: --rule goes with neither --exact nor --skip-likelihood, got --rule {rule}")
    temperatures = _numbers(temperature, float, "temperature")
    nfes = [None] if nfe is None else _numbers(nfe, int, "nfe")
    if not frontier and len(temperatures) * len(nfes) > 1:
        raise ValueError("evaluate: several temperatures or NFEs need --frontier")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK):
            raise ValueError(f"evaluate: cannot write files in {out.parent}")
    with _Bar() as bar:
        found = run(
            model,
            text=text,
            full=full,
            draws=draws,
            exact=exact,
            windows=windows,
            rule=rule,
            likelihood=not skip_likelihood,
            samples=samples,
            judges=judge or ["ngram"],
            judge_dtype=judge_dtype,
            length=length,
            temperatures=temperatures,
            nfes=nfes,
            noise=noise,
            seed=seed,
            dtype=dtype,
            command=shlex.join(["pymdm", *sys.argv[1:]]),
            on_progress=bar.show,
        )
    if out is not None:
        for path in found.save(out):
            say(f"wrote {path}", sys.stderr)
    if json_output:
        print(json.dumps(found.to_dict()))
    else:
        _show(found.to_dict())


def _diversity(path: Path, json_output: bool) -> None:
    """Figures of the sequences in a file."""
    from pymdm.data.sequences import FASTA, SMILES, read_records
    from pymdm.evaluate.diversity import figures, lines

    kind = path.suffix.lower()
    form = "fasta" if kind in FASTA else "smiles" if kind in SMILES else "text"
    found = figures([record.sequence for record in read_records(path, "diversity")], form)
    print(json.dumps(found) if json_output else "\n".join(lines(found)))


def _show(result: dict[str, Any]) -> None:
    """Tables, and the number that matters last."""
    from dataclasses import replace

    from rich.text import Text

    from pymdm.evaluate.report import facts, headline, notes, tables
    from pymdm.report.table import show
    from pymdm.report.terminal import console

    screen = console()
    for line in facts(result):
        screen.print(Text(harmless(line)))
    for table in reversed(tables(result)):  # the likelihood last, where the eye is
        screen.print()
        show(replace(table, text=""), screen)
    for line in ("", *notes(result)):
        screen.print(Text(harmless(line)))
    screen.print(Text(harmless(headline(result)), style="bold"))


class _Bar:
    """A count of what is done, on stderr while a terminal watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("reading", total=None)

    def show(self, what: str, done: float) -> None:
        """Shows how much of what is done."""
        self._progress.update(self._task, description=what, completed=done)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
