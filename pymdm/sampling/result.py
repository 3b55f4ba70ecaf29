"""What sampling returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from torch import Tensor

from pymdm._native import C
from pymdm.data.wrapped import text_of
from pymdm.files.read import reason
from pymdm.files.write import cannot_write
from pymdm.sampling.check import path as as_path
from pymdm.sampling.html import replay_html
from pymdm.sampling.options import SampleOptions
from pymdm.sampling.samplers.names import sampler_call
from pymdm.sampling.settings import Settings

MIXED = "parts of this run had other options, so the law of none of them holds of the whole"


@dataclass(frozen=True, repr=False)
class Sample:
    """One sequence: its tokens and how they came to be.

    Attributes:
        tokens: int64 [L].
        text: the tokens as text, or None without a tokenizer.
        times: float64 [L], when each position was unmasked, from 1 down to 0; NaN where it was given.
        rank: int64 [L], how many positions were unmasked before it; -1 where it was given.
        nfe: network calls that the sequence took part in.
        log_prob: float64 [L] of each token where it was drawn; NaN where it was given.
        sequence_id: its random address.
    """

    tokens: Tensor
    text: str | None
    times: Tensor
    rank: Tensor
    nfe: int
    log_prob: Tensor
    sequence_id: int

    def __repr__(self) -> str:
        drawn = int((self.rank >= 0).sum())
        facts = f"{len(self.tokens)} tokens, {drawn} drawn, {self.nfe} network calls, sequence id {self.sequence_id}"
        return f"Sample({facts})\n{_first(self.text, self.tokens)}"


@dataclass(frozen=True)
class Samples:
    """The result of `pymdm.sample`: a sequence of `Sample`, and the facts of the run.

    Attributes:
        state: the final state of the run; `pymdm.resume` goes on from it.
        sampler, options: what it was drawn with.
        seconds: wall time of the latest part of the run.
        tokenizer: turns tokens to text, or None.
        mixed: whether parts of the run had different options.

    A slice is a `Samples` of some sequences; the counts of the run, `calls` and `draws`, stay those of all of them.

    >>> import pymdm, torch
    >>> out = pymdm.sample(lambda tokens: torch.zeros(*tokens.shape, 4), mask_id=4, length=6, num_samples=3, seed=1)
    >>> len(out[:2]), Samples.from_dict(out.to_dict()).law, torch.equal(out[1:].tokens, out.tokens[1:])
    (2, 'exact', True)
    """

    state: C.State = field(repr=False)
    sampler: Any
    options: SampleOptions = SampleOptions()  # noqa: RUF009 (frozen)
    seconds: float = 0.0
    tokenizer: Any = field(default=None, repr=False)
    mixed: bool = False

    @property
    def law(self) -> str:
        """ "exact"; "tempered" or "truncated", exact for the conditionals that the options leave; or "approximate"."""
        return "approximate" if self.mixed else self.options.law(self.sampler.law)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the samples must know."""
        return (*self.sampler.warnings, *((MIXED,) if self.mixed else ()))

    @property
    def seed(self) -> int:
        """Reproduces the run."""
        return self.state.seed

    @property
    def calls(self) -> int:
        """Network calls of the whole batch."""
        return self.state.calls

    @property
    def draws(self) -> int:
        """Categorical draws of the whole batch."""
        return self.state.draws

    @cached_property
    def tokens(self) -> Tensor | list[Tensor]:
        """[B, L] int64; a list of [L_b] if the lengths differ."""
        return self._by_sequence(self.state.tokens)

    @cached_property
    def times(self) -> Tensor | list[Tensor]:
        """[B, L] float64 hitting times; a list if the lengths differ."""
        return self._by_sequence(self.state.times)

    @cached_property
    def rank(self) -> Tensor | list[Tensor]:
        """[B, L] int64, how many of its sequence were unmasked before each, -1 where given; a list if the lengths differ."""
        return self._by_sequence(self.state.rank)

    @cached_property
    def log_prob(self) -> Tensor | list[Tensor]:
        """[B, L] float64 log-probability of each token in the distribution it was drawn from (temperature, top-k, top-p and
        bans included); NaN where it was given, or is not known: coarse noise, the corrector, runs on a device.

        For first-hitting and ancestral sampling the sum over a sequence is the exact log-probability of its tokens given
        order and times (docs/samplers.md).
        """
        return self._by_sequence(self.state.log_prob)

    @cached_property
    def nfe(self) -> list[int]:
        """Network calls that each sequence took part in, one after another."""
        return self.state.rounds.tolist()

    @property
    def rounds(self) -> int:
        """Most network calls that a sequence had to wait for, one after another; fewer than its tokens with lookahead."""
        return max(self.nfe, default=0)

    @property
    def rows(self) -> int:
        """Sequences scored in all network calls together, the copies of lookahead among them."""
        return int(self.state.rows.sum())

    @cached_property
    def sequence_ids(self) -> list[int]:
        """Random addresses of the sequences."""
        return self.state.sequence.tolist()

    @property
    def text(self) -> list[str | None]:
        """The samples as text; None without a tokenizer."""
        return [self._text(tokens, rank) for tokens, rank in zip(self.tokens, self.rank, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, numbers, text and tensors, for `from_dict`, `pymdm.resume` and `torch.save`."""
        return {**self.state.to_dict(), "seconds": self.seconds}

    @classmethod
    def from_dict(cls, saved: dict[str, Any], *, tokenizer: Any = None, sampler: Any = None) -> Samples:
        """The samples again, after a check of every part of them.

        Args:
            saved: of `to_dict`, or of `samples.state.to_dict()`.
            tokenizer: for `text`; a tokenizer is not part of the data.
            sampler: needed where it cannot be made of plain values: one with a schedule of the user's own functions.

        Raises:
            ValueError, TypeError: data that is damaged, of another format, or that needs `sampler`.
        """
        if not isinstance(saved, dict):
            raise TypeError(f"sample: a saved state is a dict, got {type(saved).__name__}")
        state = C.restored_state(saved)
        settings = Settings.from_json(state.settings)
        sampler = sampler or settings.make_sampler()
        if sampler is None:
            text = settings.sampler_text()
            raise ValueError(f"sample: the state's sampler cannot be made of plain values; give sampler= for {text}")
        seconds = saved.get("seconds", 0.0)
        if not isinstance(seconds, float):
            raise ValueError(f"sample: the saved state's seconds must be a float, got {type(seconds).__name__}")
        return cls(state, sampler, settings.options, seconds, tokenizer, settings.mixed)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the samples to one safetensors file; `Samples.load` reads it, and nothing is unpickled.

        Raises:
            ValueError, TypeError: a path that cannot be written, or is none.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        where, parts = as_path("path", path), self.to_dict()
        tensors = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
        numbers = {name: value for name, value in parts.items() if not isinstance(value, Tensor)}
        try:
            save_file(tensors, where, metadata={"samples": json.dumps(numbers)})
        except (OSError, SafetensorError) as error:
            raise cannot_write(f"sample: cannot write {where}", error) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, tokenizer: Any = None, sampler: Any = None) -> Samples:
        """Reads what `save` wrote; arguments and errors as of `from_dict`."""
        from safetensors import SafetensorError, safe_open

        where = as_path("path", path)
        try:
            with safe_open(where, framework="pt") as file:
                numbers = json.loads((file.metadata() or {})["samples"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
            raise ValueError(f"sample: {where} does not hold samples: {reason(error)}") from None
        if not isinstance(numbers, dict):
            raise ValueError(f"sample: {where} does not hold samples")
        return cls.from_dict({**numbers, **tensors}, tokenizer=tokenizer, sampler=sampler)

    def __len__(self) -> int:
        return len(self.nfe)

    @overload
    def __getitem__(self, i: int) -> Sample: ...
    @overload
    def __getitem__(self, i: slice) -> Samples: ...
    def __getitem__(self, i: int | slice) -> Sample | Samples:
        if isinstance(i, slice):
            state = self.state.select(list(range(*i.indices(len(self)))))
            return Samples(state, self.sampler, self.options, self.seconds, self.tokenizer, self.mixed)
        tokens = self.tokens[i]
        return Sample(
            tokens,
            self._text(tokens, self.rank[i]),
            self.times[i],
            self.rank[i],
            self.nfe[i],
            self.log_prob[i],
            self.sequence_ids[i],
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        lengths = self.state.offsets.diff().tolist()
        sizes = str(max(lengths, default=0)) if len(set(lengths)) <= 1 else f"{min(lengths)} to {max(lengths)}"
        first = _first(self[0].text, self[0].tokens) if lengths else ""
        return (
            f"Samples({len(lengths)} of {sizes} tokens, law {self.law}, {self.calls} network calls, seed {self.seed}, "
            f"{sampler_call(self.sampler)})\n{first}"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the facts, and the first texts with their masks filled in, in the order they were drawn."""
        return replay_html(self)

    def _text(self, tokens: Tensor, rank: Tensor) -> str | None:
        if self.tokenizer is None:
            return None
        return text_of(self.tokenizer, tokens.tolist(), rank.tolist(), self.state.mask_id)

    def _by_sequence(self, flat: Tensor) -> Tensor | list[Tensor]:
        lengths = self.state.offsets.diff().tolist()
        if len(set(lengths)) == 1:
            return flat.view(len(lengths), lengths[0])
        return list(flat.split(lengths))


def _first(text: str | None, tokens: Tensor) -> str:
    """The beginning of a sequence on one line."""
    shown = repr(text or tokens.tolist())
    return shown if len(shown) <= 100 else shown[:100] + "..."
