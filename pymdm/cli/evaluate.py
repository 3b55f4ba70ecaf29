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

from pymdm.cli.screen import say

QUICK = 256  # sequences of the text that are taken without --full
QUICK_DRAWS, FULL_DRAWS = 16, 64


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
    model: Annotated[Path | None, typer.Argument(help="Checkpoint folder; default: the model in the package.")] = None,
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
        typer.Option(help="Exact likelihood under this rule instead of the bound: margin or entropy; a call a token."),
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
    out: Annotated[Path | None, typer.Option(help="Write OUT.json, OUT.md and OUT.png.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Likelihood of text under a model, with 95% intervals; with --samples, what judges say of its samples.

    A masked model's likelihood is bounded (Proposition 3.1), an autoregressive checkpoint's is exact. Perplexity is never
    printed without entropy and noise precision beside it.

    Example: pymdm evaluate --samples 32 --judge ngram
    """
    from pymdm.evaluate.report import markdown, write
    from pymdm.evaluate.rule import rule_sampler
    from pymdm.evaluate.subject import finite, likelihood_facts, load_subject, run_facts
    from pymdm.sampling.sample import check_seed

    if samples == 0 and (frontier or skip_likelihood or judge or nfe):
        raise ValueError("evaluate: judging needs --samples, at least 2")
    if samples < 0 or samples == 1:
        raise ValueError(f"evaluate: samples must be 0 or at least 2, got {samples}")
    if windows is not None and windows < 0:
        raise ValueError(f"evaluate: windows must be at least 0, got {windows}")
    if rule is not None:
        if exact or skip_likelihood:
            raise ValueError(f"evaluate: --rule goes with neither --exact nor --skip-likelihood, got --rule {rule}")
        rule_sampler(rule)
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"evaluate: dtype must be float32 or bfloat16, got {dtype!r}")
    limit = (0 if full else QUICK) if windows is None else windows
    draws = draws if draws is not None else (2 if exact else FULL_DRAWS if full else QUICK_DRAWS)
    temperatures = _numbers(temperature, float, "temperature")
    nfes = [None] if nfe is None else _numbers(nfe, int, "nfe")
    if not frontier and len(temperatures) * len(nfes) > 1:
        raise ValueError("evaluate: several temperatures or NFEs need --frontier")

    check_seed(seed)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK):
            raise ValueError(f"evaluate: cannot write files in {out.parent}")

    subject = load_subject(model, text, limit)
    if subject.config.causal and samples:
        raise ValueError("evaluate: an autoregressive checkpoint is judged by its likelihood; it has no sampler here")
    judges = _judges(judge, judge_dtype, subject.train_text) if samples else []
    result: dict[str, Any] = {"run": run_facts(subject, seed, shlex.join(["pymdm", *sys.argv[1:]]))}
    if not skip_likelihood:
        with _Bar("likelihood, tokens" if rule else "likelihood, network rows") as bar:
            if rule is not None:
                found: Any = subject.rule_likelihood(rule, dtype=dtype, progress=bar.to)
            else:
                found = subject.likelihood(
                    draws=draws, exact_counts=exact, seed=seed, autocast=dtype == "bfloat16", progress=bar.to
                )
        counts = "every count n = 1..L" if exact else f"{draws} strata of n"
        result["likelihood"] = likelihood_facts(found, counts) | {"dtype": dtype}
        result["ngram_bits_per_char"] = {"5": subject.ngram_bits_per_char(5)}
    if samples:
        settings = {"temperatures": temperatures, "nfes": nfes, "num_samples": samples, "length": length}
        result["generation"] = _generation(subject, judges, dtype, noise, seed, settings)
    if out is not None:
        for path in write(result, out):
            say(f"wrote {path}", sys.stderr)
    if json_output:
        print(json.dumps(finite(result)))
    else:
        say(markdown(finite(result)).rstrip("\n"))


def _judges(names: list[str] | None, dtype: str, train_text: str) -> list[Any]:
    from pymdm.evaluate.judges import load_judge

    judges = [load_judge(name, train_text, dtype) for name in names or ["ngram"]]
    if len({j.name for j in judges}) < len(judges):
        raise ValueError("evaluate: two judges have the same name")
    return judges


def _generation(
    subject: Any, judges: list[Any], dtype: str, noise: str, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Controls, then samples for every temperature and NFE."""
    import pymdm
    from pymdm.evaluate.generative import controls, frontier
    from pymdm.evaluate.report import generation_facts
    from pymdm.sampling.samplers import FirstHitting

    loaded = pymdm.load(subject.checkpoint.path, dtype=dtype)
    L = settings["length"] or subject.config.length
    if not 1 <= L <= subject.config.length:
        raise ValueError(f"evaluate: length must be in 1..{subject.config.length}, got {L}")
    settings["nfes"] = [L if nfe is None else nfe for nfe in settings["nfes"]]
    total = len(settings["temperatures"]) * len(settings["nfes"])
    with _Bar(f"samples, of {total} settings") as bar:
        found = frontier(
            loaded,
            judges,
            seed=seed,
            make=lambda nfe, length: FirstHitting(tokens_per_call=-(-length // nfe), noise=noise),
            progress=lambda _: bar.to(bar.done + 1),
            **settings,
        )
    number = max(settings["num_samples"], 16)
    shown = controls(subject.checkpoint.tokenizer, subject.tokens, judges, num_texts=number, length=L, seed=seed)
    return generation_facts([shown[0], *found, *shown[1:]], judges)


class _Bar:
    """A count on stderr while a terminal watches."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn(what), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)
        self.done = 0

    def to(self, done: int) -> None:
        """Shows how much is done."""
        self.done = done
        self._progress.update(self._task, completed=done)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
