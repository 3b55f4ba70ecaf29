"""What a run needs, beside the model, to go on as if it had never stopped: raw weights, average, optimiser, step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pymdm.checkpoint import last_written, read_tensors
from pymdm.train.optimizer import Average
from pymdm.train.parallel import split_like, whole

STATE_TENSORS, STATE_NUMBERS = "training_state.safetensors", "training_state.json"


@dataclass
class Numbers:
    """The small part: everything random is a function of (seed, step), so there is no generator to store."""

    corpus: str  # hash of the text
    step: int = 0  # next step to do
    seconds: float = 0.0  # spent so far
    bits: float | None = None  # running average of the training bits per character


def pack_state(
    model: nn.Module,
    average: Average,
    optimizers: list[torch.optim.Optimizer],
    numbers: Numbers,
    recipe: dict[str, Any],
) -> dict[str, dict[str, Tensor] | str]:
    """The two files of a resumable state, name -> content, for `save_checkpoint(extra=...)`."""
    tensors = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    tensors |= {f"average.{name}": t for name, t in average.weights.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for p, slots in optimizer.state.items():
            tensors |= {f"optimizer.{names[id(p)]}.{slot}": t for slot, t in slots.items()}
    return {
        STATE_TENSORS: {name: whole(t).detach().cpu().clone() for name, t in tensors.items()},
        STATE_NUMBERS: json.dumps({"recipe": recipe, **numbers.__dict__}, indent=1),
    }


def read_state(folder: Path) -> tuple[dict[str, Tensor], Numbers, dict[str, Any]]:
    """(tensors, numbers, recipe) of an unfinished run.

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
    return read_tensors(file.with_name(STATE_TENSORS)), numbers, recipe


@torch.no_grad()
def restore(
    tensors: dict[str, Tensor], model: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer]
) -> None:
    """Put the tensors of `read_state` back in place.

    Raises:
        ValueError: a tensor is missing, or has another shape than this run's.
    """
    for name, p in model.named_parameters():
        p.copy_(split_like(_take(tensors, f"weight.{name}", p), p))
        average.weights[name].copy_(split_like(_take(tensors, f"average.{name}", p), p))
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                prefix = f"optimizer.{names[id(p)]}."
                slots = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
                slots = {k: t for k, t in slots.items() if "." not in k}
                optimizer.state[p] = {k: t.clone() if t.dim() == 0 else split_like(t, p) for k, t in slots.items()}


def _take(tensors: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    if name not in tensors or tensors[name].shape != like.shape:
        raise ValueError(f"train: the unfinished run does not fit this recipe: tensor {name}")
    return tensors[name]
