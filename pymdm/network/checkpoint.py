"""Checkpoints: a folder of weights, config.json, tokenizer.json and a model card, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pymdm.bundled import folder_of
from pymdm.data.tokenizer import Tokenizer
from pymdm.files.read import LARGEST_CONFIG, read_json, reason, short
from pymdm.files.replace import last_written, replace_folder
from pymdm.files.target import Kind, check_target
from pymdm.files.write import cannot_write
from pymdm.network.card import model_card
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer, parameter_shapes

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
CARD = "README.md"
STATE_TENSORS, STATE_NUMBERS, SHARDS = "training_state.safetensors", "training_state.json", "training_state"
PREVIOUS = "previous"  # folder of the last but one training state
_STATE = (STATE_TENSORS, STATE_NUMBERS, f"{SHARDS}/*.safetensors")
KIND = Kind(
    "checkpoint",
    CONFIG,
    frozenset({"model", "training"}),
    True,
    (WEIGHTS, CONFIG, TOKENIZER, CARD, *_STATE, *(f"{PREVIOUS}/{name}" for name in _STATE)),
)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
STORED |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}
NONE = type(None)
# What is read of the training that a checkpoint tells of, and its kinds.
RECIPE: dict[str, Any] = {
    **dict.fromkeys(("objective", "schedule", "conditioning"), str),
    **dict.fromkeys(("source", "held_out"), (str, NONE)),
    "eval_tokens": int,
}
CORPUS: dict[str, Any] = {"sha256": str, "unit": str}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as it lies in its folder.

    Attributes:
        config: shapes.
        state_dict: parameter name -> tensor, in the stored dtype.
        tokenizer: text <-> ids.
        training: how it was made: recipe, corpus, held-out bits per character. May be empty.
        path: folder it was read from or written to, if any.
    """

    config: ModelConfig
    state_dict: dict[str, Tensor]
    tokenizer: Tokenizer
    training: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def build(self) -> MaskedTransformer:
        """The trainable network with these weights, float32, in evaluation mode."""
        return MaskedTransformer.from_state(self.config, self.state_dict)


def save_checkpoint(
    path: str | os.PathLike[str],
    config: ModelConfig,
    state_dict: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    training: Mapping[str, Any] | None = None,
    extra: Mapping[str, Mapping[str, Tensor] | str | Callable[[Path], None]] | None = None,
) -> Checkpoint:
    """Write a checkpoint folder; a process killed at any instant leaves the old folder or the new one, whole.

    Args:
        path: the folder; missing parents are made; a checkpoint there is replaced (`pymdm.files.target` says what else may be).
        config, state_dict, tokenizer, training: its content.
        extra: more content of the same folder: name -> tensors (safetensors), text, or what writes a
            file or folder there, in this order; only names that `KIND` holds.

    Raises:
        ValueError: a state that does not fit the config, or a path that cannot be written or holds something else; for a full
            or failing disk it is a `NotWritten`.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in state_dict.items()}
    check_state(config, tensors, "save_checkpoint")
    for name in extra or {}:
        if not (KIND.holds(name) or KIND.holds_folder(name)):
            raise ValueError(f"save_checkpoint: {name!r} is no entry of a checkpoint")
    target = check_target(path, KIND, "save_checkpoint").path
    meta = json.dumps({"model": config.to_dict(), "training": dict(training or {})}, indent=1, allow_nan=False)

    weights = sum(t.numel() for t in tensors.values())
    card = model_card(target.name, config, tokenizer.kind, weights, training or {})

    def write(fresh: Path) -> None:
        save_file(tensors, fresh / WEIGHTS)
        (fresh / CONFIG).write_text(meta + "\n", encoding="utf-8")
        tokenizer.save(fresh / TOKENIZER)
        (fresh / CARD).write_text(card, encoding="utf-8")
        for name, content in (extra or {}).items():
            if isinstance(content, str):
                (fresh / name).write_text(content, encoding="utf-8")
            elif callable(content):
                content(fresh / name)
            else:
                save_file({k: t.detach().cpu().contiguous() for k, t in content.items()}, fresh / name)

    try:
        replace_folder(target, KIND, write)
    except (OSError, SafetensorError) as error:
        raise cannot_write(f"save_checkpoint: cannot write {path}", error) from None
    return Checkpoint(config, tensors, tokenizer, dict(training or {}), Path(path))


def load_checkpoint(path: str | os.PathLike[str], *, values: bool = True) -> Checkpoint:
    """Read and check a checkpoint folder; nothing is unpickled.

    Args:
        path: the folder, or the name of a bundled model.
        values: look for values that are not finite; false where the engine, which looks at each as it packs it, comes next.

    Raises:
        ValueError: the folder, a file, a setting or a tensor is missing, damaged or unexpected; the message says which.
    """
    folder = last_written(folder_of(path))
    if not folder.is_dir():
        raise ValueError(f"load_checkpoint: no such folder: {path}")
    meta = read_settings(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ValueError(f"load_checkpoint: {path} has no {name}")
    config = ModelConfig.from_dict(meta["model"])
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.size != config.vocab_size:
        raise ValueError(
            f"load_checkpoint: {TOKENIZER} has {tokenizer.size} tokens, but {CONFIG} says {config.vocab_size}"
        )
    where = f"load_checkpoint: {folder / WEIGHTS}"
    check_state(config, tensor_shapes(folder / WEIGHTS), where)  # before anything of that size is made
    tensors = read_tensors(folder / WEIGHTS)
    if values:
        check_state(config, tensors, where)
    return Checkpoint(config, tensors, tokenizer, meta["training"], Path(path))


def read_settings(file: Path) -> dict[str, Any]:
    """config.json with its parts "model" and "training", which are objects, and what is read of them of its kind.

    Raises:
        ValueError: unreadable, too large or nested, or an entry of another kind, which the message names.
    """
    meta = read_json(file, "load_checkpoint", LARGEST_CONFIG)
    if isinstance(meta, dict) and "training" not in meta and not meta.keys().isdisjoint(("model_type", "graph")):
        kind = short(str(meta.get("model_type", "of another program")))
        raise ValueError(
            f"load_checkpoint: {file.parent} is a published checkpoint ({kind}), and this needs one trained here; "
            "pymdm.load and `pymdm sample` open it"
        )
    if not isinstance(meta, dict) or not all(isinstance(meta.get(k, {}), dict) for k in ("model", "training")):
        raise ValueError(f"load_checkpoint: {file} is not an object with 'model' and 'training'")
    training = meta.get("training", {})
    parts = {"recipe": RECIPE, "corpus": CORPUS, "held_out": {}, "ngram_bits_per_char": {}}
    for name, entries in parts.items():
        part = training.get(name, {})
        if not isinstance(part, dict):
            raise ValueError(f"load_checkpoint: {file}: {name} must be an object, got {type(part).__name__}")
        for key, kinds in entries.items():
            if key in part and not isinstance(part[key], kinds):
                raise ValueError(
                    f"load_checkpoint: {file}: {key} of {name} cannot be of type {type(part[key]).__name__}"
                )
    return {"model": meta.get("model", {}), "training": training}


def tensor_shapes(file: Path) -> dict[str, Tensor]:
    """Name -> tensor on the device "meta", of the shape and dtype that a safetensors file announces; no data are read.

    Raises:
        ValueError: missing, cut short or not such a file, or a dtype that torch does not have.
    """
    shapes: dict[str, Tensor] = {}
    try:
        with safe_open(file, framework="pt") as f:
            for name in f.keys():
                entry = f.get_slice(name)
                dtype = STORED.get(entry.get_dtype())
                if dtype is None:
                    got = entry.get_dtype()
                    raise ValueError(f"tensor {name} must be float32, bfloat16 or float16, got {got}")
                shapes[name] = torch.empty(entry.get_shape(), dtype=dtype, device="meta")
    except (OSError, SafetensorError, ValueError, OverflowError) as error:
        raise ValueError(f"load_checkpoint: cannot read {file}: {reason(error)}") from None
    return shapes


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ValueError: missing, cut short or not such a file.
    """
    try:
        with safe_open(file, framework="pt") as f:
            return {name: f.get_tensor(name) for name in f.keys()}
    except (OSError, SafetensorError, OverflowError) as error:
        raise ValueError(f"load_checkpoint: cannot read {file}: {reason(error)}") from None


def check_state(config: ModelConfig, state: Mapping[str, Tensor], where: str) -> None:
    """Every parameter present with its shape, one float dtype and finite values (but for "meta"), and nothing else.

    Raises:
        ValueError: starts with `where` and names the first tensor at fault.
    """
    shapes = parameter_shapes(config)
    for name, shape in shapes.items():
        if name not in state:
            raise ValueError(f"{where}: missing tensor {name}")
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{where}: tensor {name} must have shape {list(shape)}, got {list(tensor.shape)}")
        if tensor.dtype not in DTYPES:
            raise ValueError(f"{where}: tensor {name} must be float32, bfloat16 or float16, got {_dtype(tensor)}")
        if not tensor.is_meta and not torch.isfinite(tensor).all():
            raise ValueError(f"{where}: tensor {name} has values that are not finite")
    for name in state:
        if name not in shapes:
            raise ValueError(f"{where}: unexpected tensor {name}")
    if len({t.dtype for t in state.values()}) > 1:
        kinds = ", ".join(sorted({_dtype(t) for t in state.values()}))
        raise ValueError(f"{where}: tensors must share one dtype, got {kinds}")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
