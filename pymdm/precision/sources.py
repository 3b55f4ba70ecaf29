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


def _gumbel_max(p: Tensor, dtype: torch.dtype) -> Tensor:
    """As published samplers write it: arg-max of log p - log(-log u)."""
    u = torch.rand(p.shape, dtype=dtype)
    return (p.log().to(dtype) - (-u.log()).log()).argmax(dim=-1)


def _divided(p: Tensor, dtype: torch.dtype) -> Tensor:
    """The other published form: arg-max of p / E, with 1e-10 added to u and to E against infinities."""
    e = 1e-10 - (torch.rand(p.shape, dtype=dtype) + 1e-10).log()
    return (p.to(dtype) / e).argmax(dim=-1)


def _mantissa_uniform(n: int) -> Tensor:
    """23 random bits behind the exponent of 1.0, minus 1, as JAX makes float32 uniforms."""
    return (torch.randint(0, 1 << 23, (n,), dtype=torch.int32) | 0x3F800000).view(torch.float32) - 1


class _Native:
    """pymdm's own draws, each call at new addresses."""

    def __init__(self) -> None:
        self.calls = 0

    def gumbel(self, n: int) -> Tensor:
        self.calls += 1
        return C.gumbel(7, self.calls, 0, 9, 0, n)

    def choose(self, logits: Tensor) -> Tensor:
        self.calls += 1
        ids = torch.arange(len(logits))
        return C.choose(logits, 7, ids, torch.full((len(logits),), self.calls))


# name -> (kind, function)
SOURCES: dict[str, tuple[str, Callable[..., Any]]] = {
    "torch.rand, bfloat16": ("uniform", lambda n: torch.rand(n, dtype=torch.bfloat16)),
    "torch.rand, float16": ("uniform", lambda n: torch.rand(n, dtype=torch.float16)),
    "torch.rand, float32": ("uniform", torch.rand),
    "torch.rand, float64": ("uniform", lambda n: torch.rand(n, dtype=torch.float64)),
    "23 bits in the mantissa, float32 (as in JAX)": ("uniform", _mantissa_uniform),
    "32 bits / 2^32, rounded to float32": ("uniform", lambda n: torch.randint(0, 1 << 32, (n,)).float() * 2.0**-32),
    "NumPy Generator.random, float32": ("uniform", lambda n: _NUMPY.random(n, dtype=np.float32)),
    "NumPy Generator.gumbel": ("gumbel", lambda n: _NUMPY.gumbel(size=n)),
    "torch exponential_, float32": ("exponential", lambda n: torch.empty(n).exponential_()),
    "torch exponential_, float64": ("exponential", lambda n: torch.empty(n, dtype=torch.float64).exponential_()),
    "torch.distributions.Gumbel, float32": (
        "gumbel",
        lambda n: torch.distributions.Gumbel(torch.tensor(0.0), torch.tensor(1.0)).sample(torch.Size([n])),
    ),
    "pymdm Gumbel": ("gumbel", _Native().gumbel),
    "Gumbel-max with torch.rand, float32": ("categorical", lambda p: _gumbel_max(p, torch.float32)),
    "Gumbel-max with torch.rand, float64": ("categorical", lambda p: _gumbel_max(p, torch.float64)),
    "p / E with 1e-10 added twice, float32": ("categorical", lambda p: _divided(p, torch.float32)),
    "p / E with 1e-10 added twice, float64": ("categorical", lambda p: _divided(p, torch.float64)),
    "torch.multinomial": ("categorical", lambda p: torch.multinomial(p, 1)[:, 0]),
    "torch.distributions.Categorical": ("categorical", lambda p: torch.distributions.Categorical(p).sample()),
    "F.gumbel_softmax": ("logits", lambda x: F.gumbel_softmax(x, hard=True).argmax(dim=-1)),
    "pymdm choose": ("logits", _Native().choose),
}
OURS = ("pymdm Gumbel", "pymdm choose")
QUICK = ("torch.rand, float32", "Gumbel-max with torch.rand, float32", "torch.multinomial", "pymdm choose")
