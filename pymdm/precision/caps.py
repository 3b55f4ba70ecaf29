"""How large Gumbel noise can get: the forms of uniform numbers that samplers draw, and their caps.

A generator whose largest uniform is 1 - 2^-b gives g = -log(-log u) at most M = -log(-log(1 - 2^-b)); Table 1 of Zheng et
al., ICLR 2025. Each form says how it makes u from an integer k, so that its cap is not only claimed: `enumerate_form`
makes the numbers and looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

SHOWN = 24  # forms of at most this many bits are enumerated whole, of others the top and bottom 2^16 integers


@dataclass(frozen=True)
class Form:
    """A way to make uniform numbers.

    Attributes:
        name, who: of the form, and who draws so.
        bits: b; the largest u is 1 - 2^-b.
        integers: how many k there are, as a power of two.
        dtype: of u.
        make: k [n] int64 -> u [n] in `dtype`; None where u exists only as 1 - u (see `cap_of_bits`).
    """

    name: str
    who: str
    bits: int
    integers: int
    dtype: torch.dtype
    make: Callable[[Tensor], Tensor] | None


def _lattice(bits: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return lambda k: k.to(dtype) * torch.tensor(2.0**-bits, dtype=dtype)


def _mantissa(k: Tensor) -> Tensor:
    """23 bits put behind the exponent of 1.0, minus 1."""
    return (k.to(torch.int32) | 0x3F800000).view(torch.float32) - 1


FORMS: tuple[Form, ...] = (
    Form("bfloat16", "torch.rand, bfloat16", 8, 8, torch.bfloat16, _lattice(8, torch.bfloat16)),
    Form("float16", "torch.rand, float16", 11, 11, torch.float16, _lattice(11, torch.float16)),
    Form("float32, 23 bits", "mantissa filled, minus 1 (JAX)", 23, 23, torch.float32, _mantissa),
    Form("float32", "torch.rand, NumPy, float32", 24, 24, torch.float32, _lattice(24, torch.float32)),
    Form("32-bit integers", "k / 2^32 in float64", 32, 32, torch.float64, _lattice(32, torch.float64)),
    Form("float64", "torch.rand, NumPy, float64", 53, 53, torch.float64, _lattice(53, torch.float64)),
    Form("pymdm, 64 bits", "u = (k + 1/2) / 2^64, kept as the small end", 65, 64, torch.float64, None),
)


def cap_of_bits(bits: float) -> float:
    """Largest Gumbel noise of a uniform that stops at 1 - 2^-bits; Table 1 of Zheng et al. 2025.

    >>> round(cap_of_bits(24), 4), round(cap_of_bits(53), 4)
    (16.6355, 36.7368)
    """
    if not bits > 0:
        raise ValueError(f"precision: bits must be positive, got {bits}")
    return -math.log(-math.log1p(-(2.0**-bits)))


CAPS: dict[str, float] = {form.name: cap_of_bits(form.bits) for form in FORMS}


@dataclass(frozen=True)
class Enumerated:
    """What the numbers of a form are, by making them.

    Attributes:
        name, who, bits: of the form.
        values: integers k that were tried; whole is true where these are all.
        gap: 1 - (largest u), exact.
        ones: k that gave u = 1 or more, where the noise would be infinite.
        cap: -log(-log u) of the largest u, in float64. claimed: `cap_of_bits`.
    """

    name: str
    who: str
    bits: int
    values: int
    whole: bool
    gap: float
    ones: int
    cap: float
    claimed: float

    @property
    def agrees(self) -> bool:
        """The cap found is the cap claimed, and no u is 1."""
        return self.ones == 0 and math.isclose(self.cap, self.claimed, rel_tol=1e-12)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"agrees": self.agrees}


def enumerate_form(form: Form) -> Enumerated:
    """Makes a form's numbers and finds the largest.

    >>> found = enumerate_form(FORMS[0])
    >>> found.values, found.gap == 2**-8, found.agrees
    (256, True, True)
    """
    whole = form.integers <= SHOWN
    if form.make is None:
        return _of_pymdm(form)
    top, edge = 2**form.integers, 2**16
    spans = [(0, top)] if whole else [(0, edge), (top - edge, top)]
    largest, ones, values = 0.0, 0, 0
    for first, last in spans:
        u = form.make(torch.arange(first, last)).double()
        largest, ones, values = max(largest, float(u.max())), ones + int((u >= 1).sum()), values + last - first
    gap = 1.0 - largest  # exact: both have at most 53 bits
    cap = -math.log(-math.log1p(-gap)) if gap > 0 else math.inf
    return Enumerated(form.name, form.who, form.bits, values, whole, gap, ones, cap, cap_of_bits(form.bits))


def _of_pymdm(form: Form) -> Enumerated:
    """The compiled core's numbers: the exponential -log(1 - u) is taken from u, so the largest noise is that of k = 0."""
    from pymdm._native import C

    edge = 2**16
    k = torch.cat([torch.arange(edge), torch.arange(-edge, 0)])  # as unsigned integers: both ends
    exponential, noise = C.exponential_of_bits(k), C.gumbel_of_bits(k)
    gap = -math.expm1(-float(exponential.min()))
    infinite = int((exponential <= 0).sum())
    cap = float(noise.max())
    return Enumerated(form.name, form.who, form.bits, 2 * edge, False, gap, infinite, cap, cap_of_bits(form.bits))
