"""How a run begins: which tokens stand where, at which random addresses, and the state made of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pymdm._native import C
from pymdm.sampling.check import described, entries, integer
from pymdm.sampling.fitting import check_given
from pymdm.sampling.lengths import drawn_lengths
from pymdm.sampling.options import MAX_COUNT, SampleOptions
from pymdm.sampling.prompt import Prompt, framed, prompt_count, start_tokens
from pymdm.sampling.samplers.common import Sampler

if TYPE_CHECKING:
    from pymdm.network.loading import Network

LARGEST_ID = 2**56 - 1  # of a sequence, as addresses hold it


def check_seed(seed: int | None, operation: str = "sample") -> int:
    """A seed in [0, 2^64); drawn from the system where none is given. NumPy's integers are seeds too."""
    if seed is None:
        return secrets.randbits(64)
    found = integer("seed", seed, operation=operation)
    if not 0 <= found < 2**64:
        raise ValueError(f"{operation}: seed must be in [0, 2^64), got {described(found)}")
    return found


def open_state(
    sampler: Sampler,
    tokens: Tensor | Sequence[Sequence[int]],
    mask_id: int,
    seed: int,
    sequence_ids: Tensor | Sequence[int] | None = None,
) -> C.State:
    """The `C.State` with which a sampler begins.

    Args:
        sampler: whose process starts.
        tokens: int64 [B, L], or B sequences of any lengths; `mask_id` at the positions to draw.
        mask_id: of the mask.
        seed: in [0, 2^64).
        sequence_ids: [B] random addresses of the sequences; default 0 .. B-1.

    Raises:
        ValueError: an empty sequence, a negative token, an id or a seed out of range.

    >>> from pymdm.sampling.samplers import FirstHitting
    >>> open_state(FirstHitting(), [[4, 4], [4, 1, 4]], 4, seed=1).remaining.tolist()
    [2, 2]
    """
    if isinstance(tokens, Tensor):
        flat, offsets = tokens.flatten(), torch.arange(len(tokens) + 1) * tokens.shape[1]
    else:
        flat = torch.tensor([t for row in tokens for t in row], dtype=torch.int64)
        offsets = torch.tensor([0, *(len(row) for row in tokens)]).cumsum(0)
    ids = torch.arange(len(tokens)) if sequence_ids is None else torch.as_tensor(sequence_ids, dtype=torch.int64)
    state = C.State(flat, offsets, ids, mask_id, seed)
    sampler.native().init(state)
    return state


def given_tokens(
    network: Network,
    mask: int,
    seed: int,
    *,
    num_samples: int,
    length: int | Sequence[int] | Mapping[int, float] | None,
    prompt: Prompt | None,
    infill: Prompt | None,
    sequence_ids: Sequence[int] | None,
    options: SampleOptions,
) -> tuple[list[list[int]], list[int]]:
    """The sequences that `sample` starts from, with `mask` at the positions to draw, and their ids; arguments as of `sample`.

    Raises:
        ValueError: what contradicts itself, the network or its vocabulary.
    """
    ids = None if sequence_ids is None else _ids(entries("sequence_ids", sequence_ids))
    if isinstance(length, Mapping):
        count = integer("num_samples", num_samples, 1, MAX_COUNT) * prompt_count(prompt)
        length = drawn_lengths(length, seed, range(count) if ids is None else ids)
    starts = start_tokens(
        prompt=prompt,
        infill=infill,
        length=length,
        num_samples=num_samples,
        mask_id=mask,
        default_length=network.length and network.length - sum(map(len, network.frame)),
        tokenizer=network.tokenizer,
    )
    starts = [framed(start, network.frame) for start in starts]
    check_given(starts, mask, network.config)
    ids = list(range(len(starts))) if ids is None else ids
    if len(ids) != len(starts) or len(set(ids)) != len(ids):
        raise ValueError(
            f"sample: expected {len(starts)} different sequence_ids, got {len(ids)}, {len(set(ids))} different"
        )
    if network.vocab_size is not None:
        for token in {t for start in starts for t in start} - {mask}:
            if not 0 <= token < network.vocab_size:
                raise ValueError(f"sample: tokens must be in [0, {network.vocab_size}) or the mask {mask}, got {token}")
    longest = max(map(len, starts))
    if options.allowed and options.allowed[-1][0] >= longest:
        raise ValueError(
            f"sample: allowed has position {options.allowed[-1][0]}, the longest sequence has positions 0 to {longest - 1}"
        )
    return starts, ids


def _ids(values: Sequence[Any]) -> list[int]:
    return [integer("sequence_ids", i, 0, LARGEST_ID) for i in values]
