"""Small models given by a table of conditionals, whose laws can be enumerated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.reference import laws
from pymdm.reference.choose import filtered


@dataclass(frozen=True, eq=False)
class TableModel:
    """A network that looks its answer up: tokens [B, L] int64 (, time [B]) -> logits [B, L, V] float64.

    Torch tensors give torch tensors, numpy arrays give numpy arrays. What it says about positions that are not masked
    is garbage on purpose, so that a sampler which rewrites them is found out.

    Attributes:
        name: for reports.
        mu: [S, L, V] conditionals at every partial sequence (see `pymdm.reference.laws`).
        late: None, or a second table: at level m (linear time) the conditionals are m * mu + (1 - m) * late.
        mask_column: answer V + 1 columns, the last one garbage that a sampler has to ignore.
        mask_at: None, or the id of the mask inside the vocabulary: classes from it on are one higher, its column is NaN.
        half: "float16" or "bfloat16": logits are rounded to it (and torch tensors have it), and the law is theirs.
    """

    name: str
    mu: NDArray[np.float64]
    late: NDArray[np.float64] | None = None
    mask_column: bool = False
    half: str = ""
    mask_at: int | None = None

    @property
    def length(self) -> int:
        return self.mu.shape[1]

    @property
    def vocab_size(self) -> int:
        return self.mu.shape[2]

    @property
    def mask_id(self) -> int:
        return self.vocab_size if self.mask_at is None else self.mask_at

    @property
    def sequences(self) -> int:
        """Number of complete sequences, V^L."""
        return self.vocab_size**self.length

    @cached_property
    def _powers(self) -> NDArray[np.int64]:
        return (self.vocab_size + 1) ** np.arange(self.length - 1, -1, -1, dtype=np.int64)

    @cached_property
    def _garbage(self) -> NDArray[np.float64]:
        """[S, L, V] conditionals with garbage where the position is not masked."""
        return self._with_garbage(self.mu)

    @cached_property
    def _late(self) -> NDArray[np.float64]:
        assert self.late is not None
        return self._with_garbage(self.late)

    def _with_garbage(self, mu: NDArray[np.float64]) -> NDArray[np.float64]:
        states = laws.all_states(self.vocab_size, self.length)
        noise = np.random.default_rng(0).dirichlet(np.ones(self.vocab_size), size=mu.shape[:2])
        return np.where((states == self.vocab_size)[..., None], mu, noise)

    @cached_property
    def _logits(self) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return rounded(np.log(self._garbage), self.half)

    def _lookup(self, index: Any, time: Any) -> NDArray[np.float64]:
        """Logits at table index (an int array or a tuple of them), mixed by time where the model has two tables."""
        if self.late is None:
            logits = self._logits[index]
        else:
            if time is None:
                raise ValueError("TableModel: this model is conditioned on time, and no time was given")
            m = np.asarray(time, dtype=np.float64)
            lead = self._garbage[index]
            m = m.reshape(m.shape + (1,) * (lead.ndim - m.ndim))
            with np.errstate(divide="ignore"):
                logits = np.log(m * lead + (1 - m) * self._late[index])
        if self.mask_column:
            logits = np.concatenate([logits, np.full_like(logits[..., :1], 7.0)], axis=-1)
        if self.mask_at is not None:
            logits = np.insert(logits, self.mask_at, np.nan, axis=-1)
        return logits

    def index(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Table index [...] of partial sequences [..., L], as `pymdm.reference.laws.state_index`."""
        if self.mask_at is not None:
            tokens = np.where(tokens == self.mask_at, self.vocab_size, tokens - (tokens > self.mask_at))
        return tokens @ self._powers

    def __call__(self, tokens: Any, time: Any = None) -> Any:
        if isinstance(tokens, np.ndarray):
            return self._lookup(self.index(tokens), time)
        import torch  # only callers that hold tensors need it

        found = torch.from_numpy(self(tokens.cpu().numpy(), None if time is None else time.cpu().numpy()))
        return found.to(tokens.device, getattr(torch, self.half) if self.half else None)

    def rows(self, tokens: NDArray[np.int64], positions: NDArray[np.int64], time: Any = None) -> NDArray[np.float64]:
        """Logits [M, V] of position positions[i] of sequence tokens[i]; the same numbers as the full call."""
        return self._lookup((self.index(tokens), positions), time)

    def conditionals(self, temperature: float = 1.0, **filters: Any) -> NDArray[np.float64]:
        """[S, L, V] conditionals at a temperature above 0, without banned tokens, truncated by top_k and top_p."""
        if temperature == 1.0 and not filters and not self.half:
            return self.mu
        with np.errstate(divide="ignore"):
            logits = rounded(np.log(self.mu), self.half).reshape(-1, self.vocab_size)
        scores = filtered(logits, temperature, **filters)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return (p / p.sum(axis=-1, keepdims=True)).reshape(self.mu.shape)


def rounded(logits: NDArray[np.float64], half: str) -> NDArray[np.float64]:
    """Logits rounded to "float16" or, half to even, to "bfloat16"; as they are for "".

    Example:
        >>> float(rounded(np.array([0.1]), "bfloat16")[0]), float(rounded(np.array([0.1]), "float16")[0])
        (0.10009765625, 0.0999755859375)
    """
    if half == "float16":
        return logits.astype(np.float16).astype(np.float64)
    if half == "bfloat16":
        bits = logits.astype(np.float32).view(np.uint32)
        bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(np.float64)
    return logits


def random_model(
    vocab_size: int, length: int, kind: str, rng: np.random.Generator, *, rare: bool = False, name: str | None = None
) -> TableModel:
    """Draws a model.

    Args:
        vocab_size: V.
        length: L.
        kind: "consistent": the true conditionals of a random joint law; "inconsistent": unrelated random conditionals,
            as a trained masked model has them; "timed": two inconsistent tables mixed by time.
        rng: source of the parameters.
        rare: give one or more tokens of every conditional a probability between 1e-5 and 1e-3.
        name: for reports.

    Returns:
        A `TableModel`.
    """
    states = (vocab_size + 1) ** length
    concentration = float(rng.choice([0.3, 1.0, 3.0]))

    def table() -> NDArray[np.float64]:
        if kind == "consistent":
            joint = rng.gamma(concentration, size=(vocab_size,) * length) + 1e-3 / vocab_size**length
            if rare:  # the last token is rare at every position, whatever the others are
                thin = 10.0 ** rng.uniform(-5, -3)
                for l in range(length):
                    joint[(slice(None),) * l + (-1,)] *= thin
            return laws.conditionals(joint / joint.sum())
        mu = rng.dirichlet(np.full(vocab_size, concentration), size=(states, length)) + 1e-6
        if rare:
            mu /= mu.sum(axis=-1, keepdims=True)
            mu[..., -1] = 10.0 ** rng.uniform(-5, -3, size=mu.shape[:2])
            mu[..., :-1] *= ((1 - mu[..., -1]) / mu[..., :-1].sum(axis=-1))[..., None]
        return mu / mu.sum(axis=-1, keepdims=True)

    if kind not in ("consistent", "inconsistent", "timed"):
        raise ValueError(f"random_model: kind must be consistent, inconsistent or timed, got {kind!r}")
    name = name or f"{kind} V={vocab_size} L={length}" + (" rare" if rare else "")
    mu = table()
    return TableModel(name, mu, late=table() if kind == "timed" else None)


SHAPES: Sequence[tuple[int, int]] = (
    (2, 3), (2, 4), (2, 5), (2, 6), (3, 3), (3, 4), (3, 5), (3, 6), (4, 3), (4, 4), (4, 5), (4, 6), (5, 3), (5, 4), (5,
    5),
)  # fmt: skip
"""(V, L) with V 2..5, L 3..6 and at most 4,096 complete sequences."""


def random_models(count: int, seed: int) -> list[TableModel]:
    """`count` models over all shapes and kinds in turn, every third with rare tokens."""
    rng = np.random.default_rng(seed)
    models = []
    for i in range(count):
        v, l = SHAPES[int(rng.integers(len(SHAPES)))]
        kind = ("consistent", "inconsistent")[i % 2]
        models.append(random_model(v, l, kind, rng, rare=i % 3 == 2, name=f"#{i} {kind} V={v} L={l}"))
    return models


def random_prompt(model: TableModel, rng: np.random.Generator) -> NDArray[np.int64]:
    """[L] prompt with at least one given and at least two free positions (V marks the free ones)."""
    given = int(rng.integers(1, model.length - 1))
    prompt = np.full(model.length, model.mask_id, dtype=np.int64)
    where = rng.choice(model.length, size=given, replace=False)
    prompt[where] = rng.integers(model.vocab_size, size=given)
    return prompt
