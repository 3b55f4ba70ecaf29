"""Samplers for networks that keep what they have seen: which go with which attention, and what may be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymdm.network.config import ModelConfig
from pymdm.sampling.samplers.first_hitting import FirstHitting


def with_attention(sampler: Any, config: ModelConfig | None) -> Any:
    """The sampler, in the blocks that the network's attention asks for.

    Args:
        sampler: any.
        config: of the network; None for a callable.

    Raises:
        ValueError: a sampler that shows the network what it cannot see, or that does not run on such networks yet.

    >>> with_attention(FirstHitting(), ModelConfig(9, 8, 8, 1, 2, attention="causal")).block_length
    1
    """
    if config is None or config.attention == "bidirectional":
        return sampler
    kind = f"a network of attention {config.attention!r}"
    if not isinstance(sampler, FirstHitting) or sampler.order == 2 or sampler.corrector:
        raise ValueError(
            f"sample: {kind} is sampled by FirstHitting with order=1 and no corrector so far, got {sampler}"
        )
    if config.attention == "any-order":
        return sampler
    own = config.block_length or 1
    block = sampler.block_length or own
    if own % block:
        raise ValueError(f"sample: block_length must divide {own} for {kind}, got {block}")
    return replace(sampler, block_length=block)


def check_given(starts: Sequence[Sequence[int]], mask_id: int, config: ModelConfig | None) -> None:
    """Refuse given tokens that the network could not see.

    Args:
        starts: token ids with `mask_id` at the positions to draw.
        mask_id: of the run.
        config: of the network; None for a callable.

    Raises:
        ValueError: a token after a hole for a causal network, or a mask that is not the network's.
    """
    if config is None or config.attention == "bidirectional":
        return
    if mask_id != config.mask_id:
        raise ValueError(f"sample: the mask of this network is {config.mask_id}, got mask_id={mask_id}")
    if not config.causal:
        return
    for i, start in enumerate(starts):
        known = [token != mask_id for token in start]
        if False in known and True in known[known.index(False) :]:
            position = known.index(True, known.index(False))
            raise ValueError(
                "sample: a causal network sees only what stands before a token, so only a prefix may be given; sequence "
                f"{i} has a token at position {position}, after a hole"
            )
