"""Converts checkpoints of others to the engine's parameters, tensor by tensor: views of the mapped file, nothing is copied."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from pymdm.network.config import ModelConfig
from pymdm.network.layouts import Conventions, Layout, Part, recognise
from pymdm.network.source import Source

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Converted:
    """A checkpoint in our terms.

    Attributes:
        config: our shapes and switches.
        weights: our parameter's name -> the tensors that are joined by rows, views of the files.
        conventions: of its family.
        dtype: "bfloat16" where most weights of the file are, else "float32".
        source: where it came from.
        layout: of its family.
    """

    config: ModelConfig
    weights: dict[str, list[Tensor]]
    conventions: Conventions
    dtype: str
    source: Source
    layout: Layout

    def name_not_finite(self) -> str | None:
        """Name and file of the first tensor with a value that is not finite, or None."""
        for parts in (*self.layout.parameters.values(), *self.layout.added.values()):
            for part in parts:
                file, name, tensor = self.source.tensors[part.key]
                if not torch.isfinite(tensor).all():
                    return f"load: {file}: tensor {name} has values that are not finite"
        return None


def convert(source: Source) -> Converted:
    """Finds every parameter in the file, checks names, shapes and dtypes, and leaves the values to the engine.

    Raises:
        ValueError: the file and the tensor or setting at fault.
    """
    shapes = {name: tuple(t.shape) for name, (_, _, t) in source.tensors.items()}
    try:
        layout = recognise(source.settings, shapes).layout(source.settings, shapes)
    except ValueError as error:
        raise ValueError(f"load: {source.path}: {error}") from None
    weights = {name: [_tensor(source, part) for part in parts] for name, parts in layout.parameters.items()}
    for name, parts in layout.added.items():
        total = _tensor(source, parts[0]).float()
        for part in parts[1:]:
            total = total + _tensor(source, part).float()
        weights[name] = [total]
    weights |= {name: [torch.zeros(shape)] for name, shape in layout.zeros.items()}
    for name, factor in layout.scaled.items():
        weights[name] = [tensor.float() * factor for tensor in weights[name]]
    used = {part.key for parts in (*layout.parameters.values(), *layout.added.values()) for part in parts}
    for twice, original in layout.same:
        if twice in source.tensors:
            _check_same(source, twice, original)
            used.add(twice)
    ignored = re.compile("|".join(f"(?:.*\\.)?{p}" for p in (*layout.ignored, "position_ids")))
    for name in source.tensors:
        if name not in used and not ignored.fullmatch(name):
            file, theirs, _ = source.tensors[name]
            raise ValueError(f"load: {file}: unexpected tensor {theirs} in a checkpoint of {layout.conventions.family}")
    sizes: Counter[torch.dtype] = Counter()
    for key in used:
        sizes[source.tensors[key][2].dtype] += source.tensors[key][2].numel()
    dtype = "bfloat16" if sizes.most_common(1)[0][0] == torch.bfloat16 else "float32"
    return Converted(layout.config, weights, layout.conventions, dtype, source, layout)


def _tensor(source: Source, part: Part) -> Tensor:
    """The rows of the file that a part names, checked."""
    if part.key not in source.tensors:
        raise ValueError(f"load: {source.path}: missing tensor {part.key}")
    file, name, tensor = source.tensors[part.key]
    shape = tuple(tensor.shape)
    if shape[1:] != part.shape[1:] or not (shape[:1] == part.shape[:1] or (part.padded and shape[0] >= part.shape[0])):
        raise ValueError(f"load: {file}: tensor {name} must have shape {list(part.shape)}, got {list(shape)}")
    if tensor.dtype not in DTYPES:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ValueError(f"load: {file}: tensor {name} must be float32, bfloat16 or float16, got {kind}")
    count = part.shape[0] if part.count is None else part.count
    return tensor[part.first : part.first + count].contiguous()


def _check_same(source: Source, twice: str, original: str) -> None:
    file, name, tensor = source.tensors[twice]
    other = source.tensors[original][2] if original in source.tensors else None
    if other is None or tensor.shape != other.shape or not torch.equal(tensor.to(other.dtype), other):
        raise ValueError(f"load: {file}: tensor {name} differs from {original}, with which the settings tie it")
