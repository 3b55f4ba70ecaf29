"""Processes that draw samples together, as torchrun starts them: one seed, each its own sequences, one result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymdm.devices import rank_and_world


@dataclass(frozen=True)
class Ranks:
    """This process among `world` of them."""

    rank: int
    world: int

    def same(self, value: Any) -> Any:
        """Rank 0's value, in every process."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank 0; empty elsewhere."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        dist.gather_object(value, found if self.rank == 0 else None, dst=0)
        return found if self.rank == 0 else []


@contextmanager
def together() -> Iterator[Ranks]:
    """Meets the other processes that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT name; alone without them.

    >>> with together() as ranks:
    ...     ranks.gather("mine")
    ['mine']
    """
    rank, world = rank_and_world()
    if world == 1:
        yield Ranks(0, 1)
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        yield Ranks(rank, world)
    finally:
        dist.destroy_process_group()
