"""Checks of the random stream: addresses, bits, and the way from bits to noise."""

from __future__ import annotations

import numpy as np
from scipy import stats

from pymdm.prove.goodness import Fit, chi_square, combine, dkw
from pymdm.prove.implementation import Implementation
from pymdm.prove.plan import Verdict, chi_square_power, dkw_power
from pymdm.reference import philox
from pymdm.reference.gumbel import gumbel
from pymdm.reference.uniform import exponential

FIELDS = {"seed": 64, "sequence": 56, "event": 32, "index": 34}  # width of each part of an address in bits
EDGES = np.array(
    [0, 1, 2, 2**10, 2**11, 2**32, 2**52, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2**11, 2**64 - 2, 2**64 - 1],
    dtype=np.uint64,
)


def exact(name: str, law: str, wrong: int, n: int, detail: str = "") -> Verdict:
    """Verdict of an exact comparison: p-value 1 when nothing differs, 0 otherwise."""
    return Verdict(name, law, Fit(float(wrong), 0.0 if wrong else 1.0, n, detail=detail if wrong else ""))


def golden_bits(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """The bits of n addresses over the whole range of every field are those of the documented counter."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(max(1, n // 8)):
        key = int(rng.integers(0, 2**64, dtype=np.uint64))
        sequence, event, index = (
            rng.integers(0, 2 ** int(rng.integers(1, FIELDS[f] + 1)), size=8, dtype=np.uint64)
            for f in ("sequence", "event", "index")
        )
        purpose = int(rng.integers(1, 10))
        expected = philox.bits(key, sequence, event, purpose, index)
        wrong += int(np.sum(np.asarray(impl.bits(key, sequence, event, purpose, index)) != expected))
    law = "bits = Philox4x32-10(key = seed; counter = index div 4, event, sequence, purpose)"
    return [exact("stream / golden bits", law, wrong, n, f"{wrong} of {n} draws differ from the cipher")]


def address_bits(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Flipping any single bit of an address changes the draw, and n neighbouring addresses give n different draws."""
    rng = np.random.default_rng(seed)
    silent = []
    for field, width in FIELDS.items():
        for bit in range(width):
            at = {f: int(rng.integers(0, 2**w, dtype=np.uint64)) for f, w in FIELDS.items()}
            there = {**at, field: at[field] ^ (1 << bit)}
            one, other = (impl.bits(a["seed"], a["sequence"], a["event"], philox.FREE, a["index"]) for a in (at, there))
            if int(one) == int(other):
                silent.append(f"{field} bit {bit}")
    law = "every bit of seed, sequence, event and index matters"
    detail = "no effect: " + ", ".join(silent[:8])
    verdicts = [exact("stream / address bits", law, len(silent), sum(FIELDS.values()), detail)]
    side = max(2, round((n / 9) ** (1 / 3)))
    r = np.arange(side, dtype=np.uint64)
    draws = [impl.bits(seed, r[:, None, None], r[:, None], p, r) for p in range(1, 10)]
    values = np.concatenate([np.ravel(d) for d in draws])
    equal = len(values) - len(np.unique(values))  # by chance below n^2 / 2^65
    law = "draws at different (sequence, event, purpose, index) are different"
    return [*verdicts, exact("stream / distinct draws", law, equal, len(values), f"{equal} draws are repeated")]


def bit_law(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """The 8 bytes of a draw, high word XOR low word, and neighbouring indices XORed are all uniform."""
    bits = np.asarray(impl.bits(seed, np.arange((n + 7) // 8)[:, None], 0, philox.FREE, np.arange(8)), dtype=np.uint64)
    flat = bits.ravel()
    uniform = np.full(256, 1 / 256)

    def byte_fit(values: np.ndarray, shift: int) -> Fit:
        byte = ((values >> np.uint64(shift)) & np.uint64(255)).astype(np.int64)
        return chi_square(np.bincount(byte, minlength=256), uniform)

    power = chi_square_power(len(flat), 256, level)
    bytes_fit = combine([byte_fit(flat, 8 * i) for i in range(8)])
    words = flat ^ (flat >> np.uint64(32))
    words_fit = combine([byte_fit(words, 8 * i) for i in range(4)])
    steps = (bits[:, 1:] ^ bits[:, :-1]).ravel()
    steps_fit = combine([byte_fit(steps, 8 * i) for i in range(8)])
    return [
        Verdict("stream / bytes", "every byte uniform on 0..255", bytes_fit, power),
        Verdict("stream / high word against low word", "high XOR low uniform", words_fit, power),
        Verdict("stream / neighbouring indices", "r[i] XOR r[i+1] uniform", steps_fit, power),
    ]


def uniform_law(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Uniforms lie strictly inside (0, 1) and are uniform in their leading and in their fine digits (to 2^-44)."""
    if not hasattr(impl, "uniforms"):
        return []
    u = np.asarray(impl.uniforms(seed, np.arange(n), 0, philox.FREE, 0), dtype=np.float64)
    outside = int(np.sum(~((u > 0) & (u < 1))))
    fits = combine([dkw(u), *(dkw(np.ldexp(u, s) % 1.0) for s in (8, 16, 24, 32))])
    return [
        exact("stream / open interval", "0 < u < 1", outside, n, f"{outside} uniforms outside (0, 1)"),
        Verdict("stream / uniforms", "u and its digits down to 2^-44 uniform", fits, dkw_power(n, level / 5)),
    ]


def noise_edges(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Exponential and Gumbel of the extreme and of n random bit patterns agree with float64 evaluated from the fine
    end.
    """
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2**64, size=n, dtype=np.uint64) >> rng.integers(0, 64, size=n, dtype=np.uint64)
    patterns = np.concatenate([EDGES, patterns])
    patterns = np.concatenate([patterns, ~patterns])
    g = np.asarray(impl.gumbel_of(patterns), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(g - gumbel(patterns)) < 1e-13)
        if hasattr(impl, "exponential_of"):
            bad |= ~(np.abs(np.asarray(impl.exponential_of(patterns)) / exponential(patterns) - 1) < 1e-14)
    wrong = int(np.sum(bad))
    where = f"first at r = {int(patterns[np.argmax(bad)])}"
    law = "E = -log(1 - u), g = -log E with u = (r + 1/2) / 2^64 at full resolution; g in (-3.82, 45.06)"
    return [exact("stream / noise of given bits", law, wrong, len(patterns), f"{wrong} values wrong, {where}")]


def gumbel_law(impl: Implementation, n: int, seed: int, level: float) -> list[Verdict]:
    """Gumbel noise follows exp(-exp(-g)), and its winning tail is as fine as 64 bits make it (no float32 grid)."""
    g = np.asarray(impl.gumbel_of(impl.bits(seed, np.arange(n), 1, philox.FREE, 0)), dtype=np.float64)
    u = -np.expm1(-np.exp(-g))  # P(noise >= g), fine near 0
    tail = u[u < 0.25] * 4
    fits = combine([dkw(u), dkw(np.ldexp(u, 24) % 1.0), dkw(np.ldexp(tail, 30) % 1.0), dkw(tail)])
    power = dkw_power(max(1, len(tail)), level / 4)
    ordinary = stats.kstest(g, stats.gumbel_r.cdf)
    detail = fits.detail + f"; largest of {n}: {g.max():.2f}, KS distance {ordinary.statistic:.2e}"
    fit = Fit(fits.statistic, fits.p_value, n, detail=detail)
    return [Verdict("stream / Gumbel noise", "P(g <= x) = exp(-exp(-x)), digits to 2^-43", fit, power)]
