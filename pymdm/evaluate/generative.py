"""Samples under judges: generative perplexity with entropy, repetition and noise precision always beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from pymdm.evaluate.intervals import mean_interval
from pymdm.evaluate.judges import Judge, Scores
from pymdm.evaluate.metrics import distinct_n, repetition, self_bleu, token_entropy, words
from pymdm.sampling.result import Samples
from pymdm.sampling.samplers import FirstHitting, Sampler

KEPT = 3  # texts that a record shows
CONTROLS = ("held-out text", "shuffled words", "random letters")


@dataclass(frozen=True)
class Generation:
    """N texts and what was found of them; every text counts.

    Attributes:
        name: "samples" or one of `CONTROLS`.
        texts: all of them.
        length: tokens of a sample, L.
        entropy: nats, of each text over its own token counts, [N]. repetition: share of repeated token 4-grams, [N].
        distinct: n -> different word n-grams over all of them. self_bleu: of words, up to 4-grams.
        scores: judge -> `Scores`.
        sampler: its settings, with "law", "nfe", "temperature", "noise" and "seed"; empty for controls.
    """

    name: str
    texts: tuple[str, ...]
    length: int
    entropy: tuple[float, ...]
    repetition: tuple[float, ...]
    distinct: dict[int, float]
    self_bleu: float
    scores: dict[str, Scores]
    sampler: dict[str, Any]

    @property
    def entropy_mean(self) -> float:
        """Mean over texts, nats."""
        return float(np.mean(self.entropy))

    @property
    def label(self) -> str:
        """Short description."""
        if not self.sampler:
            return self.name
        return f"{self.sampler['name']}, NFE {self.sampler['nfe']:.4g}, T {self.sampler['temperature']:g}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the first few texts."""
        return {
            "name": self.name,
            "sampler": self.sampler,
            "texts": len(self.texts),
            "length": self.length,
            "entropy": {"mean": self.entropy_mean, "interval95": list(mean_interval(self.entropy))},
            "repetition4": float(np.mean(self.repetition)),
            "distinct": {str(n): share for n, share in self.distinct.items()},
            "self_bleu4": self.self_bleu,
            "judges": {name: scores.to_dict() for name, scores in self.scores.items()},
            "first_texts": list(self.texts[:KEPT]),
        }


def describe(
    name: str,
    texts: Sequence[str],
    tokens: Sequence[Sequence[int]],
    judges: Sequence[Judge],
    sampler: dict[str, Any] | None = None,
) -> Generation:
    """Measures texts and has them judged.

    Args:
        name: what they are.
        texts: N of them, at least one.
        tokens: their ids in the model's vocabulary, [N][L].
        judges: called once each with all texts.
        sampler: settings of samples.

    Raises:
        ValueError: no text, or another number of token rows.
    """
    if not texts or len(texts) != len(tokens):
        raise ValueError(f"evaluate: expected texts and as many token rows, got {len(texts)} and {len(tokens)}")
    spelled = [words(t) for t in texts]
    return Generation(
        name=name,
        texts=tuple(texts),
        length=max(len(t) for t in tokens),
        entropy=tuple(token_entropy(t) if len(t) else 0.0 for t in tokens),
        repetition=tuple(repetition(list(t)) for t in tokens),
        distinct={n: distinct_n(spelled, n) for n in (1, 2, 3)},
        self_bleu=self_bleu(spelled),
        scores={judge.name: judge(texts) for judge in judges},
        sampler=sampler or {},
    )


def generate(
    model: Any,
    judges: Sequence[Judge],
    *,
    num_samples: int,
    length: int | None = None,
    sampler: Sampler | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    first_id: int = 0,
    batch_size: int | None = None,
) -> Generation:
    """Draws samples and has them judged; see `generate_samples` for the samples themselves."""
    return generate_samples(
        model,
        judges,
        num_samples=num_samples,
        length=length,
        sampler=sampler,
        temperature=temperature,
        seed=seed,
        first_id=first_id,
        batch_size=batch_size,
    )[0]


def generate_samples(
    model: Any,
    judges: Sequence[Judge],
    *,
    num_samples: int,
    length: int | None = None,
    sampler: Sampler | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    first_id: int = 0,
    batch_size: int | None = None,
) -> tuple[Generation, Samples]:
    """Draws samples and has them judged -> what was found of them, and the samples.

    Args:
        model: a `pymdm.Model` with a tokenizer.
        judges: of their texts.
        num_samples: N. length: L, default the model's.
        sampler: default `FirstHitting()`, exact. temperature: of the conditionals; 1 is the model's law.
        seed, first_id: random addresses are (seed, first_id .. first_id + N - 1): other ids, independent samples.
        batch_size: sequences in one network call, default all; changes no sample.
    """
    import pymdm

    sampler = sampler if sampler is not None else FirstHitting()
    out = pymdm.sample(
        model,
        num_samples=num_samples,
        length=length,
        seed=seed,
        sampler=sampler,
        temperature=temperature,
        sequence_ids=range(first_id, first_id + num_samples),
        batch_size=batch_size,
    )
    used = out.sampler  # with the schedule that a time-conditioned network was trained with
    settings: dict[str, Any] = asdict(used) if is_dataclass(used) and not isinstance(used, type) else {}
    settings |= {"name": type(sampler).__name__, "law": out.law, "nfe": float(np.mean(out.nfe)), "seed": out.seed}
    settings |= {"temperature": temperature, "first_id": first_id, "noise": settings.get("noise", "exact")}
    settings |= {"dtype": model.engine.dtype, "seconds": out.seconds}
    return describe("samples", [t or "" for t in out.text], [t.tolist() for t in out.tokens], judges, settings), out


def frontier(
    model: Any,
    judges: Sequence[Judge],
    *,
    temperatures: Sequence[float] = (0.8, 0.9, 1.0),
    nfes: Sequence[int] = (8, 16, 32, 64),
    num_samples: int = 32,
    length: int | None = None,
    seed: int = 0,
    make: Callable[[int, int], Sampler] | None = None,
    progress: Callable[[Generation], None] | None = None,
) -> list[Generation]:
    """One `Generation` for each temperature and number of network calls, all from independent samples.

    Args:
        model, judges, num_samples, length, seed: as in `generate`.
        make: (NFE, L) -> sampler; default first-hitting with ceil(L / NFE) tokens a call.
        progress: told every result.
    """
    L = length or model.config.length
    build = make or (lambda nfe, length: FirstHitting(tokens_per_call=-(-length // nfe)))
    found: list[Generation] = []
    for temperature in temperatures:
        for nfe in nfes:
            if not 1 <= nfe <= L:
                raise ValueError(f"evaluate: nfe must be in 1..{L}, the sequence's length, got {nfe}")
            first = len(found) * num_samples
            options: dict[str, Any] = {"temperature": temperature, "seed": seed, "first_id": first}
            made = generate(model, judges, num_samples=num_samples, length=length, sampler=build(nfe, L), **options)
            found.append(made)
            if progress is not None:
                progress(made)
    return found


def controls(
    tokenizer: Any, tokens: Sequence[int], judges: Sequence[Judge], *, num_texts: int, length: int, seed: int = 0
) -> list[Generation]:
    """Held-out text, its words shuffled, and random letters, in pieces of `length` tokens: what a judge must tell apart.

    Args:
        tokenizer: of the model.
        tokens: [T] of the held-out text, from which pieces are taken evenly.
        judges: as in `generate`.
        num_texts: pieces, at least 2. length: tokens in one.
        seed: of the shuffling and the letters.
    """
    rng = np.random.default_rng([seed, 13])
    starts = np.linspace(0, max(0, len(tokens) - length), num_texts).astype(int)
    real = [tokenizer.decode(tokens[s : s + length]) for s in starts]
    shuffled = []
    for text in real:
        parts = text.split()
        shuffled.append(" ".join(parts[i] for i in rng.permutation(len(parts))))
    seen = {c for t in real for c in t}
    letters = sorted({c for c in seen if c.isalpha() and c.islower()} or seen) + [" "] * (" " in seen)
    noise = ["".join(rng.choice(letters, size=len(t))) for t in real]
    found = []
    for name, texts in zip(CONTROLS, (real, shuffled, noise), strict=True):
        found.append(describe(name, texts, tokenizer.encode_all(texts), judges))
    return found


def ranking(generations: Sequence[Generation], judge: str) -> list[str]:
    """Labels from the text that the judge finds likeliest to the one it finds least likely, by bits per character."""
    return [g.label for g in sorted(generations, key=lambda g: g.scores[judge].bits.value)]
