"""`sample`: the one way to draw sequences."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pymdm._native import C
from pymdm.data.tokenizer import Vocabulary, as_vocabulary
from pymdm.network.callable import callable_network
from pymdm.sampling import device_run
from pymdm.sampling.prompt import Prompt, start_tokens
from pymdm.sampling.result import Samples
from pymdm.sampling.samplers import FirstHitting, Sampler

if TYPE_CHECKING:
    from pymdm.network.loading import Network


def check_seed(seed: int | None) -> int:
    """A seed in [0, 2^64); drawn from the system where none is given."""
    if seed is None:
        return secrets.randbits(64)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"sample: seed must be an int, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"sample: seed must be in [0, 2^64), got {seed}")
    return seed


def sample(
    model: Any,
    *,
    num_samples: int = 1,
    length: int | Sequence[int] | None = None,
    prompt: Prompt | None = None,
    infill: Prompt | None = None,
    seed: int | None = None,
    sampler: Sampler | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    banned_tokens: Sequence[int] = (),
    mask_id: int | None = None,
    vocabulary: Any = None,
    time_conditioned: bool = False,
    chosen_rows: bool = False,
    batch_size: int | None = None,
    sequence_ids: Sequence[int] | None = None,
    max_calls: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
    watch: Callable[[Any], None] | None = None,
    watch_interval: float = 0.0,
) -> Samples:
    """Draws sequences from a masked diffusion model.

    Args:
        model: a model from `pymdm.load`, a path, a `MaskedTransformer`, an `Engine`, or any callable tokens [B, L] int64 ->
            logits [B, L, V] (`mask_id` is then needed; a mask column in the logits is ignored).
        num_samples: sequences to draw, for each prompt.
        length: L, or one for each sequence; default the model's.
        prompt: given tokens at the front, as text or integer tokens; a list gives one prompt a sequence. Token prompts may
            hold `mask_id` at positions to draw.
        infill: whole sequences with holes: text with [MASK:n] (see `pymdm.sampling.prompt.parse_infill`), or integer tokens
            with `mask_id`.
        seed: in [0, 2^64); None draws one from the system, and the result carries it.
        sampler: default `FirstHitting()`, exact.
        temperature: logits are divided by it; 0 takes the arg-max. Other values than 1 change the law to that of the
            tempered conditionals; top_k (0 off) and top_p (1 off) change the law to truncated conditionals.
        banned_tokens: ids that are never drawn.
        vocabulary: text of a callable's tokens: a `pymdm.Vocabulary`, a `tokenizers.Tokenizer` or a fast tokenizer of
            transformers, without its special tokens. Logits beyond its ids are never drawn.
        time_conditioned, chosen_rows: forms of a callable, see `pymdm.network.callable.callable_network`.
        batch_size: sequences in one network call, default all. The samples do not depend on it.
        sequence_ids: random addresses of the sequences, default 0 .. B-1. A sequence's sample depends on seed and id alone.
        max_calls: stop after this many network calls; `resume` goes on from the result.
        dtype: "float32" or "bfloat16", for models this call loads itself.
        device: "cpu" or "cuda", for models this call loads itself; default the CPU. On a CUDA device plain first-hitting
            stays there whole; other samplers run their loop on the host (docs/cuda.md).
        watch: called with the running state after network calls, at most every `watch_interval` seconds.

    Returns:
        `Samples` with tokens, text, times, order, nfe, seed and law.

    Raises:
        ValueError, TypeError: bad input, in one line that begins with "sample:".

    Source: Zheng et al., ICLR 2025, Proposition 4.1 and section 4.

    >>> uniform = lambda tokens: torch.zeros(*tokens.shape, 4)
    >>> out = sample(uniform, mask_id=4, length=6, num_samples=2, seed=1)
    >>> out.law, out.calls, tuple(out.tokens.shape)
    ('exact', 6, (2, 6))
    """
    from pymdm.network.loading import resolve

    network = resolve(model, dtype, device)
    vocabulary = as_vocabulary(vocabulary) or network.vocabulary
    mask = mask_id if mask_id is not None else network.mask_id
    if mask is None:
        raise ValueError("sample: mask_id is needed for a network that is a plain callable")
    seed = check_seed(seed)
    sampler = sampler if sampler is not None else FirstHitting()
    draw = Draw(temperature, top_k, top_p, tuple(int(t) for t in banned_tokens), batch_size, max_calls)
    starts = start_tokens(
        prompt=prompt,
        infill=infill,
        length=length,
        num_samples=num_samples,
        mask_id=mask,
        default_length=network.length,
        vocabulary=vocabulary,
    )
    ids = list(range(len(starts))) if sequence_ids is None else [int(i) for i in sequence_ids]
    if len(ids) != len(starts) or len(set(ids)) != len(ids):
        raise ValueError(
            f"sample: expected {len(starts)} different sequence_ids, got {len(ids)}, {len(set(ids))} different"
        )
    if network.vocab_size is not None:
        for token in {t for start in starts for t in start} - {mask}:
            if not 0 <= token < network.vocab_size:
                raise ValueError(f"sample: tokens must be in [0, {network.vocab_size}) or the mask {mask}, got {token}")

    offsets = torch.tensor([0, *(len(s) for s in starts)]).cumsum(0)
    tokens = torch.tensor([t for s in starts for t in s], dtype=torch.int64)
    state = C.State(tokens, offsets, torch.tensor(ids, dtype=torch.int64), mask, seed)
    sampler.native().init(state)
    score = _score(network, time_conditioned, chosen_rows)
    return _run(state, score, sampler, draw, vocabulary, watch, watch_interval)


def resume(
    model: Any,
    state: Samples | dict[str, Any],
    *,
    sampler: Sampler | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    banned_tokens: Sequence[int] = (),
    vocabulary: Any = None,
    time_conditioned: bool = False,
    chosen_rows: bool = False,
    batch_size: int | None = None,
    max_calls: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
    watch: Callable[[Any], None] | None = None,
    watch_interval: float = 0.0,
) -> Samples:
    """Goes on with a run that `max_calls` stopped; the outcome is that of the run without the stop.

    Args:
        model: as in `sample`.
        state: the stopped `Samples`, or its plain data, `samples.state.to_dict()`.
        sampler: the sampler of the stopped run; default that of `Samples`, or `FirstHitting()`.
        others: as in `sample`, with the values of the stopped run.

    Raises:
        ValueError: a state that contradicts itself.

    >>> uniform = lambda tokens: torch.zeros(*tokens.shape, 4)
    >>> half = sample(uniform, mask_id=4, length=6, seed=1, max_calls=3)
    >>> whole = sample(uniform, mask_id=4, length=6, seed=1)
    >>> torch.equal(resume(uniform, half.state.to_dict()).tokens, whole.tokens)
    True
    """
    from pymdm.network.loading import resolve

    network = resolve(model, dtype, device)
    sampler = sampler or (state.sampler if isinstance(state, Samples) else FirstHitting())
    saved = state.state.to_dict() if isinstance(state, Samples) else state
    draw = Draw(temperature, top_k, top_p, tuple(int(t) for t in banned_tokens), batch_size, max_calls)
    score = _score(network, time_conditioned, chosen_rows)
    copy = C.State.from_dict(saved)
    return _run(copy, score, sampler, draw, as_vocabulary(vocabulary) or network.vocabulary, watch, watch_interval)


@dataclass(frozen=True)
class Draw:
    """How tokens are drawn and how the work is cut, whatever the sampler."""

    temperature: float
    top_k: int
    top_p: float
    banned: tuple[int, ...]
    batch_size: int | None
    max_calls: int | None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"sample: temperature must be finite and at least 0, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"sample: top_k must be at least 0, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sample: top_p must be in (0, 1], got {self.top_p}")
        for name in ("batch_size", "max_calls"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"sample: {name} must be at least 1, got {value}")


def _score(network: Network, time_conditioned: bool, chosen_rows: bool) -> Any:
    """What the compiled loop calls: the engine itself, or a wrapped callable."""
    if network.engine is not None:
        return network.engine
    assert network.callable is not None
    return callable_network(network.callable, time_conditioned=time_conditioned, chosen_rows=chosen_rows)


def _run(
    state: Any,
    score: Any,
    sampler: Sampler,
    draw: Draw,
    vocabulary: Vocabulary | None,
    watch: Callable[[Any], None] | None,
    watch_interval: float,
) -> Samples:
    C.set_num_threads(torch.get_num_threads())
    options: dict[str, Any] = {
        "batch_size": draw.batch_size or 0,
        "max_calls": draw.max_calls or 0,
        "temperature": draw.temperature,
        "banned": list(draw.banned),
        "drawable": vocabulary.size if vocabulary is not None else 0,  # logits beyond stand for no token
        "watch": watch,
        "watch_interval": watch_interval,
    }
    began = time.perf_counter()
    if isinstance(sampler, FirstHitting) and device_run.replays(score, sampler, draw.top_k, draw.top_p):
        device_run.run(state, score, sampler, **options)
    else:
        C.run(state, sampler.native(), score, top_k=draw.top_k, top_p=draw.top_p, **options)
    return Samples(state, sampler, time.perf_counter() - began, vocabulary)
