"""Sharded training states: every process of a split run writes its own part, and any number of processes can read them.

A weight of a split run has 16 bytes of state (itself, its average, two moments). Gathered, all of it would pass through every
process and lie in the memory of one. `torch.distributed.checkpoint` writes the parts as safetensors with their offsets (torch
2.8+; older ones gather), so nothing is unpickled, and deals them out anew when the number of processes has changed. While it
writes, each of N processes holds its part about twice more, 32 / N bytes a weight; gathering costs the first one 16.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed import checkpoint as dcp
from torch.distributed.tensor import DTensor

from pymdm.distributed import Processes


def can_shard(tensors: Mapping[str, Tensor]) -> bool:
    """Whether some tensor is split over processes, and this torch can write parts as safetensors."""
    return hasattr(dcp, "HuggingFaceStorageWriter") and any(isinstance(t, DTensor) for t in tensors.values())


class ShardWriter:
    """Writes the parts of all processes into a folder that the first one names.

    The first process passes the writer to `save_checkpoint(extra={SHARDS: writer})`, then every one calls `finish`.

    Args:
        tensors: name -> tensor, the same names in every process.
        group: the processes.
    """

    def __init__(self, tensors: Mapping[str, Tensor], group: Processes) -> None:
        self.tensors, self.group, self.called = dict(tensors), group, False

    def __call__(self, folder: Path) -> None:
        """Tells the other processes where, and writes; called in the first.

        Raises:
            OSError: a process cannot write its part.
        """
        self.called = True
        self.group.share(folder)
        self._write(folder)

    def finish(self) -> None:
        """Waits for the folder and writes, in the other processes; the first lets them go if it did not come so far."""
        if self.group.rank == 0:
            if not self.called:
                self.group.share(None)
            return
        folder = self.group.share(None)
        if folder is not None:
            try:
                self._write(folder)
            except OSError:
                pass  # all processes hear of it, and the first one tells

    def _write(self, folder: Path) -> None:
        if not self.group.all(folder.parent.is_dir()):
            raise OSError("it must be on a disk that all processes see")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dcp.save(self.tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
        except dcp.CheckpointException as error:
            failure = _first(error)
            raise failure if isinstance(failure, OSError) else OSError(f"{type(failure).__name__}: {failure}") from None


def stored_shards(folder: Path) -> dict[str, Tensor]:
    """Name -> tensor on the device "meta", with shape and dtype, of the whole tensors that the parts in a folder make up.

    Raises:
        ValueError: parts are damaged or missing.
    """
    try:
        found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    except AttributeError:
        raise ValueError(f"train: the split state in {folder} needs torch 2.8 or later") from None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"train: cannot read {folder}: {error}") from None
    shapes: dict[str, Tensor] = {}
    for name, entry in found.items():
        assert isinstance(entry, dcp.metadata.TensorStorageMetadata)
        if sum(math.prod(chunk.sizes) for chunk in entry.chunks) != math.prod(entry.size):
            raise ValueError(f"train: cannot read {folder}: a part of {name} is missing")
        shapes[name] = torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
    return shapes


def read_shards(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, whole or split over other processes than those that wrote, from the parts in a folder.

    Raises:
        ValueError: parts that cannot be read.
    """
    targets: dict[str, Any] = dict(into)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = dcp.HuggingFaceStorageReader(str(folder))
            dcp.load(targets, storage_reader=reader, no_dist=not torch.distributed.is_initialized())
    except dcp.CheckpointException as error:
        raise ValueError(f"train: cannot read {folder}: {_first(error)}") from None


def _first(error: dcp.CheckpointException) -> BaseException:
    """What went wrong in the first process where something did."""
    return error.failures[min(error.failures)][0]
