"""What is evaluated: a checkpoint and a text cut into its sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymdm.data.tokenizer import END_OF_TEXT
from pymdm.evaluate.any_order import BetaTimes
from pymdm.evaluate.autoregressive import Likelihood, evaluate_likelihood
from pymdm.evaluate.bound import Bound, evaluate_bound
from pymdm.evaluate.ngram import NGram
from pymdm.evaluate.rule import CAUSAL, RuleLikelihood, log_likelihood
from pymdm.evaluate.streams import evaluate_streams
from pymdm.network.checkpoint import Checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine

UNITS = {"char": "character", "byte": "byte"}
LOGITS = 1 << 26  # elements of logits in one network call


def sequences(tokens: NDArray[np.int64], length: int, most: int) -> Tensor:
    """int64 [S, L]: at most `most` sequences of one length, evenly spread over a text.

    Raises:
        ValueError: a text of fewer than two.

    >>> sequences(np.arange(10), 3, 2).tolist()
    [[0, 1, 2], [6, 7, 8]]
    """
    row = torch.from_numpy(np.asarray(tokens).astype(np.int64))
    pieces = row[: len(row) // length * length].view(-1, length)
    if len(pieces) < 2:
        raise ValueError(f"evaluate: the text has {len(row)} tokens; two sequences of {length} are needed")
    return pieces[torch.linspace(0, len(pieces) - 1, min(most, len(pieces))).round().long()]


def passes(draws: int) -> int:
    """Passes over two copies of a sequence, each the work of two rows, in place of so many rows: at least 2."""
    return max(2, draws // 2)


@dataclass(frozen=True)
class Subject:
    """A checkpoint and the tokens it is evaluated on.

    Attributes:
        checkpoint: config, weights, tokenizer.
        text_name: what the text is. note: what a reader must know of it, or "".
        tokens: int64 [T] of the whole text. characters: how many of its characters come back from them.
        lost: share of its characters that do not, which bits per character do not count.
        train_text: what the model learnt from, "" where it is not at hand.
        limit: sequences to take, evenly spread; 0 for all.
        unit: "char", or "byte" where the size is in bytes and a character stands for one.
    """

    checkpoint: Checkpoint
    text_name: str
    tokens: NDArray[np.int64]
    characters: int
    train_text: str = field(repr=False)
    note: str = ""
    limit: int = 0
    unit: str = "char"
    lost: float = 0.0

    @property
    def config(self) -> ModelConfig:
        """Shape of the network."""
        return self.checkpoint.config

    @cached_property
    def pieces(self) -> list[NDArray[np.int64]]:
        """The sequences to evaluate: the text cut at multiples of the network's length; the last may be shorter."""
        L = self.config.length
        starts = range(0, len(self.tokens), L)
        if self.limit and len(starts) > self.limit:
            starts = [starts[int(i)] for i in np.linspace(0, len(starts) - 1, self.limit).round()]  # type: ignore[assignment]
        return [np.asarray(self.tokens[s : s + L]) for s in starts]

    @property
    def whole(self) -> bool:
        """Whether all of the text is evaluated."""
        return sum(map(len, self.pieces)) == len(self.tokens)

    @cached_property
    def evaluated_text(self) -> str:
        """The text of what is evaluated, one sequence after the other."""
        tokenizer = self.checkpoint.tokenizer
        row = self.tokens if self.whole else np.concatenate(self.pieces)
        if self.unit == "byte" and tokenizer.kind == "byte":
            return row.astype(np.uint8).tobytes().decode("latin-1")
        return tokenizer.decode(row).replace(END_OF_TEXT, "")  # as documents are counted

    @property
    def evaluated_characters(self) -> int:
        """Size of what is evaluated; in proportion to the whole where text is lost."""
        if self.whole:
            return self.characters
        if self.lost:
            return round(self.characters * sum(map(len, self.pieces)) / len(self.tokens))
        text = self.evaluated_text
        return len(text.encode()) if self.unit == "byte" and self.checkpoint.tokenizer.kind != "byte" else len(text)

    def batches(self) -> Iterator[Tensor]:
        """The sequences as int64 [b, L] tensors of one length each, b bounded by the size of logits [b, L, V]."""
        for length in sorted({len(p) for p in self.pieces}, reverse=True):
            alike = [p for p in self.pieces if len(p) == length]
            size = max(1, min(16, LOGITS // (length * self.config.vocab_size)))
            for i in range(0, len(alike), size):
                yield torch.from_numpy(np.stack(alike[i : i + size]).astype(np.int64))

    def likelihood(
        self,
        *,
        draws: int = 16,
        exact_counts: bool = False,
        seed: int = 0,
        autocast: bool = False,
        progress: Any = None,
    ) -> Bound | Likelihood:
        """The bound of a masked network, with its curve where it sees both ways; the exact likelihood of an autoregressive one.

        Args:
            draws: rows per sequence (exact_counts: per sequence and count), see `evaluate_bound`; of a network that keeps
                what it has seen half as many passes over two copies.
            seed: of counts, masks and times.
            autocast: bfloat16.
            progress: told the number of rows done.
        """
        model = self.checkpoint.build()
        size: dict[str, Any] = {"characters": self.evaluated_characters, "autocast": autocast}
        found: Bound | Likelihood
        if self.config.causal:
            found = evaluate_likelihood(model, self.batches(), **size)
        elif self.config.attention in ("any-order", "block"):
            drawn = {"samples": passes(draws), "seed": seed, "progress": progress}
            found = evaluate_streams(model, self.batches(), **drawn, **size)
        else:
            found = evaluate_bound(
                _time_free(model, self.checkpoint, seed),
                self.batches(),
                self.config.mask_id,
                samples=draws,
                exact_counts=exact_counts,
                seed=seed,
                curve_bins=min(32 if exact_counts else draws, self.config.length),
                progress=progress,
                **size,
            )
        return replace(found, unit=UNITS[self.unit])

    def rule_likelihood(self, rule: str, *, dtype: str = "float32", progress: Any = None) -> RuleLikelihood:
        """The exact likelihood under a sampler that picks positions by a rule, see `log_likelihood`."""
        if self.config.causal:
            raise ValueError(f"evaluate: {CAUSAL}")
        found = log_likelihood(
            Engine(self.checkpoint, dtype=dtype),
            [piece.tolist() for piece in self.pieces],
            rule=rule,
            characters=self.evaluated_characters,
            progress=progress,
            tokenizer=self.checkpoint.tokenizer,
        )
        return replace(found, unit=UNITS[self.unit])

    def ngram_bits_per_char(self, order: int = 5) -> float:
        """What a plain n-gram of the training text says of the same text; NaN without that text."""
        if not self.train_text:
            return float("nan")
        return float(NGram(self.train_text, order).bits([self.evaluated_text])[0].mean())


def _time_free(model: nn.Module, checkpoint: Checkpoint, seed: int) -> nn.Module:
    """The network as `evaluate_bound` calls it; one that reads the time gets it drawn from its law given the count."""
    if checkpoint.config.conditioning != "time":
        return model
    schedule = checkpoint.training.get("recipe", {}).get("schedule", "linear")
    return BetaTimes(model, checkpoint.config.mask_id, schedule, seed).eval()
