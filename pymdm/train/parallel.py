"""Several processes (`torchrun`): rank, a network that is split (FSDP) or copied (DDP), and whole tensors from shards.

With "ddp" each process holds the whole network; with "fsdp" (FSDP2, `fully_shard`) its parameters, gradients, optimiser
state and average are split. A checkpoint's model is whole either way; the state to resume from is whole with "ddp", while with
"fsdp" each process writes its part (`pymdm.train.shards`). A run may go on with another number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from pymdm.distributed import Processes
from pymdm.network.transformer import MaskedTransformer

PARALLEL = ("ddp", "fsdp")


class ToldByFirst(ValueError):
    """An error of the first process, raised in the others: it has been told, they only stop."""


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
    """Gathers a sharded tensor. Collective: all processes must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(tensors: Mapping[str, Tensor], group: Processes) -> dict[str, Tensor]:
    """Copies of whole tensors on the CPU in the first process, none in the others. Collective: all processes must call it."""
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
