"""Several processes (`torchrun`): who this one is, how the network is split or copied, and whole tensors from shards.

With "ddp" each process holds the whole network; with "fsdp" (FSDP2, `fully_shard`) its parameters, gradients, optimiser
state and average are split. A checkpoint's model is whole either way; the state to resume from is whole with "ddp", while with
"fsdp" each process writes its part (`pymdm.train.shards`). A run may go on with another number of processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from pymdm.network.transformer import MaskedTransformer

PARALLEL = ("ddp", "fsdp")


class ToldByFirst(ValueError):
    """An error of the first process, raised in the others: it has been told, they only stop."""


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

    def all(self, condition: bool) -> bool:
        """Whether it holds in every process."""
        if self.world == 1:
            return condition
        torch.distributed.all_reduce(self.number.fill_(condition), torch.distributed.ReduceOp.MIN)
        return bool(self.number)


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
        here = torch.device(device, local) if device == "cuda" else torch.device(device)
        yield Processes(rank, world, here, torch.zeros((), dtype=torch.float64, device=here))
        torch.distributed.barrier()
    finally:
        if mine:
            # the end of a group holds the interpreter: gloo's threads that still need it to free a tensor would wait for ever
            time.sleep(0.1)
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


def gather(tensors: Mapping[str, Tensor], group: Processes) -> dict[str, Tensor]:
    """Copies of whole tensors on the CPU in the first process, none in the others; every process must ask."""
    gathered = {}
    for name, tensor in tensors.items():
        complete = whole(tensor)
        if group.rank == 0:
            gathered[name] = complete.detach().cpu().clone()
    return gathered


def local(tensor: Tensor) -> Tensor:
    """This process's part, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same in every process, split as another one is."""
    tensor = tensor.detach().to(like.device, copy=True)
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
