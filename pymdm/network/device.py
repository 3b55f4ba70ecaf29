"""The device that a network runs on, and the sequences of this process where several run together."""

from __future__ import annotations

import os

import torch

from pymdm._native import C


def built_for() -> str:
    """What this installation could run on, in words."""
    kernels = f"CUDA kernels for sm {C.cuda_archs}" if C.cuda_built else "no CUDA kernels"
    return f"this build of pymdm has {kernels}, torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices"


def as_device(device: str | torch.device) -> torch.device:
    """The CPU, or a CUDA device with its index.

    Args:
        device: "cpu", "cuda" (under torchrun the device of LOCAL_RANK, else torch's current one), or "cuda:1".

    Raises:
        ValueError: another kind of device, or one that is not there; the message says how pymdm and torch were built.

    >>> as_device("cpu")
    device(type='cpu')
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"engine: device must be cpu, cuda or cuda:<index>, got {device!r}") from None
    if found.type == "cpu":
        return torch.device("cpu")
    if found.type != "cuda":
        raise ValueError(f"engine: device must be cpu, cuda or cuda:<index>, got {device!r}")
    if not (C.cuda_built and torch.cuda.is_available() and C.cuda_devices() > 0):
        raise ValueError(f"engine: expected a CUDA device, found none ({built_for()})")
    index = found.index
    if index is None:
        index = int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else torch.cuda.current_device()
    if index >= torch.cuda.device_count():
        raise ValueError(f"engine: expected a CUDA device below {torch.cuda.device_count()}, got cuda:{index}")
    return torch.device("cuda", index)
