"""What a run needs, beside the model, to go on as if it had never stopped: raw weights, average, optimiser, step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from pymdm.files.read import of_kind, read_json, reason
from pymdm.files.replace import last_written
from pymdm.network.checkpoint import PREVIOUS, SHARDS, STATE_NUMBERS, STATE_TENSORS, read_tensors
from pymdm.train.optimizer import Average
from pymdm.train.parallel import split_like
from pymdm.train.shards import read_shards, stored_shards


class DamagedState(UserWarning):
    """The last training state of a run is damaged; the one before it is used."""


@dataclass
class Numbers:
    """The small part: everything random is a function of (seed, step), so there is no generator to store."""

    corpus: str  # hash of the text
    step: int = 0  # next step to do
    seconds: float = 0.0  # spent so far
    bits: float | None = None  # running average of the training bits per character
    finished: bool = False  # the budget was spent and the model evaluated
    commands: list[str] = field(default_factory=list)  # what began the run, then what let it go on

    def writer(self, recipe: dict[str, Any]) -> Callable[[Path], None]:
        """What writes STATE_NUMBERS, after the tensors: also the SHA-256 of every file of the state and of itself."""

        def write(file: Path) -> None:
            values = {"recipe": recipe, **self.__dict__, "files": _digests(file.parent)}
            file.write_text(json.dumps(values | {"sha256": _checksum(values)}, indent=1), encoding="utf-8")

        return write


@dataclass(frozen=True)
class State:
    """A training state as it was read.

    Attributes:
        tensors: name -> tensor, or the folder of their parts.
        numbers, recipe: the small part, and the settings.
        folder: where it lies: the checkpoint's folder, or the older one in it.
    """

    tensors: dict[str, Tensor] | Path
    numbers: Numbers
    recipe: dict[str, Any]
    folder: Path


def state_tensors(model: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Everything of a run but its numbers, name -> tensor, each as it is: on its device, whole or split."""
    tensors = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    tensors |= {f"average.{name}": t for name, t in average.weights.items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for p, slots in optimizer.state.items():
            tensors |= {f"optimizer.{names[id(p)]}.{slot}": t for slot, t in slots.items()}
    return tensors


def previous_keeper(folder: Path) -> Callable[[Path], None]:
    """What puts the state in a folder into another, as links to the same files where that is possible."""

    def keep(there: Path) -> None:
        there.mkdir()
        for name in (*_state_files(folder), STATE_NUMBERS):
            (there / name).parent.mkdir(exist_ok=True)
            try:
                os.link(folder / name, there / name)
            except OSError:
                shutil.copyfile(folder / name, there / name)

    return keep


def read_state(folder: Path) -> State:
    """The training state in a checkpoint's folder; the one before where the last is damaged, with a warning.

    Raises:
        ValueError: there is none, or none that is whole.
    """
    last = last_written(folder)
    if not (last / STATE_NUMBERS).is_file() and not (last / PREVIOUS / STATE_NUMBERS).is_file():
        raise ValueError(f"train: {folder} holds no unfinished run to resume")
    try:
        return _read(last)
    except ValueError as error:
        damage = str(error)
    if not (last / PREVIOUS / STATE_NUMBERS).is_file():
        raise ValueError(damage)
    try:
        state = _read(last / PREVIOUS)
    except ValueError as error:
        raise ValueError(f"{damage}; {str(error).removeprefix('train: ')}") from None
    warnings.warn(f"{damage}; going on from the state before, of step {state.numbers.step}", DamagedState, stacklevel=2)
    return state


def _read(folder: Path) -> State:
    """The state in a folder, checked.

    Raises:
        ValueError: a file is missing or damaged; the message names it.
    """
    file = folder / STATE_NUMBERS
    try:
        values = read_json(file, "train")
        said, files = values.pop("sha256"), values["files"]
        if said != _checksum(values):
            raise ValueError("its checksum does not fit")
        wrong = [name for name, kind in get_type_hints(Numbers).items() if not of_kind(values[name], kind)]
        if wrong or values["step"] < 0 or not isinstance(files, dict) or not isinstance(values["recipe"], dict):
            raise ValueError(f"its {', '.join(wrong) or 'entries'} cannot be so")
        numbers = Numbers(**{f.name: values[f.name] for f in fields(Numbers)})
        found = _digests(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"train: {file} is damaged or cannot be read: {reason(error)}") from None
    for name in sorted(files.keys() | found.keys()):
        if found.get(name) != files.get(name):
            what = "is missing" if name not in found else "does not belong there" if name not in files else "is damaged"
            raise ValueError(f"train: {folder / name} {what}, as its checksum in {STATE_NUMBERS} says")
    shards = folder / SHARDS
    return State(shards if shards.is_dir() else read_tensors(folder / STATE_TENSORS), numbers, values["recipe"], folder)


def _state_files(folder: Path) -> list[str]:
    """The files of a state but its numbers, as paths from the folder."""
    files = [folder / STATE_TENSORS, *sorted((folder / SHARDS).glob("*.safetensors"))]
    return [f.relative_to(folder).as_posix() for f in files if f.is_file()]


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each of them."""
    found = {}
    for name in _state_files(folder):
        digest = hashlib.sha256()
        with (folder / name).open("rb") as f:
            while block := f.read(1 << 20):
                digest.update(block)
        found[name] = digest.hexdigest()
    return found


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


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
