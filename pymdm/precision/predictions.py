"""Where predictions come from: a Zipf law, a model at work, or a file of logits."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from pymdm.files.read import check_archive


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """[M, V] logits -> [M, V] float64 probabilities; -inf is allowed.

    Raises:
        ValueError: NaN, +inf, or a row without a finite value.
    """
    x = np.asarray(logits, dtype=np.float64)
    if np.isnan(x).any() or np.isposinf(x).any():
        raise ValueError("precision: logits must not be NaN or +inf")
    peak = x.max(axis=-1, keepdims=True)
    if not np.isfinite(peak).all():
        raise ValueError("precision: a row of logits has no finite value")
    weights = np.exp(x - peak)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def file_predictions(path: str | os.PathLike[str], rows: int = 64) -> NDArray[np.float64]:
    """Predictions from logits in a file: [M, V] with M at most `rows`, evenly spread over the rows of the file.

    Args:
        path: .npy with an array [..., V]; .safetensors or .pt with a tensor "logits" (or only one tensor) of that shape.
            Nothing is unpickled but tensors.
        rows: at most this many.

    Raises:
        ValueError: another kind of file, or one that does not hold logits.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"precision: no file {path}")
    logits = _read(path)
    if logits.ndim < 1 or logits.shape[-1] < 2 or logits.size == 0 or logits.dtype.kind != "f":
        raise ValueError(f"precision: logits must be floating point [..., V], got {logits.dtype} {logits.shape}")
    flat = logits.reshape(-1, logits.shape[-1])
    return softmax(flat[np.unique(np.linspace(0, len(flat) - 1, min(rows, len(flat))).round().astype(int))])


def _read(path: Path) -> NDArray[Any]:
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (ValueError, EOFError):
            raise ValueError(f"precision: {path} is no .npy file of numbers") from None
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise ValueError(f"precision: logits must be .npy, .safetensors or .pt, got {path.name}")
    check_archive(path, "precision")
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError):
        raise ValueError(
            f"precision: cannot read tensors from {path}: damaged, or not of plain tensors alone"
        ) from None
    if isinstance(tensors, torch.Tensor):
        tensors = {"logits": tensors}
    if not isinstance(tensors, dict) or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise ValueError(f"precision: {path} must hold a tensor of logits, or a dictionary of tensors")
    if "logits" not in tensors and len(tensors) != 1:
        raise ValueError(f"precision: {path} must hold a tensor named logits, has {', '.join(sorted(tensors))}")
    found = tensors["logits" if "logits" in tensors else next(iter(tensors))]
    return np.asarray(found.detach().double().numpy()) if found.is_floating_point() else found.numpy()


def model_predictions(model: Any, rows: int = 64, seed: int = 0, length: int | None = None) -> NDArray[np.float64]:
    """Predictions of a model where it samples: at masked positions of its own sequences, all shares of masks alike.

    Args:
        model: a `pymdm.Model`.
        rows: M.
        seed: of the sequences and of the positions.
        length: of the sequences; default the model's.

    Returns:
        [M, V] float64.
    """
    import pymdm

    L = length or model.config.length
    drawn = pymdm.sample(model, num_samples=8, length=L, seed=seed)
    tokens, rank = torch.as_tensor(drawn.tokens), torch.as_tensor(drawn.rank)
    rng = np.random.default_rng(seed)
    out = []
    for i in range(rows):
        b, known = i % len(tokens), i * L // rows  # `known` tokens have been unmasked: all shares of masks in turn
        x = torch.where(rank[b] < known, tokens[b], torch.tensor(model.config.mask_id))
        masked = np.flatnonzero((rank[b] >= known).numpy())
        out.append(model.engine(x[None], rows=torch.tensor([int(rng.choice(masked))]))[0].numpy())
    return softmax(np.stack(out))
