"""Processes that work together, as torchrun starts them: who this one is, what they exchange, which sequences are its own."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many run together: RANK and WORLD_SIZE, as torchrun sets them; else (0, 1)."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world:
        raise ValueError(f"sample: RANK must be in [0, WORLD_SIZE), got {rank} of {world}")
    return rank, world


def sequence_ids_of_rank(count: int) -> list[int]:
    """Sequence ids of this process when `count` sequences are drawn by all processes of a torchrun together.

    A sequence's sample depends on seed and id alone, so the samples are those of one process:
    `pymdm.sample(model, num_samples=len(ids), sequence_ids=ids, seed=7)` in each.

    Args:
        count: sequences in all, at least 1.

    Returns:
        Every WORLD_SIZE-th id from RANK on; empty where there are more processes than sequences.

    Raises:
        ValueError: a count that is none.

    >>> sequence_ids_of_rank(3)
    [0, 1, 2]
    """
    if isinstance(count, bool) or not hasattr(count, "__index__") or operator.index(count) < 1:
        raise ValueError(f"sequence_ids_of_rank: count must be an integer of at least 1, got {count!r}")
    rank, world = rank_and_world()
    return list(range(rank, operator.index(count), world))


@dataclass(frozen=True)
class Processes:
    """This process's number `rank` among `world`, and its device.

    `number` is what is exchanged, float64 []: one tensor that stays, because gloo's threads need the interpreter to free one.
    """

    rank: int
    world: int
    device: torch.device
    number: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))

    def agree(self, value: float) -> float:
        """The first process's value, for all."""
        if self.world == 1:
            return value
        torch.distributed.broadcast(self.number.fill_(value), 0)
        return float(self.number)

    def share(self, value: Any) -> Any:
        """The first process's object, for all."""
        if self.world == 1:
            return value
        shared = [value]
        torch.distributed.broadcast_object_list(shared, 0, device=self.device)
        return shared[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's object, in the first process; empty elsewhere."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        torch.distributed.gather_object(value, found if self.rank == 0 else None, dst=0)
        return found if self.rank == 0 else []

    def all(self, condition: bool) -> bool:
        """Whether it holds in every process."""
        if self.world == 1:
            return condition
        torch.distributed.all_reduce(self.number.fill_(condition), torch.distributed.ReduceOp.MIN)
        return bool(self.number)


@contextmanager
def processes(device: str = "cpu") -> Iterator[Processes]:
    """The group that torchrun's environment describes, joined for the time of the block; a lone process without one.

    Args:
        device: "cpu" or "cuda".

    >>> with processes() as group:
    ...     group.gather("mine")
    ['mine']
    """
    rank, world = rank_and_world()
    if world == 1:
        yield Processes(0, 1, torch.device(device))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        torch.cuda.set_device(local)
    mine = not torch.distributed.is_initialized()
    if mine:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        here = torch.device(device, local) if device == "cuda" else torch.device(device)
        yield Processes(rank, world, here, torch.zeros((), dtype=torch.float64, device=here))
        torch.distributed.barrier()
    finally:
        if mine:
            # the end of a group holds the interpreter: gloo's threads that still need it to free a tensor would wait for ever
            time.sleep(0.1)
            torch.distributed.destroy_process_group()
