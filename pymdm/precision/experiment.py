"""Coarse noise in a sampler at work: entropy and generative perplexity of the samples over the number of steps.

The literal ancestral sampler draws the mask as a class, as published code does, with 32-bit noise, 64-bit noise, and
64-bit noise truncated at the cap of 32 bits; the first-hitting sampler never draws the mask. The shapes to look for are
Table 2 and Figures 7, 9 and 10 of Zheng et al., ICLR 2025: 32-bit and truncated agree and lose entropy as N grows,
64-bit stays, first-hitting hardly cares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Judge = Callable[[list[str]], Sequence[float]]
NOISES = ("float32", "truncated", "float64")
NGRAM_ORDER = 5


@dataclass(frozen=True)
class Run:
    """Samples of one sampler with one kind of noise.

    Attributes:
        sampler: "ancestral", "first-hitting", or "text" for held-out text cut to the same length.
        noise: kind of `pymdm.samplers.NOISES`, "" for text. steps: N, 0 where there are none.
        entropy: nats, of each sequence over its own token counts, [B].
        nats: of each sequence under the judge, [B]. characters: of each sequence, [B]. tokens: L.
        late: share of the tokens that the last 1% of the times unmasks (0.01 in exact arithmetic).
        texts: the first few sequences.
    """

    sampler: str
    noise: str
    steps: int
    entropy: list[float]
    nats: list[float]
    characters: list[int]
    tokens: int
    late: float = 0.0
    seconds: float = 0.0
    calls: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def entropy_mean(self) -> tuple[float, float]:
        """Mean entropy and the half width of its 95% interval over sequences."""
        return _mean(self.entropy)

    @property
    def log_perplexity(self) -> tuple[float, float]:
        """Mean nats per token of the judge, and the half width of its 95% interval over sequences."""
        return _mean([n / self.tokens for n in self.nats])

    @property
    def perplexity(self) -> float:
        """Generative perplexity: exp of the judge's nats per token."""
        return math.exp(self.log_perplexity[0])

    @property
    def bits_per_char(self) -> float:
        """Judge's bits per character over all sequences together."""
        return sum(self.nats) / math.log(2) / max(1, sum(self.characters))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, the summaries included."""
        summaries = {"bits_per_char": self.bits_per_char, "perplexity": self.perplexity}
        return asdict(self) | summaries | {"entropy_mean": self.entropy_mean, "log_perplexity": self.log_perplexity}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Run:
        """From `to_dict`."""
        names = cls.__dataclass_fields__
        return cls(**{k: v for k, v in values.items() if k in names})


def token_entropy(tokens: Any) -> float:
    """-sum p_k log p_k over the token counts of one sequence [L], in nats.

    >>> round(token_entropy([1, 1, 2, 2]), 4)
    0.6931
    """
    counts = np.unique(np.asarray(tokens), return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


def ngram_judge(train_text: str, order: int = NGRAM_ORDER) -> Judge:
    """A judge: nats of each text under a character n-gram (interpolated Witten-Bell) counted on `train_text`.

    It is small, so it says less than a large outside model does; it is honest about being the same for every sampler.
    """
    from pymdm.evaluate.ngram import ngram_character_bits

    def judge(texts: list[str]) -> list[float]:
        kept = [i for i, text in enumerate(texts) if text]
        gap = "\n\n"  # a neutral context between texts, not scored
        bits = ngram_character_bits(train_text, gap + gap.join(texts[i] for i in kept), order) if kept else np.empty(0)
        nats, at = [0.0] * len(texts), 0
        for i in kept:
            at += len(gap)
            nats[i] = float(bits[at : at + len(texts[i])].sum() * math.log(2))
            at += len(texts[i])
        return nats

    return judge


def experiment(
    model: Any,
    *,
    judge: Judge,
    steps: Sequence[int] = (64, 512, 4096),
    samples: int = 16,
    length: int = 64,
    noises: Sequence[str] = NOISES,
    seed: int = 0,
    held_out: str = "",
    progress: Callable[[str], None] | None = None,
) -> list[Run]:
    """Samples with every kind of noise and number of steps, and judges what came out.

    Args:
        model: a `pymdm.Model` with a vocabulary.
        judge: texts -> nats of each.
        steps: N of the ancestral runs. samples: B. length: L.
        noises: kinds of `pymdm.samplers.NOISES`; each also with the first-hitting sampler, which has exact noise besides.
        seed: of the samples; every run has its own sequence ids, so all are independent.
        held_out: text to judge beside the samples, cut to L tokens.
        progress: told one line per run.

    Returns:
        One `Run` each: the text first if there is any, then first-hitting, then ancestral by noise and N.
    """
    import pymdm

    if samples < 2 or length < 2 or not steps or min(steps) < 1:
        raise ValueError("precision: the experiment needs at least 2 samples, 2 tokens and 1 step")
    say = progress or (lambda line: None)
    runs = [_text_run(model, judge, held_out, samples, length)] if held_out else []
    plans: list[tuple[str, str, int]] = [("first-hitting", noise, 0) for noise in ("exact", *noises)]
    plans += [("ancestral", noise, n) for n in sorted(steps) for noise in noises]
    for i, (name, noise, n) in enumerate(plans):
        sampler: Any = pymdm.FirstHitting(noise=noise)
        if name == "ancestral":
            sampler = pymdm.Ancestral(steps=n, form="literal", noise=noise)
        ids = range(i * samples, (i + 1) * samples)
        out = pymdm.sample(
            model, num_samples=samples, length=length, seed=seed, sampler=sampler, sequence_ids=list(ids)
        )
        texts = [text or "" for text in out.text]
        run = Run(
            name,
            noise,
            n,
            entropy=[token_entropy(t) for t in out.tokens],
            nats=[float(x) for x in judge(texts)],
            characters=[len(t) for t in texts],
            tokens=length,
            late=float((torch.as_tensor(out.times) <= 0.01 + 1e-12).double().mean()),
            seconds=out.seconds,
            calls=out.calls,
            texts=texts[:4],
        )
        runs.append(run)
        say(f"{name} {noise} {n or ''}: entropy {run.entropy_mean[0]:.3f}, {run.bits_per_char:.3f} bits/char")
    return runs


def _text_run(model: Any, judge: Judge, text: str, samples: int, length: int) -> Run:
    """Windows of the held-out text, decoded from the same number of tokens."""
    ids = model.vocabulary.encode(text)
    starts = np.linspace(0, max(0, len(ids) - length), max(samples, 64)).astype(int)
    windows = [ids[s : s + length] for s in starts]
    texts = [model.vocabulary.decode(w) for w in windows]
    entropies = [token_entropy(w) for w in windows]
    nats = [float(x) for x in judge(texts)]
    return Run("text", "", 0, entropies, nats, [len(t) for t in texts], length, late=0.01, texts=texts[:4])


@dataclass(frozen=True)
class Finding:
    """One shape that the paper reports: what was measured, in standard errors, and whether it shows."""

    claim: str
    measured: str
    shows: bool


def findings(runs: Iterable[Run]) -> list[Finding]:
    """The paper's shapes, looked for in entropies; differences count from 3 standard errors on."""
    by = {(r.sampler, r.noise, r.steps): r for r in runs}
    steps = sorted({n for s, _, n in by if s == "ancestral"})
    last = steps[-1]
    hitting = by[("first-hitting", "exact", 0)]
    out = []

    def gap(a: Run, b: Run) -> tuple[float, float]:
        (x, dx), (y, dy) = a.entropy_mean, b.entropy_mean
        error = math.hypot(dx, dy) / 1.96
        return x - y, (x - y) / error if error > 0 else 0.0

    def tell(claim: str, pairs: list[tuple[str, Run, Run]], shows: Callable[[float], bool]) -> None:
        found = [(name, *gap(a, b)) for name, a, b in pairs]
        text = "; ".join(f"{name}: {d:+.3f} nats ({z:+.1f} errors)" for name, d, z in found)
        out.append(Finding(claim, text, all(shows(z) for _, _, z in found)))

    a = {(noise, n): by[("ancestral", noise, n)] for noise in NOISES for n in steps if ("ancestral", noise, n) in by}
    if all((noise, last) in a for noise in NOISES):
        pairs = [(f"N={n:,}", a["float32", n], a["truncated", n]) for n in steps]
        tell("ancestral: 32-bit and truncated 64-bit noise agree", pairs, lambda z: abs(z) < 3)
        down = [(kind, a[kind, last], a["float64", last]) for kind in ("float32", "truncated")]
        tell(f"ancestral: with the cap of 32 bits entropy is lost at N={last:,}", down, lambda z: z < -3)
        if len(steps) > 1:
            falls = [(kind, a[kind, last], a[kind, steps[0]]) for kind in ("float32", "truncated")]
            tell(f"and falls from N={steps[0]:,} to N={last:,}", falls, lambda z: z < -3)
        tell("ancestral: 64-bit noise stays with first-hitting", [(f"N={last:,}", a["float64", last], hitting)], _small)
    kinds = [k for k in NOISES if ("first-hitting", k, 0) in by]
    tell("first-hitting hardly cares", [(k, by[("first-hitting", k, 0)], hitting) for k in kinds], _small)
    return out


def _small(z: float) -> bool:
    return abs(z) < 3


def _mean(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return float(array.mean()), math.nan
    return float(array.mean()), float(1.96 * array.std(ddof=1) / math.sqrt(len(array)))
