"""`choose` is the arg-max of the float64 scores of every element: on any processor path, threads, cut and dtype."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.choose_oracle import DTYPES, PATHS, address, check_all, expected
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from pymdm import _C_testing as T
from pymdm._native import C


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    yield
    C.set_num_threads(0)


def hard_rows(kind: str, rows: int, vocab: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(0, 3, (rows, vocab))
    if kind == "equal":
        x[:] = rng.normal(0, 50, (rows, 1))
    elif kind == "two values":
        x = rng.integers(0, 2, (rows, vocab)) * 1.0
    elif kind == "one huge":
        x[np.arange(rows), rng.integers(0, vocab, rows)] = 60000
    elif kind == "huge range":
        x = rng.choice([-6e4, -3e4, 0.0, 3e4, 6e4], (rows, vocab)) + rng.integers(0, 3, (rows, vocab))
    elif kind == "subnormal":
        x = rng.integers(-3, 4, (rows, vocab)) * 6e-8
    elif kind == "mostly -inf":
        x[rng.random((rows, vocab)) < 0.97] = -np.inf
        x[np.arange(rows), rng.integers(0, vocab, rows)] = -5
    elif kind == "all very low":
        x -= 60000
    elif kind == "rising":
        x = np.sort(x, axis=1)
    return x


KINDS = [
    "normal",
    "equal",
    "two values",
    "one huge",
    "huge range",
    "subnormal",
    "mostly -inf",
    "all very low",
    "rising",
]


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(DTYPES),
    vocab=st.one_of(st.integers(1, 40), st.integers(41, 700), st.sampled_from([511, 512, 513, 1024, 1027, 4096, 5003])),
    rows=st.integers(1, 4),
    offset=st.integers(0, 5),
    gap=st.integers(0, 9),
    temperature=st.sampled_from([1.0, 1.0, 0.7, 0.0, 1e-6, 3.0, 1e6]),
    ban=st.sampled_from([0.0, 0.0, 0.1, 0.9]),
    base=st.sampled_from([0, 4, 50304, 2**34 - 8192]),
    top_k=st.sampled_from([0, 0, 0, 1, 2, 50]),
    top_p=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.3]),
    seed=st.integers(0, 2**64 - 1),
)
def test_equals_full_evaluation(
    monkeypatch, kind, dtype, vocab, rows, offset, gap, temperature, ban, base, top_k, top_p, seed
) -> None:
    rng = np.random.default_rng(seed % 2**32)
    backing = torch.full((rows, vocab + gap + offset), float("nan")).to(dtype)  # must never be read into the result
    x = backing[:, offset : offset + vocab]  # strided, unaligned rows
    x[:] = torch.from_numpy(hard_rows(kind, rows, vocab, rng)).to(dtype)
    banned = torch.from_numpy(rng.random(vocab) < ban)
    for row in range(rows):  # never an empty row
        if not ((x[row] > -math.inf) & ~banned).any():
            v = int(rng.integers(vocab))
            banned[v] = False
            x[row, v] = 1
    k = {**address(rows, seed), "base": torch.full((rows,), base), "temperature": temperature}
    k |= {"banned": banned if ban else None}
    want = expected(x, top_k=top_k, top_p=top_p, **k)
    if top_k or top_p < 1:
        k |= {"top_k": top_k, "top_p": top_p}
    check_all(monkeypatch, x, want, **k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocab", [1, 50257, 300_000])
def test_large_rows(monkeypatch, dtype, vocab) -> None:
    x = torch.from_numpy(np.random.default_rng(vocab).normal(0, 3, (2, vocab))).to(dtype)
    k = address(2)
    check_all(monkeypatch, x, expected(x, **k), **k)


@pytest.mark.parametrize("shift", [0.0, 300.0, 1e5])
@pytest.mark.parametrize("temperature", [1.0, 0.2, 17.0])
def test_all_elements_within_a_rounding_of_winning(monkeypatch, shift, temperature) -> None:
    """x = shift - T g: every element straddles the margin, and float32's last bit decides."""
    rows, vocab = 1500, 400
    k = address(rows)
    noise = torch.stack(
        [C.gumbel(11, int(s), int(e), 3, 0, vocab) for s, e in zip(k["sequence"], k["event"], strict=True)]
    )
    check_all(monkeypatch, (shift - temperature * noise).float(), temperature=temperature, **k)
    check_all(monkeypatch, shift - temperature * noise[:200], temperature=temperature, **address(200))


def test_float64_far_beyond_float32(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    for scale in (1e300, 1e39, 3.4028235e38, 1e-300, 1.0):
        for signs in ([-1.0], [1.0], [-1.0, 0.0, 1.0], [1.0, 1 + 1e-15], [-1.0, -1 - 1e-15, -np.inf]):
            x = torch.from_numpy(rng.choice(signs, (6, 1200)) * scale)
            x[:, 700] = -scale
            k = address(6)
            for temperature in (1.0, 1e-5, 1e25, 1e200):
                want = expected(x, temperature=temperature, **k)
                check_all(monkeypatch, x, want, temperature=temperature, **k)
    x = torch.full((1, 9), 1e300, dtype=torch.float64)  # x / T overflows: all scores are equal, the lowest index wins
    x[0, 4] *= 2
    check_all(monkeypatch, x, [0], temperature=1e-100, **address(1))
    check_all(monkeypatch, -x, [0], temperature=1e-100, **address(1))


def test_near_boundary_words(monkeypatch) -> None:
    """Indices whose 64-bit draws are extreme among 2^22: they win, and win alone on their path."""
    r = C.random_bits(1, 0, 0, 3, 0, 2**22).numpy().view(np.uint64)
    for v in [int(np.argmin(r)), int(np.argmin(np.where(r > 0, r % 2**32, 2**33))), int(np.argmax(r))]:
        base = v // 4 * 4 - 400 if v >= 400 else 0
        x = torch.zeros(1, 1000)
        k = {"seed": 1, "sequence": torch.zeros(1, dtype=torch.long), "event": torch.zeros(1, dtype=torch.long)}
        k |= {"base": torch.tensor([base])}
        check_all(monkeypatch, x, expected(x, **k), **k)
        x[0, v - base] += 30
        check_all(monkeypatch, x, expected(x, **k), **k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_batches_do_not_matter(monkeypatch, dtype) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (9, 70_001))).to(dtype)
    k = address(9)
    want = T.choose_full(x, **k).tolist()
    for n in (1, 2, 5):
        C.set_num_threads(n)
        assert C.choose(x, **k).tolist() == want
        for rows in (slice(0, 1), slice(3, 5), slice(8, 1, -3)):
            picked = list(range(9))[rows]
            part = {"seed": 11, "sequence": k["sequence"][picked], "event": k["event"][picked]}
            assert C.choose(x[picked], **part).tolist() == [want[i] for i in picked]


@pytest.mark.parametrize(("dtype", "temperature"), [(torch.float32, 0.0), (torch.float64, 0.0), (torch.float64, 1.0)])
def test_ties_across_the_parts_of_a_row_go_to_the_lowest_index(dtype, temperature) -> None:
    x = torch.zeros(1, 140_000, dtype=dtype)
    if temperature > 0:
        x += 1e300  # absorbs the noise
    x[0, :3] = -math.inf
    for n in (1, 4):
        C.set_num_threads(n)
        assert C.choose(x, **address(1), temperature=temperature).item() == 3
    assert T.choose_tiles(x, **address(1), temperature=temperature).item() == 3


def test_noise_depends_on_every_word_of_the_address() -> None:
    x = torch.zeros(1, 5000)
    one = torch.ones(1, dtype=torch.long)
    start = {"seed": 5, "sequence": one, "event": one, "base": 0 * one, "purpose": 3}
    changes = [{"seed": 6}, {"seed": 5 + 2**32}, {"sequence": 2 * one}, {"sequence": one + 2**32}, {"event": 2 * one}]
    changes += [{"base": 4 * one}, {"base": one * 2**33}, {"purpose": 4}]
    tokens = [C.choose(x, **(start | change)).item() for change in [{}, *changes]]
    assert len(set(tokens)) > len(tokens) - 3  # of 5,000 tokens, two alike by chance are possible, three are not
    shifted = C.choose(x[:, :4996], **(start | {"base": 4 * one})).item()
    whole = C.gumbel(5, 1, 1, 3, 0, 5000)[4:]
    assert shifted == int(whole.argmax())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("path", PATHS)
def test_law(monkeypatch, temperature, path) -> None:
    """Chi-square at level 1e-7, rare tokens included; it misses 1% of total variation less than once in 1e6."""
    monkeypatch.setenv("PYMDM_CPU_DISABLE", PATHS[path])
    p = np.array([0.5, 0.3, 0.15, 0.0497, 2e-4, 1e-4])
    rows = 300_000
    x = torch.from_numpy(np.log(p)).expand(rows, 6)
    token = C.choose(x, 2024, torch.arange(rows), torch.zeros(rows, dtype=torch.long), temperature=temperature)
    law = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    seen = np.bincount(token.numpy(), minlength=6)
    if (law * rows).min() < 5:  # pool the two rare ones
        law, seen = np.append(law[:4], law[4:].sum()), np.append(seen[:4], seen[4:].sum())
    if temperature == 1:
        assert stats.chisquare(seen, law * rows).pvalue > 1e-7
    else:
        assert stats.chisquare(seen[:4], law[:4] / law[:4].sum() * seen[:4].sum()).pvalue > 1e-7


def test_noise_of_neighbours_is_independent() -> None:
    """A pair law: tokens of the same columns in two events, 16 cells of equal probability."""
    rows = 100_000
    x = torch.zeros(rows, 4)
    seq, zero = torch.arange(rows), torch.zeros(rows, dtype=torch.long)
    for other in ({"event": zero + 1}, {"event": zero, "base": zero + 4}, {"event": zero, "purpose": 4}):
        a = C.choose(x, 9, seq, zero)
        b = C.choose(x, 9, seq, **other)
        assert stats.chisquare(np.bincount((4 * a + b).numpy(), minlength=16)).pvalue > 1e-7


def test_no_rows_and_odd_strides(monkeypatch) -> None:
    empty = torch.empty(0, dtype=torch.long)
    assert C.choose(torch.zeros(0, 5), 1, empty, empty).tolist() == []
    x = torch.randn(40, 30, generator=torch.Generator().manual_seed(2))
    k = address(30)
    check_all(monkeypatch, x.t(), expected(x.t().contiguous(), **k), **k)  # columns not adjacent
    check_all(monkeypatch, x[0].expand(30, 30), expected(x[0].expand(30, 30), **k), **k)  # row stride 0


def test_plain_max() -> None:
    x = torch.randn(7, 1003, generator=torch.Generator().manual_seed(3))
    assert torch.equal(C.plain_max(x), x.amax(1))
    with pytest.raises(ValueError, match="plain_max: logits must be"):
        C.plain_max(x.t())
