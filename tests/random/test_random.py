"""The random stream: golden bits, then the noise against values of 60 digits, then bounds that `choose` relies on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pymdm import _C_testing as T
from pymdm._native import C

GOLDEN = Path(__file__).parents[1] / "golden"
WORD = 0xFFFFFFFF


def rows(name: str) -> list[list[str]]:
    return [line.split() for line in (GOLDEN / name).read_text().splitlines() if not line.startswith("#")]


def signed(r: int) -> int:
    return r - 2**64 if r >= 2**63 else r


def philox(c: tuple[int, ...], k: tuple[int, ...]) -> tuple[int, ...]:
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = (p1 >> 32 ^ c[1] ^ k[0], p1 & WORD, p0 >> 32 ^ c[3] ^ k[1], p0 & WORD)
        k = (k[0] + 0x9E3779B9 & WORD, k[1] + 0xBB67AE85 & WORD)
    return c


def bits(seed: int, sequence: int, event: int, purpose: int, index: int) -> int:
    def word(q: int) -> int:
        counter = (index >> 2, event, sequence & WORD, q << 24 | sequence >> 32)
        return philox(counter, (seed & WORD, seed >> 32))[index & 3]

    return word(2 * purpose) << 32 | word(2 * purpose + 1)


@pytest.mark.parametrize("line", rows("philox.txt"))
def test_philox_known_answers(line: list[str]) -> None:
    w = [int(x, 16) for x in line]
    assert T.philox(w[:4], w[4:6]) == w[6:]
    assert philox(tuple(w[:4]), tuple(w[4:6])) == tuple(w[6:])


@pytest.mark.parametrize("line", rows("draws.txt"))
def test_pinned_addresses(line: list[str]) -> None:
    seed, sequence, event, purpose, index = map(int, line[:5])
    assert C.random_bits(seed, sequence, event, purpose, index, 1).tolist() == [signed(int(line[5], 16))]


def test_addresses_at_random() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        seed, sequence = int(rng.integers(2**64, dtype=np.uint64)), int(rng.integers(2**56))
        event, purpose, index = int(rng.integers(2**32)), int(rng.integers(1, 128)), int(rng.integers(2**34 - 9))
        got = C.random_bits(seed, sequence, event, purpose, index, 9).tolist()
        assert got == [signed(bits(seed, sequence, event, purpose, index + i)) for i in range(9)]


@pytest.mark.parametrize("line", rows("gumbel.txt"))
def test_gumbel_of_bits(line: list[str]) -> None:
    got = C.gumbel_of_bits(torch.tensor([signed(int(line[0], 16))])).item()
    want = float(line[1])
    # E has a relative error of a few 2^-53, which is an absolute one of g.
    assert abs(got - want) <= 4e-16 + 4 * math.ulp(want)


def test_gumbel_decreases_over_the_whole_range() -> None:
    exponents = [2**k + d for k in range(64) for d in (-1, 0, 1)] + [
        2**64 - 2**k - d for k in range(64) for d in (0, 1)
    ]
    r = sorted({x for x in exponents if 0 <= x < 2**64})
    g = C.gumbel_of_bits(torch.tensor([signed(x) for x in r])).numpy()
    assert np.isfinite(g).all() and (np.diff(g) <= 4e-16).all()
    assert g[0] == pytest.approx(65 * math.log(2) - math.log(1), abs=1e-12)
    assert g[-1] == pytest.approx(-math.log(65 * math.log(2)), abs=1e-12)


def test_bounds_of_the_noise() -> None:
    """What choose_lazy.h proves: for each high word, the noise of all its draws lies strictly between the bounds."""
    rng = np.random.default_rng(1)
    powers = [2**k + d for k in range(33) for d in (-2, -1, 0, 1, 2)]
    words = sorted({w for w in powers if 0 <= w <= WORD} | {int(w) for w in rng.integers(0, 2**32, 20000)})
    low, high = T.gumbel_bounds(torch.tensor(words)).numpy().T
    smallest = C.gumbel_of_bits(torch.tensor([signed(w << 32 | WORD) for w in words])).numpy()
    largest = C.gumbel_of_bits(torch.tensor([signed(w << 32) for w in words])).numpy()
    assert (low < smallest).all() and (largest < high).all()
    # Tight where it counts: the winner of V tokens has a word of about 2^32 / V.
    few = np.array(words) < 2**24
    some = few & (np.array(words) > 2**8)
    assert (high - low)[some].max() < 0.08608 * math.log(2) + 0.01
    clz = np.array([32 - w.bit_length() for w in words])
    assert (high <= np.where(clz < 32, (clz + 1) * math.log(2) + 2e-6, 45.07)).all()


def test_moments_of_the_noise() -> None:
    g = C.gumbel(3, 1, 2, 9, 0, 400_000).numpy()
    assert g.mean() == pytest.approx(np.euler_gamma, abs=5 * 1.2826 / math.sqrt(g.size))
    assert g.var() == pytest.approx(math.pi**2 / 6, rel=5 * math.sqrt(4.4 / g.size))  # kurtosis 5.4


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sequence": 2**56}, "sequence id must be in [0, 2^56), got 72057594037927936"),
        ({"event": 2**32}, "event must be in [0, 2^32), got 4294967296"),
        ({"purpose": 0}, "purpose must be in 1..127, got 0"),
        ({"first": 2**34}, "indices must be in [0, 2^34), got 17179869184 and 1 from there"),
    ],
)
def test_bad_address(kwargs: dict[str, int], message: str) -> None:
    address = {"seed": 1, "sequence": 0, "event": 0, "purpose": 9, "first": 0, "n": 1} | kwargs
    with pytest.raises(ValueError) as error:
        C.random_bits(**address)
    assert str(error.value) == "random_bits: " + message
