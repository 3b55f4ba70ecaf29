"""Where the device tests run: on the CPU, where every kernel is walked by loops over the same code, and on CUDA."""

from __future__ import annotations

import pytest
import torch

from pymdm._native import C
from pymdm.network.engine import Engine
from pymdm.network.transformer import MaskedTransformer

HAVE_CUDA = bool(C.cuda_built and torch.cuda.is_available() and C.cuda_devices() > 0)
ON_CUDA = pytest.mark.skipif(not HAVE_CUDA, reason="needs a CUDA device, and a build with CUDA kernels")
DEVICES = [pytest.param("cpu", id="walked"), pytest.param("cuda", marks=ON_CUDA)]


def device_engine(model: MaskedTransformer, dtype: str, device: str) -> Engine:
    """An `Engine` whose native network is the device's; on "cpu" its kernels are walked."""
    if device == "cuda":
        return Engine(model, dtype=dtype, device="cuda")
    engine = Engine(model, dtype=dtype)
    weights = {name: t.detach().contiguous() for name, t in model.state_dict().items()}
    engine.native = C.DeviceEngine(engine.config.to_dict(), weights, engine.dtype, torch.device("cpu"))
    return engine
