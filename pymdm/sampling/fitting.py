"""Which samplers go with which networks: the times that a network was trained with, and what its attention lets it see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pymdm.network.config import ModelConfig
from pymdm.sampling.call_schedule import CallSchedule
from pymdm.sampling.check import described
from pymdm.sampling.samplers import Ancestral, Confidence, FirstHitting, Sampler
from pymdm.sampling.schedules import Schedule, as_schedule

if TYPE_CHECKING:
    from pymdm.network.loading import Network

FITTING = {
    "causal": "FirstHitting with order=1 and no corrector",
    "block": "FirstHitting without a corrector, or Confidence by a rule",
    "any-order": "FirstHitting without a corrector, or Confidence by a rule",
}


def fitted(sampler: Any, network: Network, time_conditioned: bool) -> Sampler:
    """The sampler, if it is one, with the times and blocks that the network asks for.

    Raises:
        TypeError: a class or a name instead of a sampler.
        ValueError: a sampler that is wrong for the network; the literal form would keep outputs that a network conditioned
            on time has to give anew.
    """
    if not isinstance(sampler, Sampler):
        got = f"the class {sampler.__name__}" if isinstance(sampler, type) else described(sampler)
        raise TypeError(f"sample: sampler must be an object such as pymdm.FirstHitting(), got {got}")
    sees_time = time_conditioned or network.sees_time
    if sees_time and isinstance(sampler, Ancestral) and sampler.form == "literal" and sampler.cache:
        raise ValueError(
            "sample: the literal form keeps outputs from step to step, which is wrong for a network that sees the time; "
            "give cache=False"
        )
    fitting: Sampler = with_attention(with_schedule(sampler, network.schedule), network.config)
    return fitting


def with_schedule(sampler: Any, trained: str | None) -> Any:
    """The sampler, telling a time-conditioned network the times of the schedule that it was trained with.

    Args:
        sampler: with a schedule of its own or none.
        trained: the schedule's name; None for a network that sees no time, or of which it is not known.

    Raises:
        ValueError: a sampler that tells other times.

    >>> with_schedule(FirstHitting(), "cosine").schedule
    'cosine'
    """
    if trained is None:
        return sampler
    if not hasattr(sampler, "schedule"):  # its times are shares of masks
        told = "linear"
    elif sampler.schedule is None:
        return replace(sampler, schedule=trained)
    else:
        told = sampler.schedule
    if as_schedule(told) != Schedule(trained):
        name = told if isinstance(told, str) else told.name
        raise ValueError(
            f"sample: the network was trained with times of the {trained} schedule, but {type(sampler).__name__} "
            f"tells it those of {'another ' if name == trained else 'the '}{name} schedule"
        )
    return sampler


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
    any_order = config.attention == "any-order"
    by_rule = isinstance(sampler, Confidence) and sampler.score is None and not config.causal
    plain = isinstance(sampler, FirstHitting) and not sampler.corrector and (sampler.order == 1 or not config.causal)
    if not (plain or by_rule):
        raise ValueError(
            f"sample: {kind} is sampled by {FITTING[config.attention]}, got {sampler}; networks that see both ways, such as "
            "bundled:masked, take every sampler"
        )
    if any_order:
        return sampler
    own = config.block_length or 1
    block = sampler.block_length or own
    if own % block:
        raise ValueError(f"sample: block_length must divide {own} for {kind}, got {block}")
    return replace(sampler, block_length=block, **({"aligned": True} if by_rule else {}))


def check_calls(sampler: Sampler, starts: Sequence[Sequence[int]], mask_id: int, framing: int = 0) -> None:
    """Refuse a schedule of calls whose certificate is of sequences of another length, or with another share given.

    Args:
        sampler: any; only those with a `CallSchedule` are looked at.
        starts: token ids with `mask_id` at the positions to draw.
        mask_id: of the run.
        framing: tokens of the frame around every sequence, which the schedule does not count.

    Raises:
        ValueError: a sequence that the schedule is not for.
    """
    calls = getattr(sampler, "tokens_per_call", None)
    if not isinstance(calls, CallSchedule):
        return
    for start in starts:
        masks = sum(token == mask_id for token in start)
        if masks != sum(calls):
            raise ValueError(f"sample: the call schedule is for {sum(calls)} tokens, got a sequence of {masks} to draw")
        known = len(start) - masks - framing
        if known != calls.given:
            raise ValueError(
                f"sample: the call schedule is for sequences with {calls.given} tokens given, got one with {known}; make one "
                f"with given={known}, or take its sizes alone"
            )


def check_given(starts: Iterable[Sequence[int]], mask_id: int, config: ModelConfig | None) -> None:
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
