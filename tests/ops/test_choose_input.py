"""What choose refuses, naming the row, and in which words."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from helpers.choose_oracle import DTYPES, PATHS, address

from pymdm import _C_testing as T
from pymdm._native import C


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    yield
    C.set_num_threads(0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_bad_rows(monkeypatch, path, dtype, temperature) -> None:
    monkeypatch.setenv("PYMDM_CPU_DISABLE", PATHS[path])
    vocab = 3001
    for threads in (1, 3):
        C.set_num_threads(threads)
        for v in (0, 17, 1500, 2999, 3000):
            for value, shown in ((math.nan, "nan"), (-math.nan, "nan"), (math.inf, "inf")):
                x = torch.randn(12, vocab, generator=torch.Generator().manual_seed(1)).to(dtype)
                x[5, v] = x[9, 0] = math.copysign(math.nan, value) if math.isnan(value) else value
                if v > 0:
                    x[5, 0] = 100  # a clear winner hides nothing
                with pytest.raises(ValueError) as error:
                    C.choose(x, **address(12), temperature=temperature)
                assert str(error.value) == f"choose: row 5 has {shown} at token {v}; expected finite logits or -inf"
                assert T.choose_tiles(x, **address(12), temperature=temperature)[5].item() == -1
    banned = torch.zeros(vocab, dtype=torch.bool)
    banned[3000] = True
    x[9, 0] = x[5, 0] = -math.inf  # the last value of v is banned: its +inf is not looked at
    want = T.choose_full(x, **address(12), banned=banned, temperature=temperature).tolist()
    assert C.choose(x, **address(12), banned=banned, temperature=temperature).tolist() == want
    x[:] = 1
    x[2] = x[7] = -math.inf
    x[2, 3000] = 5
    with pytest.raises(ValueError) as error:
        C.choose(x, **address(12), banned=banned, temperature=temperature)
    assert str(error.value) == "choose: row 2 has no token to choose: every logit is -inf, banned or not allowed"
    x[4, 10] = math.nan
    with pytest.raises(ValueError, match="choose: row 2 has no token"):
        C.choose(x, **address(12), banned=banned, temperature=temperature)


@pytest.mark.parametrize("extra", [{"top_k": 3}, {"top_p": 0.5}])
def test_bad_rows_of_truncated_choices(extra) -> None:
    x = torch.zeros(3, 40)
    x[1, 7] = math.nan
    with pytest.raises(ValueError, match="choose: row 1 has nan at token 7; expected finite logits or -inf"):
        C.choose(x, **address(3), **extra)
    x[1] = -math.inf
    with pytest.raises(ValueError, match="choose: row 1 has no token to choose"):
        C.choose(x, **address(3), **extra)


def test_one_long_bad_row_cut_over_threads() -> None:
    C.set_num_threads(4)
    x = torch.zeros(1, 200_000)
    x[0, 150_000] = math.nan
    with pytest.raises(ValueError, match="choose: row 0 has nan at token 150000;"):
        C.choose(x, **address(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(3)}, "logits must be [M, V] with V at least 1, got Float[3] on cpu"),
        ({"logits": torch.zeros(2, 0)}, "logits must be [M, V] with V at least 1, got Float[2, 0] on cpu"),
        (
            {"logits": torch.zeros(2, 3, dtype=torch.long)},
            "logits must be float32, float64, bfloat16 or float16, got Long[2, 3] on cpu",
        ),
        ({"temperature": -1.0}, "temperature must be finite and at least 0, got -1"),
        ({"temperature": math.nan}, "temperature must be finite and at least 0, got nan"),
        ({"temperature": math.inf}, "temperature must be finite and at least 0, got inf"),
        ({"temperature": 1e-310}, "temperature must be 0 or have a finite inverse, got 1e-310"),
        ({"top_k": -1}, "top_k must be at least 0, got -1"),
        ({"top_p": 0.0}, "top_p must be in (0, 1], got 0"),
        ({"top_p": 1.5}, "top_p must be in (0, 1], got 1.5"),
        ({"purpose": 0}, "purpose must be in 1..127, got 0"),
        ({"purpose": 128}, "purpose must be in 1..127, got 128"),
        ({"sequence": torch.zeros(3, dtype=torch.long)}, "expected 2 sequence ids and events, got 3 and 2"),
        ({"sequence": torch.tensor([0, 2**56])}, "sequence id must be in [0, 2^56), got 72057594037927936"),
        ({"sequence": torch.tensor([0, -1])}, "sequence id must be in [0, 2^56), got -1"),
        ({"event": torch.tensor([0, 2**32])}, "event must be in [0, 2^32), got 4294967296"),
        ({"event": torch.zeros(2)}, "events must be 1-dimensional Long on cpu, got Float[2] on cpu"),
        (
            {"base": torch.tensor([0, 2])},
            "base must be a multiple of 4 with base + V at most 2^34, got 2",
        ),
        (
            {"base": torch.tensor([0, 2**34])},
            "base must be a multiple of 4 with base + V at most 2^34, got 17179869184",
        ),
        ({"base": torch.tensor([0])}, "expected 2 bases, got 1"),
        ({"banned": torch.zeros(4, dtype=torch.bool)}, "banned must have V = 5 entries, got 4"),
        ({"banned": torch.zeros(5)}, "banned must be 1-dimensional Bool on cpu, got Float[5] on cpu"),
    ],
)
def test_bad_arguments(change, message) -> None:
    good = {"logits": torch.zeros(2, 5), **address(2)}
    with pytest.raises(ValueError) as error:
        C.choose(**(good | change))
    assert str(error.value).replace("c10::", "") == "choose: " + message
