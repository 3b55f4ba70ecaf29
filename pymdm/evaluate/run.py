"""`pymdm.evaluate`: likelihood of text under a model, and what judges say of its samples; the command line calls it too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymdm.evaluate.facts import finite, likelihood_facts, run_facts
from pymdm.evaluate.generative import controls, frontier
from pymdm.evaluate.judges import load_judge
from pymdm.evaluate.report import generation_facts, headline, likelihood_bits, markdown, write
from pymdm.evaluate.rule import rule_sampler
from pymdm.evaluate.subject import Subject, passes
from pymdm.evaluate.subject_text import load_subject
from pymdm.network.checkpoint import Checkpoint
from pymdm.network.loading import Model, load, model_of
from pymdm.report.bits import Bits
from pymdm.sampling.check import described, entries, integer, numbers, of_types, path
from pymdm.sampling.opening import check_seed
from pymdm.sampling.samplers import FirstHitting

QUICK = 256  # sequences of the text that are taken unless all are asked for
QUICK_DRAWS, FULL_DRAWS, EXACT_DRAWS = 16, 64, 2
KINDS: dict[str, Any] = {
    **dict.fromkeys(("windows", "draws", "length"), int | None),
    **dict.fromkeys(("judge_dtype", "noise", "dtype"), str),
    "rule": str | None,
    "samples": int,
}  # of arguments; the others are True or False
Told = Callable[[str, float], None]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What an evaluation found.

    Attributes:
        result: all numbers, JSON-ready, as `pymdm evaluate --json` prints them: "run", and what was asked for of
            "likelihood", "ngram_bits_per_char" and "generation".
    """

    result: dict[str, Any]

    @property
    def bits(self) -> Bits:
        """Cost of the text under the model, in bits a character (of bytes: a byte), NaN without a likelihood.

        Its interval is over masks that were drawn; a point where nothing was drawn.
        """
        return likelihood_bits(self.result)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, null in place of NaN and infinities."""
        return dict(finite(self.result))

    def markdown(self) -> str:
        """The report, as `--out` writes it."""
        return markdown(self.to_dict())

    def save(self, stem: str | os.PathLike[str]) -> list[Path]:
        """Writes stem.json, stem.md and, where matplotlib is installed, stem.png -> the files."""
        return write(self.result, Path(stem))

    def __repr__(self) -> str:
        run = self.result["run"]
        return (
            f"{headline(self.to_dict())}\n{run['checkpoint']['name'] or 'a model in memory'} on {run['text']['name']}"
        )


def _nothing(what: str, done: float) -> None:
    """Progress that nobody watches."""


def evaluate(
    model: str | os.PathLike[str] | Model | Checkpoint | None = None,
    *,
    text: str | os.PathLike[str] | None = None,
    full: bool = False,
    draws: int | None = None,
    exact: bool = False,
    windows: int | None = None,
    rule: str | None = None,
    likelihood: bool = True,
    samples: int = 0,
    judges: Sequence[Any] = ("ngram",),
    judge_dtype: str = "float32",
    length: int | None = None,
    temperatures: Sequence[float] = (1.0,),
    nfes: Sequence[int | None] = (None,),
    noise: str = "exact",
    seed: int = 0,
    dtype: str = "float32",
    command: str = "",
    on_progress: Told = _nothing,
) -> Evaluation:
    """Likelihood of text under a model, with 95% intervals; with `samples`, what judges say of its samples.

    A masked model's likelihood is bounded (Proposition 3.1 of arXiv 2409.02908), an autoregressive checkpoint's is exact.

    Args:
        model: a checkpoint folder, a model that `pymdm.train` or `pymdm.load` gave; default "bundled:any-order".
        text: UTF-8 file or folder to evaluate on; default what the model's training held out.
        full: all of the text, 64 rows a sequence. windows: sequences to take, evenly spread; 0: all; default 256.
        draws: rows a sequence, even; default 16. exact: sum over all counts n = 1..L, `draws` rows each (default 2).
        rule: exact likelihood under this rule instead of the bound, "margin", "entropy", or one of them with options
            ("margin,tokens_per_call=2"); a call a step.
        likelihood: False: only samples and judges.
        samples: sequences to draw and judge for each of `temperatures` and `nfes` (network calls a sample; None: one a
            token), of `length` tokens, with `noise` "exact", "float32", "float64" or "truncated".
        judges: names as of `pymdm evaluate --judge`, or functions of texts (`pymdm.evaluate.judges.Judge`).
        seed: of masks, samples and controls. dtype: "float32" or "bfloat16", of the model's arithmetic.
        on_progress: told (what, done) as the work goes on.

    Raises:
        ValueError, TypeError: options that contradict each other or are of another type, an unreadable checkpoint or text.

    Example:
        >>> found = evaluate(windows=1, draws=2)
        >>> 1.0 < found.bits.value < 3.0
        True
    """
    given = {"full": full, "exact": exact, "likelihood": likelihood, "windows": windows, "draws": draws, "rule": rule}
    given |= {"samples": samples, "length": length, "judge_dtype": judge_dtype, "noise": noise, "dtype": dtype}
    of_types(given, {name: KINDS.get(name, bool) for name in given}, "evaluate")
    temperatures = numbers("temperatures", temperatures, "evaluate")
    nfes = [n if n is None else integer("nfes", n, 1, operation="evaluate") for n in entries("nfes", nfes, "evaluate")]
    judges = entries("judges", judges, "evaluate")
    for value in judges:
        if not isinstance(value, str) and not callable(value):
            raise TypeError(f"evaluate: judges must be names or functions of texts, got {described(value)}")
    if text is not None:
        text = path("text", text, "evaluate")
    if not isinstance(model, str | os.PathLike | Model | Checkpoint | None):
        raise TypeError(f"evaluate: model must be a checkpoint folder or a loaded model, got {described(model)}")
    if samples < 0 or samples == 1:
        raise ValueError(f"evaluate: samples must be 0 or at least 2, got {samples}")
    if not likelihood and not samples:
        raise ValueError("evaluate: judging needs samples, at least 2")
    if windows is not None and windows < 0:
        raise ValueError(f"evaluate: windows must be at least 0, got {windows}")
    if rule is not None:
        if exact or not likelihood:
            raise ValueError(f"evaluate: a rule goes with the likelihood, not with exact, got rule {rule}")
        rule_sampler(rule)
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"evaluate: dtype must be float32 or bfloat16, got {dtype!r}")
    check_seed(seed, "evaluate")
    limit = (0 if full else QUICK) if windows is None else windows
    draws = draws if draws is not None else (EXACT_DRAWS if exact else FULL_DRAWS if full else QUICK_DRAWS)
    if isinstance(model, Model):
        model = model.checkpoint if model.checkpoint is not None else model.path
    subject = load_subject(model, text, limit)
    two_copies = subject.config.attention in ("any-order", "block")
    if exact and two_copies and rule is None:
        raise ValueError(
            "evaluate: exact sums over counts of masks anywhere, which a network of attention "
            f"{subject.config.attention!r} does not sample from; more draws make its interval smaller"
        )
    named = judges if samples else ()
    asked = [load_judge(j, subject.train_text, judge_dtype) if isinstance(j, str) else j for j in named]
    if len({j.name for j in asked}) < len(asked):
        raise ValueError("evaluate: two judges have the same name")
    result: dict[str, Any] = {"run": run_facts(subject, seed, command)}
    if likelihood:
        what = "likelihood, tokens" if rule else "likelihood, network rows"

        def told(done: float) -> None:
            on_progress(what, done)

        found: Any
        if rule is not None:
            found = subject.rule_likelihood(rule, dtype=dtype, progress=told)
        else:
            autocast = dtype == "bfloat16"
            found = subject.likelihood(draws=draws, exact_counts=exact, seed=seed, autocast=autocast, progress=told)
        counts = "every count n = 1..L" if exact else f"{draws} strata of n"
        if two_copies:
            drawn = "orders" if subject.config.attention == "any-order" else "draws of masks in every block"
            counts = f"{passes(draws)} {drawn} a sequence"
        result["likelihood"] = likelihood_facts(found, counts) | {"dtype": dtype}
        result["ngram_bits_per_char"] = {"5": subject.ngram_bits_per_char(5)}
    if samples:
        settings = {"temperatures": temperatures, "nfes": nfes, "num_samples": samples, "length": length}
        result["generation"] = _generation(subject, asked, dtype, noise, seed, settings, on_progress)
    return Evaluation(result)


def _generation(
    subject: Subject, judges: list[Any], dtype: str, noise: str, seed: int, settings: dict[str, Any], on_progress: Told
) -> dict[str, Any]:
    """Controls, then samples for every temperature and NFE."""
    checkpoint = subject.checkpoint
    loaded = load(checkpoint.path, dtype=dtype) if checkpoint.path is not None else model_of(checkpoint, dtype)
    L = settings["length"] or subject.config.length
    if not 1 <= L <= subject.config.length:
        raise ValueError(f"evaluate: length must be in 1..{subject.config.length}, got {L}")
    settings["nfes"] = [L if nfe is None else nfe for nfe in settings["nfes"]]
    total, done = len(settings["temperatures"]) * len(settings["nfes"]), 0

    def told(_: Any) -> None:
        nonlocal done
        done += 1
        on_progress(f"samples, of {total} settings", done)

    found = frontier(
        loaded,
        judges,
        seed=seed,
        make=lambda nfe, length: FirstHitting(tokens_per_call=-(-length // nfe), noise=noise),
        progress=told,
        **settings,
    )
    number = max(settings["num_samples"], 16)
    shown = controls(checkpoint.tokenizer, subject.tokens.tolist(), judges, num_texts=number, length=L, seed=seed)
    return generation_facts([shown[0], *found, *shown[1:]], judges)
