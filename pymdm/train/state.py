"""What a run needs, beside the model, to go on as if it had never stopped: raw weights, average, optimiser, step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pymdm.files.replace import last_written
from pymdm.network.checkpoint import SHARDS, STATE_NUMBERS, STATE_TENSORS, read_tensors
from pymdm.train.optimizer import Average
from pymdm.train.parallel import split_like
from pymdm.train.shards import read_shards, stored_shards


@dataclass
class Numbers:
    """The small part: everything random is a function of (seed, step), so there is no generator to store."""

    corpus: str  # hash of the text
    step: int = 0  # next step to do
    seconds: float = 0.0  # spent so far
    bits: float | None = None  # running average of the training bits per character


def state_tensors(model: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Everything of a run but its numbers, name -> tensor, each as it is: on its device, whole or split."""
    tensors = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    tensors |= {f"average.{name}": t for name, t in average.weights.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for p, slots in optimizer.state.items():
            tensors |= {f"optimizer.{names[id(p)]}.{slot}": t for slot, t in slots.items()}
    return tensors


def pack_numbers(numbers: Numbers, recipe: dict[str, Any]) -> str:
    """The content of STATE_NUMBERS."""
    return json.dumps({"recipe": recipe, **numbers.__dict__}, indent=1)


def read_state(folder: Path) -> tuple[dict[str, Tensor] | Path, Numbers, dict[str, Any]]:
    """(tensors or the folder of their parts, numbers, recipe) of an unfinished run.

    Raises:
        ValueError: there is none in the folder, or it cannot be read.
    """
    file = last_written(folder) / STATE_NUMBERS
    if not file.is_file():
        raise ValueError(f"train: {folder} holds no unfinished run to resume")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        recipe = values.pop("recipe")
        numbers = Numbers(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"train: cannot read {file}: {error}") from None
    shards = file.with_name(SHARDS)
    return shards if shards.is_dir() else read_tensors(file.with_name(STATE_TENSORS)), numbers, recipe


@torch.no_grad()
def restore(
    stored: dict[str, Tensor] | Path, model: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer]
) -> None:
    """Put the tensors of `read_state` back in place.

    Raises:
        ValueError: a tensor is missing, has another shape than this run's, or cannot be read.
    """
    found = stored_shards(stored) if isinstance(stored, Path) else stored
    targets = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    targets |= {f"average.{name}": t for name, t in average.weights.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                prefix = f"optimizer.{names[id(p)]}."
                slots = {k.removeprefix(prefix): t for k, t in found.items() if k.startswith(prefix)}
                slots = {k: t for k, t in slots.items() if "." not in k}
                fresh = {
                    k: torch.zeros_like(t, device="cpu") if t.dim() == 0 else torch.zeros_like(p)
                    for k, t in slots.items()
                }
                optimizer.state[p] = fresh
                targets |= {prefix + slot: t for slot, t in fresh.items()}
    for name, target in targets.items():
        if name not in found or found[name].shape != target.shape:
            raise ValueError(f"train: the unfinished run does not fit this recipe: tensor {name}")
    if isinstance(stored, Path):
        read_shards(stored, targets)
        return
    for name, target in targets.items():
        target.copy_(split_like(stored[name], target))
