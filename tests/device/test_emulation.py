"""Every CUDA kernel's own text on the CPU: threads as fibers, with barriers, shuffles and atomics, in drawn orders.

The walk of the other device tests runs the same bodies by loops; here the kernels around them run too. choose is held
against the CPU's choose, everything else against the walk, bit for bit.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from pymdm import _C_testing as T
from pymdm._native import C

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "device" / "emulation"
COMPILER = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float64: 3}  # csrc/core/types.h
TILE = 3072  # columns that a block takes at a time


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path_factory.mktemp("emulation") / "kernels.so"
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-DPYMDM_EMULATE_DEVICE"]
    flags += ["-U_FORTIFY_SOURCE"]  # its _longjmp refuses to go to another stack
    where = [f"-I{SOURCES / 'shim'}", f"-I{ROOT / 'csrc'}"]  # the shim's cuda_runtime.h stands in for CUDA's
    done = subprocess.run(
        [COMPILER, *flags, *where, str(SOURCES / "kernels.cpp"), "-o", str(library)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = ctypes.CDLL(str(library))
    loaded.emulated_choose.restype = loaded.emulated_sum.restype = ctypes.c_int64
    return loaded


def pointer(t: torch.Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if t is None else t.data_ptr())


def emulated_choose(kernels, x, order=0, *, seed, sequence, event, base=None, temperature=1.0, banned=None):
    """Tokens, -1 for a bad row, and the number of parts of a row."""
    token = torch.full((len(x),), -7)
    kernels.emulated_order(ctypes.c_uint64(order))
    counts = (ctypes.c_int64(n) for n in (len(x), x.shape[1], x.stride(0)))
    event = event.int()
    parts = kernels.emulated_choose(
        pointer(x), ctypes.c_int32(DTYPES[x.dtype]), *counts, ctypes.c_uint64(seed), pointer(sequence), pointer(event),
        pointer(base), ctypes.c_double(temperature), pointer(banned), pointer(token),
    )  # fmt: skip
    assert parts > 0, "a block hung, or its counters did not come back to zero"
    return token.tolist(), parts


def addresses(rows: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    sequence, event = (torch.from_numpy(rng.integers(0, top, rows)) for top in (2**56, 2**32))
    return {"seed": int(rng.integers(0, 2**63)), "sequence": sequence, "event": event}


def logits(rows, vocab, dtype, seed, spread=3.0):
    return (torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * spread).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_choose_gives_the_cpus_tokens(kernels, dtype):
    """Widths around the tile, contiguous and unaligned rows, bans, bases, -inf, ties; every order of the threads."""
    for case, vocab in enumerate((1, 7, 257, 1000, TILE - 1, TILE + 3, 2 * TILE + 1025)):
        rows = 3 if vocab > 1000 else 5
        for form in range(6):
            options = addresses(rows, case * 10 + form) | {"temperature": (1.0, 0.3, 0.0)[(case + form) % 3]}
            x = logits(rows, vocab + 3 if form == 1 else vocab, dtype, case * 7 + form, 40 if form == 2 else 3)[
                :, :vocab
            ]
            if form == 2:
                x[torch.rand(x.shape, generator=torch.Generator().manual_seed(case)) < 0.3] = -torch.inf
                x[:, vocab // 2] = 1.0
            if form == 3:
                x = torch.full_like(x, 0.25)
            if form in (4, 5):
                banned = torch.rand(vocab, generator=torch.Generator().manual_seed(form)) < 0.2
                banned[vocab // 3] = False
                x[:, banned] = torch.inf if form == 5 else x[:, banned]  # what is banned is not looked at
                options["banned"] = banned
            if form == 5:
                options["base"] = 4 * torch.arange(rows) + 4000
            want = C.choose(x, **options).tolist()
            got, parts = emulated_choose(kernels, x, order=form, **options)
            assert got == want, (vocab, form)
            assert parts == -(-vocab // TILE)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_bad_rows_are_told_in_every_part(kernels, dtype, temperature):
    vocab = 2 * TILE + 9
    for value in (torch.nan, torch.inf):
        for column in (2, 5000, vocab - 1):
            x = logits(3, vocab, dtype, column)
            x[1, column] = value
            options = addresses(3, column) | {"temperature": temperature}
            got, _ = emulated_choose(kernels, x, order=column, **options)
            assert got[1] == -1
            good = C.choose(x[[0, 2]], **{k: v[[0, 2]] if torch.is_tensor(v) else v for k, v in options.items()})
            assert [got[0], got[2]] == good.tolist()
    nothing = torch.full((1, vocab), -torch.inf, dtype=dtype)
    assert emulated_choose(kernels, nothing, **addresses(1, 1), temperature=temperature)[0] == [-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_column_may_win(kernels, dtype):
    """Logits whose size is beyond the cut's precision: all 12,288 columns may win until float64 scores decide.

    All of the first part is -inf; half of the second row is too.
    """
    x = torch.full((2, 4 * TILE), 1e9, dtype=dtype)
    x[:, :TILE] = -torch.inf
    x[1, 2 * TILE :] = -torch.inf
    for order in range(3):
        options = addresses(2, order)
        got, parts = emulated_choose(kernels, x, order=order, **options)
        assert parts == 4 and got == C.choose(x, **options).tolist() == T.choose_full(x, **options).tolist()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("quads", [1, 256, 512], ids="{} quads apart".format)
def test_a_threads_second_best_quad_may_win(kernels, dtype, quads):
    """Two columns far above all others: where 256 quads lie between them, one thread has seen both."""
    x = torch.zeros(60, TILE, dtype=dtype)
    x[:, 41] = x[:, 41 + 4 * quads] = 60.0
    options = addresses(60, quads)
    got, parts = emulated_choose(kernels, x, **options)
    assert parts == 1 and got == C.choose(x, **options).tolist()
    assert 12 < got.count(41) < 48 and set(got) == {41, 41 + 4 * quads}  # 60 fair coins: missed once in 10^6 runs


@pytest.mark.parametrize("temperature", [1.0, 1e29, 1e30, 1e33])
def test_the_least_float_is_a_number(kernels, temperature):
    """Its bound may be -inf, yet it is drawn where nothing is above it."""
    x = torch.full((4, TILE + 5), torch.finfo(torch.float32).min)
    x[1, 9:] = -torch.inf
    options = addresses(4, 6) | {"temperature": temperature}
    got = emulated_choose(kernels, x, **options)[0]
    assert min(got) >= 0 and got == C.choose(x, **options).tolist()


def test_bans_at_any_address(kernels):
    """A banned column never wins, however large it is, nor what shares its quad; the bans need not be on four bytes."""
    x = logits(8, TILE + 2, torch.float32, 5)
    banned = torch.zeros(TILE + 3, dtype=torch.bool)[1:]
    banned[[7, 8, 100, TILE, TILE + 1]] = True
    x[:, banned] = 90.0
    options = addresses(8, 5) | {"banned": banned}
    want = C.choose(x, **options).tolist()
    assert emulated_choose(kernels, x, **options)[0] == want and not banned[want].any()


def test_float64_beyond_float32_is_no_bad_row(kernels):
    x = logits(2, TILE + 5, torch.float64, 3)
    x[0, 77], x[1, TILE + 1], x[1, 3] = 1e300, 1e39, -1e300
    options = addresses(2, 9)
    assert emulated_choose(kernels, x, **options)[0] == C.choose(x, **options).tolist() == [77, TILE + 1]


def test_the_order_of_threads_and_blocks_does_not_matter(kernels):
    x, options = logits(3, 3 * TILE - 50, torch.float32, 8), addresses(3, 8)
    want = C.choose(x, **options).tolist()
    assert all(emulated_choose(kernels, x, order=order, **options)[0] == want for order in range(8))


@pytest.mark.parametrize("what", ["rows", "step"])
def test_threads_and_warps_give_the_bits_of_the_walk(kernels, what):
    """AddNorm, Rotate, Gelu, Swiglu, Gather, Embed; PlanStep and WriteStep over several calls."""
    counts = (ctypes.c_int64 * 2)()
    kernels.emulated_order(ctypes.c_uint64(5))
    getattr(kernels, f"emulated_{what}")(ctypes.c_uint64(11), counts)
    assert counts[0] >= 60 and counts[1] == 0


def test_the_random_stream(kernels):
    at = addresses(3000, 4)
    index = torch.arange(3000) * 1234567
    out = torch.empty_like(index)
    kernels.emulated_bits(
        ctypes.c_uint64(at["seed"]), ctypes.c_int64(3000), pointer(at["sequence"]), pointer(at["event"]),
        ctypes.c_int64(3), pointer(index), pointer(out),
    )  # fmt: skip
    assert torch.equal(out, C.random_bits_at(at["seed"], at["sequence"], at["event"], 3, index))


@pytest.mark.parametrize(
    ("rows", "columns", "blocks", "parts"),
    [(1024, 384, 128, 9), (32768, 384, 4096, 1), (1, 96, 1, 3), (1, 50_000, 1, 1056), (5, 7, 1, 1), (1030, 16, 129, 1)],
)
def test_few_rows_fill_the_device_too(kernels, rows, columns, blocks, parts):
    """At B = 1, L = 1024 a row's 384 packs of GELU go to 9 blocks: 1,152 blocks instead of 128."""
    grid = (ctypes.c_int64 * 2)()
    kernels.emulated_grid(ctypes.c_int64(rows), ctypes.c_int64(columns), grid)
    assert list(grid) == [blocks, parts]


def test_the_emulation_sees_barriers(kernels):
    kernels.emulated_order(ctypes.c_uint64(1))
    assert kernels.emulated_sum(1, 0) == 255 * 128
    assert kernels.emulated_sum(0, 0) != 255 * 128  # a barrier that is missing
    assert kernels.emulated_sum(1, 1) == -1  # a barrier that half of the threads do not reach
    assert kernels.emulated_sum(1, 0) == 255 * 128
