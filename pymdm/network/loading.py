"""Models ready to sample: from a checkpoint folder, the bundled model, a module, or a callable."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymdm.bundled import bundled_path
from pymdm.data.tokenizer import Vocabulary
from pymdm.network.checkpoint import load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.device import as_device
from pymdm.network.engine import Engine
from pymdm.network.transformer import MaskedTransformer


@dataclass(frozen=True)
class Model:
    """A loaded model: the compiled engine, its shape, its vocabulary, and how it was trained."""

    engine: Engine
    config: ModelConfig
    vocabulary: Vocabulary
    training: dict[str, Any]
    path: Path


@dataclass(frozen=True)
class Network:
    """What `sample` needs to know of whatever it was given.

    `length` is the longest sequence, None if unknown; `sees_time` whether the network is known to be conditioned on time;
    `schedule` that of the times it was trained with then, None if unknown.
    """

    engine: Any | None
    callable: Callable[..., Any] | None
    mask_id: int | None
    vocab_size: int | None
    length: int | None
    vocabulary: Vocabulary | None
    sees_time: bool = False
    schedule: str | None = None


def load(path: str | os.PathLike[str] | None = None, *, dtype: str = "float32", device: str = "cpu") -> Model:
    """Loads a checkpoint folder (`model.safetensors`, `config.json`, `tokenizer.json`) into the compiled engine.

    Args:
        path: the folder; None loads the model that comes with the package.
        dtype: "float32" (reference) or "bfloat16" (faster where the processor has it) arithmetic of matrix products.
        device: "cpu", "cuda" or "cuda:1".

    Returns:
        `Model`, which `pymdm.sample` takes.

    Raises:
        ValueError: a missing file, or a tensor that is missing, misshapen, of another dtype or not finite; a
            device that is not there.

    >>> load().config.mask_id == load().vocabulary.size
    True
    """
    folder = Path(path) if path is not None else bundled_path()
    checkpoint = load_checkpoint(folder)
    engine = Engine(checkpoint, dtype=dtype, device=device)
    return Model(engine, checkpoint.config, checkpoint.vocabulary, checkpoint.training, folder)


def resolve(model: Any, dtype: str = "float32", device: str | None = None) -> Network:
    """Turns what a user passes as a model into a `Network`. `device` None is the CPU, or where the model already is."""
    if isinstance(model, str | os.PathLike):
        model = load(model, dtype=dtype, device=device or "cpu")
    if isinstance(model, MaskedTransformer):
        model = Engine(model, dtype=dtype, device=device or "cpu")
    if isinstance(model, Model) and model.training.get("recipe", {}).get("objective") == "autoregressive":
        raise ValueError(f"sample: {model.path} is an autoregressive model; these samplers are for masked ones")
    if isinstance(model, Model | Engine):
        engine = model.engine if isinstance(model, Model) else model
        if device is not None and as_device(device) != engine.device:
            raise ValueError(f"sample: the model is on {engine.device}, got device {device!r}; load it there instead")
        config = engine.config
        vocabulary = model.vocabulary if isinstance(model, Model) else None
        sees_time = config.conditioning == "time"
        recipe = model.training.get("recipe", {}) if isinstance(model, Model) else {}
        schedule = recipe.get("schedule") if sees_time else None
        sizes = config.mask_id, config.vocab_size, config.length
        return Network(engine.native, None, *sizes, vocabulary, sees_time, schedule)
    if callable(model):
        return Network(None, model, None, None, None, None)
    raise TypeError(f"sample: model must be a loaded model, a path or a callable, got {type(model).__name__}")
