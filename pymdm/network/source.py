"""Finds the settings and the tensors, by name, of checkpoints of others; tensors are memory-mapped."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pymdm.files.read import LARGEST_CONFIG, check_archive, reason, short
from pymdm.files.read import read_json as read_any_json

SETTINGS = ("config.json", "lit_config.json", "hparams.json")  # the last of AbLang
TORCH = (".ckpt", ".pt", ".pth", ".bin")
SINGLE = ("model.safetensors", "pytorch_model.bin")  # other files beside these are of the training
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.|backbone\.|_forward_module\.)|(?<=\.)_orig_mod\.")
_OLD = re.compile(r"(?<=LayerNorm)\.(gamma|beta)$")  # as BERT's first checkpoints name them
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """A checkpoint on the disk.

    Attributes:
        path: the folder or file.
        settings: content of its config.json, {} where it has none.
        tensors: name without wrappers -> (file, name in the file, tensor).
        folder: where its tokenizer would be.
    """

    path: Path
    settings: dict[str, Any]
    tensors: dict[str, tuple[Path, str, Tensor]]
    folder: Path


def open_source(path: Path, settings: Mapping[str, Any] | None = None) -> Source:
    """Opens a folder of Hugging Face's or lit-gpt's form, a safetensors file, or a torch file without unpickling objects.

    Args:
        path: the folder or file.
        settings: stands for config.json.

    Raises:
        ValueError: what is missing or damaged, with the file's name.
    """
    folder = path if path.is_dir() else path.parent
    if settings is None:
        file = next((folder / name for name in SETTINGS if (folder / name).is_file()), None)
        settings = read_json(file) if file is not None else {}
    tensors: dict[str, tuple[Path, str, Tensor]] = {}
    for file in _weight_files(path):
        for name, tensor in (_safetensors(file) if file.suffix == ".safetensors" else _torch_file(file)).items():
            plain = strip(name)
            if plain in tensors:
                raise ValueError(f"load: {file} holds {name}, which {tensors[plain][0].name} holds too")
            tensors[plain] = (file, name, tensor)
    if not tensors:
        raise ValueError(f"load: {path} holds no tensors")
    if all(name.startswith("model.transformer.") for name in tensors):  # LLaDA's wrapper
        tensors = {name.removeprefix("model."): entry for name, entry in tensors.items()}
    return Source(path, dict(settings), tensors, folder)


def strip(name: str) -> str:
    """A tensor's name without the prefixes of data-parallel, compiling and training wrappers."""
    while (shorter := _WRAPPERS.sub("", name)) != name:
        name = shorter
    return _OLD.sub(lambda m: {"gamma": ".weight", "beta": ".bias"}[m[1]], name)


def read_json(file: Path) -> dict[str, Any]:
    """An object of a JSON file.

    Raises:
        ValueError: it cannot be read, or is something else.
    """
    value = read_any_json(file, "load", LARGEST_CONFIG)
    if not isinstance(value, dict):
        raise ValueError(f"load: {file} is not a JSON object")
    return value


def from_hub(name: str) -> Path:
    """The folder of a model of the Hugging Face hub, downloaded where there is a network, else from its cache.

    Raises:
        ValueError: it is neither a folder nor to be had.
    """
    if not _HUB_ID.fullmatch(name):
        raise ValueError(f"load: no such file or folder: {name}")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ValueError(
            f"load: no such file or folder: {name} (as the id of a hub model it needs the package huggingface_hub)"
        ) from None
    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=5))
        if any(folder.rglob("*.safetensors")):
            return folder
        wanted[1:2] = [f"*{suffix}" for suffix in TORCH]  # a model that is published in torch's files alone
        return Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=5))
    except Exception as error:  # of the clients below it: no network, no such model, no access
        kind = type(error).__name__
        raise ValueError(
            f"load: {name} is no folder here and the hub does not give it ({kind}); "
            f"download its {', '.join(wanted)} into a folder and give that"
        ) from None


def _weight_files(path: Path) -> list[Path]:
    """The files that hold a checkpoint's tensors."""
    if path.is_file():
        if path.suffix not in (".safetensors", *TORCH):
            raise ValueError(f"load: {path} must be a folder, a .safetensors file or one of {', '.join(TORCH)}")
        return [path]
    for index in INDEXES:
        if (path / index).is_file():
            places = read_json(path / index).get("weight_map")
            if not isinstance(places, dict) or not all(isinstance(f, str) for f in places.values()):
                raise ValueError(f"load: {path / index} has no weight_map")
            files = [path / name for name in sorted(set(places.values()))]
            for file in files:
                if file.parent != path or not os.path.isfile(file):
                    raise ValueError(f"load: {path / index} names {short(file.name)}, which is not there")
            return files
    for suffixes in ((".safetensors",), TORCH):
        files = sorted(p for p in path.iterdir() if p.suffix in suffixes and p.is_file())
        files = [p for p in files if p.name in SINGLE] or files
        if len(files) > 1:
            names = ", ".join(f.name for f in files)
            raise ValueError(f"load: {path} has no index and several files of weights: {names}; give one of them")
        if files:
            return files
    raise ValueError(f"load: {path} has no .safetensors file (and none of {', '.join(TORCH)})")


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as f:
            return {name: f.get_tensor(name) for name in f.keys()}
    except (OSError, SafetensorError, OverflowError) as error:
        raise ValueError(f"load: cannot read {file}: {reason(error)}") from None


def _torch_file(file: Path) -> dict[str, Tensor]:
    """Tensors of a torch or Lightning file; where it holds averaged weights (EMA), those."""
    archive = check_archive(file, "load")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:
        unsafe = ""
        names = re.findall(r"Unsupported global: GLOBAL ([\w.]+)", str(error))  # of old files, the first one alone
        with contextlib.suppress(Exception):  # not even a torch file: the first error says so
            names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        if names:
            unsafe = (
                f"it holds objects besides tensors ({', '.join(names[:3])}), which are not unpickled; where you trust "
                "it, keep its tensors alone: docs/models.md, Pickles"
            )
        raise ValueError(f"load: cannot read {file}: {unsafe or reason(error)}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"load: {file} holds a {type(content).__name__}, not a dictionary of tensors")
    state = next(
        (content[k] for k in ("state_dict", "model_state_dict", "model") if isinstance(content.get(k), Mapping)),
        content,
    )
    tensors = {str(name): t for name, t in state.items() if isinstance(t, Tensor)}
    averaged = content.get("ema", content.get("ema_state_dict"))
    return tensors if averaged is None else _averaged(file, tensors, averaged)


def _averaged(file: Path, tensors: dict[str, Tensor], averaged: Any) -> dict[str, Tensor]:
    """The tensors with their running averages in their place: a mapping by name, or a list in the order of parameters."""
    shadow = averaged.get("shadow_params", averaged) if isinstance(averaged, Mapping) else averaged
    first: dict[tuple[int, Any], str] = {}
    for name, t in tensors.items():  # parameters in order: no buffers, and a shared one once
        if not name.endswith("inv_freq") and t.is_floating_point():
            first.setdefault(_place(t), name)
    names = list(first.values())
    if isinstance(shadow, Mapping):
        by_name = {strip(str(k)): t for k, t in shadow.items() if isinstance(t, Tensor)}
        new = {name: by_name[strip(name)] for name in tensors if strip(name) in by_name}
    elif not isinstance(shadow, list) or not all(isinstance(t, Tensor) for t in shadow):
        raise ValueError(f"load: the averaged weights (ema) of {file} are neither named tensors nor a list of them")
    elif [tuple(tensors[n].shape) for n in names] != [tuple(t.shape) for t in shadow]:
        raise ValueError(
            f"load: the {len(shadow)} averaged weights (ema) of {file} do not match its {len(names)} parameters in order"
        )
    else:
        new = dict(zip(names, shadow, strict=True))
    # A shared parameter has one average, whatever its other names.
    return {name: new.get(name, new.get(first.get(_place(t), name), t)) for name, t in tensors.items()}


def _place(t: Tensor) -> tuple[int, Any]:
    return t.untyped_storage().data_ptr(), t.storage_offset()
