"""Each operator of the engine against float64 numpy, on buffers poisoned with NaN, with processor features forced off."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymdm import _C_testing as T
from pymdm._native import C

# Features switched off in turn: what runs is AMX or AVX-512 with bfloat16 units, AVX-512 without, AVX2, plain.
DISABLED = ["", "amx", "avx512_bf16", "avx512", "avx2"]
# Largest error relative to max(1, max |want|): float32 rounding of sums of a thousand terms; bfloat16 has 8 bits, and
# the float64 answer is computed from operands rounded to it, so that only outputs in bfloat16 differ by 2^-8.
FLOAT, STORED = 3e-6, 8e-3
sizes = st.integers(1, 70)
common = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=DISABLED, ids=lambda d: d or "all")
def processor(request, monkeypatch):
    monkeypatch.setenv("PYMDM_CPU_DISABLE", request.param)
    return request.param


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def bfloat16(request):
    return request.param


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stored(x, bfloat16):
    """float64 values of x as the engine's type holds them."""
    return (x.bfloat16() if bfloat16 else x).double().numpy()


def assert_close(got, want, tolerance, terms=None):
    """`terms` are the sums of the absolute terms of `want`, where they may be far larger than their sum."""
    assert got.shape == want.shape
    error = np.abs(got.double().numpy() - want).max() / max(1.0, np.abs(want if terms is None else terms).max())
    assert error <= tolerance, error  # NaN fails


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


gelu_erf = np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))), otypes=[np.float64])


@given(m=sizes, n=st.integers(1, 300), k=st.integers(1, 300), bias=st.booleans(), seed=st.integers(0, 999))
@common
def test_linear(processor, bfloat16, m, n, k, bias, seed):
    x, w = draw(seed, m, k), draw(seed + 1, n, k) / k**0.5
    b = draw(seed + 2, n) if bias else None
    want = stored(x, bfloat16) @ stored(w, bfloat16).T + (b.double().numpy() if bias else 0)
    assert_close(T.linear(x, w, b, bfloat16=bfloat16), want, FLOAT)


@pytest.mark.parametrize("k", [1024, 1025, 2500, 4200])
def test_linear_with_many_inputs(processor, bfloat16, k):
    x, w = draw(k, 17, k), draw(k + 1, 130, k) / k**0.5
    want = stored(x, bfloat16) @ stored(w, bfloat16).T
    assert_close(T.linear(x, w, bfloat16=bfloat16), want, FLOAT)


@pytest.mark.parametrize("n", [16, 64, 100, 128, 200])
def test_a_row_does_not_know_how_many_there_are(processor, bfloat16, n):
    """Rows go in passes of different sizes, over different groups of columns: the bits are the same, of blocks of k too."""
    for k in (7, 96, 1100) if n == 128 else (96,):
        x, w = draw(k, 70, k), draw(k + 1, n, k) / k**0.5
        every = T.linear(x, w, bfloat16=bfloat16)
        for m in range(1, 70):
            assert torch.equal(T.linear(x[:m], w, bfloat16=bfloat16), every[:m]), m


@given(m=sizes, n=st.integers(1, 200), k=st.integers(1, 200), gated=st.booleans(), seed=st.integers(0, 999))
@common
def test_linear_residual(processor, bfloat16, m, n, k, gated, seed):
    x, w, r, b = draw(seed, m, k), draw(seed + 1, n, k) / k**0.5, draw(seed + 2, m, n), draw(seed + 3, n)
    gate, sequence = draw(seed + 4, 3, n), torch.randint(0, 3, (m,), generator=torch.Generator().manual_seed(seed))
    extra = (gate, sequence) if gated else (None, None)
    factor = gate[sequence].double().numpy() if gated else 1
    want = r.double().numpy() + factor * (stored(x, bfloat16) @ stored(w, bfloat16).T + b.double().numpy())
    assert_close(T.linear_residual(x, w, b, r, *extra, bfloat16=bfloat16), want, FLOAT)


@given(
    m=sizes,
    d=st.integers(2, 300),
    centred=st.booleans(),
    bias=st.booleans(),
    modulated=st.booleans(),
    offset=st.sampled_from([0.0, 3.0, -100.0]),
    seed=st.integers(0, 999),
)
@common
def test_norm(processor, bfloat16, m, d, centred, bias, modulated, offset, seed):
    x, w = draw(seed, m, d) + offset, 1 + 0.3 * draw(seed + 1, d)
    b = draw(seed + 2, d) if bias else None
    shift, scale = draw(seed + 3, 4, d), 0.5 * draw(seed + 4, 4, d)
    sequence = torch.randint(0, 4, (m,), generator=torch.Generator().manual_seed(seed))
    extra = (shift, scale, sequence) if modulated else (None, None, None)
    got = T.norm(x, w, b, centred, 1e-5, *extra, bfloat16=bfloat16)
    y = x.double().numpy()
    y = y - y.mean(-1, keepdims=True) if centred else y
    y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5) * w.double().numpy()
    y = y + (b.double().numpy() if bias else 0)
    if modulated:
        y = y * (1 + scale[sequence].double().numpy()) + shift[sequence].double().numpy()
    # A float32 mean of numbers around 100 is off by 1e-5, and two columns may be as close as that.
    error = 1e-4 * max(1.0, abs(offset)) if offset and d < 8 else 2e-5 * max(1.0, abs(offset) / 3)
    assert_close(got, y, STORED if bfloat16 else error)


@given(
    m=st.sampled_from([1, 5, 64, 65]),
    d=sizes,
    f=st.integers(1, 200),
    gated=st.booleans(),
    erf=st.booleans(),
    seed=st.integers(0, 999),
)
@common
def test_mlp(processor, bfloat16, m, d, f, gated, erf, seed):
    rows = 2 * f if gated else f
    x, r = draw(seed, m, d), draw(seed + 1, m, d)
    w1, b1 = draw(seed + 2, rows, d) / d**0.5, 0.3 * draw(seed + 3, rows)
    w2, b2 = draw(seed + 4, d, f) / f**0.5, 0.3 * draw(seed + 5, d)
    got = T.mlp(x, w1, b1, w2, b2, r, gated, bfloat16=bfloat16, erf=erf)
    h = stored(x, bfloat16) @ stored(w1, bfloat16).T + b1.double().numpy()
    act = gelu_erf if erf else (lambda z: z / (1 + np.exp(-z))) if gated else gelu
    h = act(h[:, :f]) * h[:, f:] if gated else act(h)
    want = r.double().numpy() + h @ stored(w2, bfloat16).T + b2.double().numpy()
    # Each h is rounded to bfloat16 on its way: with few columns one large h may cancel another.
    assert_close(got, want, STORED if bfloat16 else FLOAT, terms=np.abs(h) @ np.abs(stored(w2, bfloat16)).T)


def test_mlp_in_several_chunks(processor, bfloat16):
    x, r, w1, w2 = draw(0, 2100, 16), draw(1, 2100, 16), draw(2, 40, 16) / 4, draw(3, 16, 40) / 6
    want = r.double().numpy() + gelu(stored(x, bfloat16) @ stored(w1, bfloat16).T) @ stored(w2, bfloat16).T
    got = T.mlp(x, w1, None, w2, None, r, False, bfloat16=bfloat16)
    assert_close(got, want, STORED if bfloat16 else FLOAT)


def reference_attention(q, k, v, lengths, causal, base, window=0):
    """float64 softmax(rot(q) rot(k)^T / sqrt(hd)) v of each sequence; rotate-half over the whole head."""
    hd, out, first = q.shape[-1], np.empty_like(q), 0
    share = q.shape[1] // k.shape[1]
    for n in lengths:
        angle = np.arange(n)[:, None] * base ** (-2 * np.arange(hd // 2) / hd)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]

        def rotate(x, cos=cos, sin=sin):
            a, b = x[..., : hd // 2], x[..., hd // 2 :]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        part = slice(first, first + n)
        rq, rk, rv = rotate(q[part]), rotate(k[part]).repeat(share, 1), v[part].repeat(share, 1)
        scores = np.einsum("ihd,jhd->hij", rq, rk) / hd**0.5
        if causal:
            scores = np.where(np.tril(np.ones((n, n), dtype=bool)), scores, -np.inf)
        if window:
            scores = np.where(np.abs(np.arange(n)[:, None] - np.arange(n)) <= window, scores, -np.inf)
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        out[part] = np.einsum("hij,jhd->ihd", weight / weight.sum(-1, keepdims=True), rv)
        first += n
    return out


def check_attention(q, k, v, lengths, causal, base, bfloat16):
    got = T.attention(q, k, v, lengths, causal, base, bfloat16=bfloat16)
    want = reference_attention(*(stored(t, bfloat16) for t in (q, k, v)), lengths, causal, base)
    # In bfloat16 rotated queries and keys, weights and outputs are rounded: scores of size s move by s 2^-8.
    assert_close(got, want, 3e-2 if bfloat16 else 1e-5)


@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    groups=st.integers(1, 3),
    share=st.integers(1, 3),
    half=st.integers(1, 40),
    causal=st.booleans(),
    base=st.sampled_from([1e4, 1e6]),
    seed=st.integers(0, 999),
)
@common
def test_attention(processor, bfloat16, lengths, groups, share, half, causal, base, seed):
    total, hd = sum(lengths), 2 * half
    q, k, v = (draw(seed + i, total, h, hd) for i, h in enumerate((groups * share, groups, groups)))
    check_attention(q, k, v, lengths, causal, base, bfloat16)


@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    window=st.integers(1, 80),
    causal=st.booleans(),
    seed=st.integers(0, 999),
)
@common
def test_attention_within_a_window(processor, bfloat16, lengths, window, causal, seed):
    q, k, v = (draw(seed + i, sum(lengths), 2, 16) for i in range(3))
    got = T.attention(q, k, v, lengths, causal, 1e4, bfloat16=bfloat16, window=window)
    want = reference_attention(*(stored(t, bfloat16) for t in (q, k, v)), lengths, causal, 1e4, window)
    assert_close(got, want, 3e-2 if bfloat16 else 1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [1, 70, 600])
def test_window_over_several_blocks_of_keys(processor, bfloat16, window, causal):
    """Blocks that a tile of queries does not see are left out, and those that only some of its rows see count as nothing."""
    q, k, v = (draw(i, 1700, 1, 32) for i in range(3))
    got = T.attention(3 * q, k, v, [1600, 100], causal, 1e4, bfloat16=bfloat16, window=window)
    want = reference_attention(*(stored(t, bfloat16) for t in (3 * q, k, v)), [1600, 100], causal, 1e4, window)
    assert_close(got, want, 3e-2 if bfloat16 else 1e-5)


@given(
    groups=st.integers(1, 3), share=st.integers(1, 3), half=st.integers(2, 40), whole=st.booleans(),
    seed=st.integers(0, 999),
)  # fmt: skip
@common
def test_norms_of_queries_and_keys(processor, bfloat16, groups, share, half, whole, seed):
    """RMS norms before the rotation, of each head alone or of all heads of a position; values have none."""
    hd, lengths = 2 * half, [70, 3]
    q, k, v = (4 * draw(seed + i, 73, h, hd) for i, h in enumerate((groups * share, groups, groups)))
    whole = whole or groups == 1 or groups * share == 1
    wq, wk = (1 + 0.3 * draw(seed + 5, hd * h if whole else hd) for h in (groups * share, groups))
    got = T.attention(q, k, v, lengths, bfloat16=bfloat16, q_norm=wq, k_norm=wk)

    def normed(x, w):
        y = stored(x, bfloat16)
        y = y.reshape(73, -1) if whole else y
        y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5) * w.double().numpy()
        return y.reshape(x.shape)

    want = reference_attention(normed(q, wq), normed(k, wk), stored(v, bfloat16), lengths, False, 1e4)
    assert_close(got, want, 0.1 if bfloat16 else 2e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_several_blocks_of_keys(processor, bfloat16, causal):
    q, k, v = (draw(i, 1200, 2, 32) for i in range(3))
    check_attention(3 * q, k, v, [1100, 100], causal, 1e4, bfloat16)


@pytest.mark.parametrize("ends", [(0.01, 8), (8, 0.01)], ids=["last", "first"])
def test_attention_where_one_end_has_the_largest_score(processor, ends):
    """Scores up to 45: the running maximum moves with every block of keys, and far weights underflow to zero."""
    strength = torch.linspace(*ends, 1100).view(-1, 1, 1)
    q, k, v = torch.full((1100, 1, 2), 4.0), torch.ones(1100, 1, 2) * strength, draw(3, 1100, 1, 2)
    got = T.attention(q, k, v, [1100], False, 1e30)
    want = reference_attention(*(t.double().numpy() for t in (q, k, v)), [1100], False, 1e30)
    assert_close(got, want, 1e-4)


def test_gather_and_embed():
    x, table = draw(0, 300, 33), draw(1, 40, 17)
    ids = torch.randint(0, 300, (500,), generator=torch.Generator().manual_seed(2))
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(T.gather(x.to(dtype), ids), x.to(dtype)[ids])
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        assert torch.equal(T.embed(table.to(dtype), ids % 40), table.to(dtype)[ids % 40].float())


def test_peak_does_about_as_many_operations_as_asked(processor, bfloat16):
    done = C.peak(bfloat16, 10**9)
    assert 0.9e9 < done <= 1.1e9
