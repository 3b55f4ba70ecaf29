"""Coarse noise in a sampler at work: entropy and generative perplexity of the samples over the number of steps.

The literal ancestral sampler draws the mask as a class, as published code does, with 32-bit noise, 64-bit noise, and
64-bit noise truncated at the cap of 32 bits; the first-hitting sampler never draws the mask. The shapes to look for are
Table 2 and Figures 7, 9 and 10 of Zheng et al., ICLR 2025: 32-bit and truncated agree and lose entropy and perplexity as
N grows, 64-bit stays, first-hitting hardly cares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from pymdm.evaluate.intervals import mean_interval
from pymdm.evaluate.judges import Judge, Scores
from pymdm.evaluate.metrics import token_entropy

NOISES = ("float32", "truncated", "float64")
SHOWN = 3  # texts kept of each run
POINTS = 20  # times at which the masks left are counted


@dataclass(frozen=True)
class Run:
    """Samples of one sampler with one kind of noise.

    Attributes:
        sampler: "ancestral", "first-hitting", or "text" for held-out text cut to the same number of tokens.
        noise: kind of `pymdm.sampling.samplers.NOISES`, "" for text. steps: N, 0 where there are none.
        entropy: nats, of each sequence over its own token counts, [B].
        scores: judge's name -> what it says of the texts.
        masks: share of tokens still masked at t = 1, 1 - 1/20, ..., 0, [21]; t itself in exact arithmetic.
        sequence_ids: random addresses of the sequences.
        texts: the first few.
    """

    sampler: str
    noise: str
    steps: int
    entropy: list[float]
    scores: dict[str, Scores]
    masks: list[float] = field(default_factory=list)
    seconds: float = 0.0
    calls: int = 0
    sequence_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For a row or a legend."""
        if self.sampler == "text":
            return "held-out text"
        return f"{self.sampler}, {self.noise}" + (f", N = {self.steps:,}" if self.steps else "")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, with means and 95% intervals over sequences."""
        summaries = {"entropy_mean": float(np.mean(self.entropy)), "entropy_interval95": mean_interval(self.entropy)}
        scores = {name: s.to_dict() for name, s in self.scores.items()}
        return asdict(self) | {"name": self.name, "scores": scores} | summaries


def experiment(
    model: Any,
    *,
    judges: Sequence[Judge],
    steps: Sequence[int] = (64, 512, 4096),
    samples: int = 16,
    length: int = 64,
    noises: Sequence[str] = NOISES,
    seed: int = 0,
    held_out: str = "",
    progress: Callable[[str], None] | None = None,
) -> list[Run]:
    """Samples with every kind of noise and number of steps, and has judged what came out.

    Args:
        model: a `pymdm.Model` with a tokenizer.
        judges: as in `pymdm.evaluate.judges`.
        steps: N of the ancestral runs. samples: B. length: L.
        noises: kinds of `pymdm.sampling.samplers.NOISES`; each also with first-hitting, which has exact noise besides.
        seed: of the samples; every run has its own sequence ids, so all are independent.
        held_out: text to judge beside the samples, cut to L tokens.
        progress: told one line per run.

    Returns:
        One `Run` each: the text first if there is any, then first-hitting, then ancestral by N and noise.
    """
    import pymdm

    if samples < 2 or length < 2 or not steps or min(steps) < 1:
        raise ValueError("precision: the experiment needs at least 2 samples, 2 tokens and 1 step")
    say = progress or (lambda line: None)
    runs = [_text_run(model, judges, held_out, samples, length)] if held_out else []
    plans = [("first-hitting", noise, 0) for noise in ("exact", *noises)]
    plans += [("ancestral", noise, n) for n in sorted(steps) for noise in noises]
    for i, (name, noise, n) in enumerate(plans):
        ids = list(range(i * samples, (i + 1) * samples))
        sampler: Any = pymdm.FirstHitting(noise=noise)
        if name == "ancestral":
            sampler = pymdm.Ancestral(steps=n, form="literal", noise=noise)
        out = pymdm.sample(model, num_samples=samples, length=length, seed=seed, sampler=sampler, sequence_ids=ids)
        texts = [text or "" for text in out.text]
        run = Run(
            name,
            noise,
            n,
            entropy=[token_entropy(t) for t in out.tokens],
            scores={judge.name: judge(texts) for judge in judges},
            masks=masks_left(out.times),
            seconds=out.seconds,
            calls=out.calls,
            sequence_ids=ids,
            texts=texts[:SHOWN],
        )
        runs.append(run)
        judged = ", ".join(f"{s.bits.value:.3f} bits/char ({j})" for j, s in run.scores.items())
        say(
            f"[{i + 1}/{len(plans)}] {run.name}: entropy {np.mean(run.entropy):.3f} nats, {judged}, {out.seconds:.1f} s"
        )
    return runs


def masks_left(times: Any) -> list[float]:
    """Share of positions not yet unmasked at t = 1, 1 - 1/20, ..., 0, from the times of unmasking.

    A position that an ancestral step from t to s unmasks has time s and is no longer masked at s.

    >>> masks_left(torch.tensor([0.25, 0.75]))[::5]
    [1.0, 0.5, 0.5, 0.0, 0.0]
    """
    flat = torch.as_tensor(times).double().flatten().numpy()
    grid = 1 - np.arange(POINTS + 1) / POINTS
    return [float(np.mean(flat < t - 1e-9)) for t in grid]


def _text_run(model: Any, judges: Sequence[Judge], text: str, samples: int, length: int) -> Run:
    """Windows of the held-out text, decoded from the same number of tokens."""
    ids = model.tokenizer.encode(text)
    starts = np.linspace(0, max(0, len(ids) - length), max(samples, 64)).astype(int)
    windows = [ids[s : s + length] for s in starts]
    texts = [model.tokenizer.decode(w) for w in windows]
    scores = {judge.name: judge(texts) for judge in judges}
    return Run("text", "", 0, [token_entropy(w) for w in windows], scores, texts=texts[:SHOWN])
