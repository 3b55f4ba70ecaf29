"""Random numbers that people sample with, in the form that `pymdm.precision.audit` measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pymdm._native import C

_NUMPY = np.random.default_rng(0)


def _log(p: Tensor) -> Tensor:
    return p.log()


def _gumbel_max(p: Tensor, dtype: torch.dtype) -> Tensor:
    """As published samplers write it: arg-max of log p - log(-log u)."""
    u = torch.rand(p.shape, dtype=dtype)
    return (p.log().to(dtype) - (-u.log()).log()).argmax(dim=-1)


class _Native:
    """pymdm's own draws, each call at new addresses."""

    def __init__(self) -> None:
        self.calls = 0

    def gumbel(self, n: int) -> Tensor:
        self.calls += 1
        return C.gumbel(7, self.calls, 0, 9, 0, n)  # type: ignore[no-any-return]

    def choose(self, p: Tensor) -> Tensor:
        self.calls += 1
        ids = torch.arange(len(p))
        return C.choose(p.log(), 7, ids, torch.full((len(p),), self.calls))  # type: ignore[no-any-return]


# name -> (kind, function)
SOURCES: dict[str, tuple[str, Callable[..., Any]]] = {
    "torch.rand bfloat16": ("uniform", lambda n: torch.rand(n, dtype=torch.bfloat16)),
    "torch.rand float16": ("uniform", lambda n: torch.rand(n, dtype=torch.float16)),
    "torch.rand float32": ("uniform", torch.rand),
    "torch.rand float64": ("uniform", lambda n: torch.rand(n, dtype=torch.float64)),
    "numpy random float32": ("uniform", lambda n: _NUMPY.random(n, dtype=np.float32)),
    "torch exponential_ float32": ("exponential", lambda n: torch.empty(n).exponential_()),
    "torch.distributions.Gumbel float32": (
        "gumbel",
        lambda n: torch.distributions.Gumbel(torch.tensor(0.0), torch.tensor(1.0)).sample(torch.Size([n])),
    ),
    "pymdm Gumbel": ("gumbel", _Native().gumbel),
    "Gumbel-max, torch.rand float32": ("categorical", lambda p: _gumbel_max(p, torch.float32)),
    "Gumbel-max, torch.rand float64": ("categorical", lambda p: _gumbel_max(p, torch.float64)),
    "torch.multinomial": ("categorical", lambda p: torch.multinomial(p, 1)[:, 0]),
    "torch.distributions.Categorical": ("categorical", lambda p: torch.distributions.Categorical(p).sample()),
    "F.gumbel_softmax": ("categorical", lambda p: F.gumbel_softmax(_log(p), hard=True).argmax(dim=-1)),
    "pymdm choose": ("categorical", _Native().choose),
}
