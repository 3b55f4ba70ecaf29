"""Several processes (`torchrun`): who this one is, how the network is split or copied, and whole tensors from shards.

With "ddp" each process holds the whole network; with "fsdp" (FSDP2, `fully_shard`) its parameters, gradients, optimiser
state and average are split. Checkpoints hold whole tensors either way, so a run may go on with another number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from pymdm.model import MaskedTransformer

PARALLEL = ("ddp", "fsdp")


@dataclass(frozen=True)
class Processes:
    """This process's number `rank` among `world`, and its device."""

    rank: int
    world: int
    device: torch.device

    def agree(self, value: float) -> float:
        """The first process's value, for all."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """The group that torchrun's environment describes, joined for the time of the block; a lone process without one.

    Args:
        device: "cpu" or "cuda".
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, torch.device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        torch.cuda.set_device(local)
    mine = not torch.distributed.is_initialized()
    if mine:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(rank, world, torch.device(device, local) if device == "cuda" else torch.device(device))
    finally:
        if mine:
            torch.distributed.destroy_process_group()


def spread(model: MaskedTransformer, group: Processes, parallel: str) -> nn.Module:
    """What a step calls: the model itself, its copy in DDP, or itself with its parameters split ("fsdp")."""
    if group.world == 1:
        return model
    if parallel == "ddp":
        ids = [group.device.index] if group.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(group.device.type, (group.world,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def exchange_gradients(network: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass exchanges gradients between processes: only the last of a step's groups does."""
    if isinstance(network, nn.parallel.DistributedDataParallel):
        network.require_backward_grad_sync = wanted
        return
    exchange: Any = getattr(network, "set_requires_gradient_sync", None)  # of a network split by fully_shard
    if exchange is not None:
        exchange(wanted)


def whole(tensor: Tensor) -> Tensor:
    """The tensor that shards are parts of; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This process's part, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same in every process, split as another one is."""
    tensor = tensor.detach().to(like.device, copy=True)
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
