"""The random stream, public: every number is a pure function of its address (seed, sequence, event, purpose, index).

There is no generator state. The same address gives the same number on every machine, for any batch, thread count and order
of calls, so a program that draws by address can be cut, resumed and split without changing what it draws. The cipher is
Philox4x32-10 (Salmon et al., SC 2011); a draw has 64 bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from pymdm._native import C


class Purpose(IntEnum):
    """What a draw is for: part of its address. Draws of different purposes are independent; FREE is left to callers."""

    HITTING_TIME = 1
    POSITION = 2
    TOKEN = 3
    MOVE = 4
    LITERAL = 5
    CONFIDENCE = 6
    CORRECTOR = 7
    REMASK = 8
    FREE = 9
    LENGTH = 10  # of a sequence, where lengths have a law (pymdm.sampling.lengths)


def integer(op: str, name: str, value: Any, limit: int) -> int:
    """A Python or NumPy integer in [0, limit).

    Raises:
        TypeError, ValueError: in one line that begins with `op`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {type(value).__name__}") from None
    if isinstance(value, bool) or not 0 <= number < limit:
        raise ValueError(f"{op}: {name} must be in [0, {limit}), got {value}")
    return number


def address(op: str, name: str, value: Any, shape: tuple[int, ...], limit: int) -> Tensor:
    """One part of many addresses: an integer, or integers that broadcast to `shape` -> int64 of that shape, flat, on the CPU.

    Raises:
        TypeError, ValueError: in one line that begins with `op`.
    """
    if not isinstance(value, Tensor):
        if not hasattr(value, "__len__"):
            value = integer(op, name, value, limit)
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError(
                f"{op}: {name} must be an integer or integers of shape {list(shape)}, got {value!r}"
            ) from None
    if value.dtype.is_floating_point or value.dtype.is_complex or value.dtype == torch.bool:
        raise TypeError(f"{op}: {name} must be integers, got {value.dtype}")
    try:
        flat = value.to("cpu", torch.int64).expand(shape).reshape(-1)
    except RuntimeError:
        raise ValueError(f"{op}: {name} must broadcast to {list(shape)}, got {list(value.shape)}") from None
    if flat.numel() and not 0 <= int(flat.min()) <= int(flat.max()) < limit:
        raise ValueError(f"{op}: {name} must be in [0, {limit}), got {int(flat.min())} to {int(flat.max())}")
    return flat


SEEDS, SEQUENCES, EVENTS, PURPOSES, INDICES = 2**64, 2**56, 2**32, 128, 2**34


def bits(
    n: int, *, seed: int, sequence: Any = 0, event: Any = 0, purpose: int = Purpose.FREE, first: int = 0
) -> Tensor:
    """The 64-bit draws of indices first .. first + n - 1 at one address, or at each of many.

    Args:
        n: draws for each address, at least 0.
        seed: in [0, 2^64).
        sequence, event: integers in [0, 2^56) and [0, 2^32), or integer tensors that broadcast against each other to [...].
        purpose: in [1, 128); `Purpose.FREE` is not used by any sampler.
        first: index of the first draw; first + n at most 2^34.

    Returns:
        int64 [..., n], the bits of a uniform unsigned 64-bit integer.

    Raises:
        TypeError, ValueError: a part of the address out of range, in one line that begins with "random:".

    >>> bits(3, seed=7)[1:].equal(bits(2, seed=7, first=1))
    True
    """
    seed, first = integer("random", "seed", seed, SEEDS), integer("random", "first", first, INDICES)
    n, purpose = integer("random", "n", n, INDICES + 1 - first), integer("random", "purpose", purpose, PURPOSES)
    if purpose == 0:
        raise ValueError("random: purpose must be in [1, 128), got 0")
    shapes = [tuple(p.shape) if isinstance(p, Tensor) else tuple(torch.as_tensor(p).shape) for p in (sequence, event)]
    try:
        shape = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        raise ValueError(f"random: sequence and event must broadcast, got {[list(s) for s in shapes]}") from None
    rows = address("random", "sequence", sequence, shape, SEQUENCES)
    events = address("random", "event", event, shape, EVENTS)
    if not shape:
        return C.random_bits(seed, int(rows), int(events), purpose, first, n)
    index = torch.arange(first, first + n).repeat(rows.numel())
    out = C.random_bits_at(seed, rows.repeat_interleave(n), events.repeat_interleave(n), purpose, index)
    return out.view(*shape, n)


def _of(function: Callable[[Tensor], Tensor], n: int, where: dict[str, Any]) -> Tensor:
    drawn = bits(n, **where)
    return function(drawn.reshape(-1)).view(drawn.shape)


def uniform(n: int, **where: Any) -> Tensor:
    """Uniform numbers at an address, float64 [..., n]: (r + 1/2) / 2^64 of the 64-bit draw r, in [2^-65, 1].

    The upper 2^10 draws of 2^64 round to 1; `exponential` and `gumbel` evaluate them from the other end and stay finite.

    Args and errors as in `bits`.

    >>> u = uniform(1000, seed=1)
    >>> bool((u > 0).all() and (u <= 1).all())
    True
    """
    return _of(C.uniform_of_bits, n, where)


def exponential(n: int, **where: Any) -> Tensor:
    """Standard exponential numbers at an address, float64 [..., n]: -log1p(-(r + 1/2) / 2^64), in [2^-65, 45.06].

    Args and errors as in `bits`.

    >>> exponential(2, seed=1, sequence=torch.arange(3)).shape
    torch.Size([3, 2])
    """
    return _of(C.exponential_of_bits, n, where)


def gumbel(n: int, **where: Any) -> Tensor:
    """Standard Gumbel noise at an address, float64 [..., n]: -log of `exponential`, in [-3.81, 45.06].

    The largest values are resolved to 64 bits, where noise from 32-bit uniforms ends at 16.64 (Zheng et al., ICLR 2025,
    section 5). Args and errors as in `bits`. Element v of `gumbel(V, seed=s, sequence=i, event=e, purpose=Purpose.TOKEN)` is
    the noise of token v in `pymdm.choose` and in the samplers.

    >>> g = gumbel(5, seed=1, purpose=Purpose.TOKEN)
    >>> from pymdm.choose import choose
    >>> int(choose(torch.zeros(5), seed=1, sequence=0, event=0)) == int(g.argmax())
    True
    """
    return _of(C.gumbel_of_bits, n, where)
