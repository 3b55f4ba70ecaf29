"""The native network against the float64 forward, and its promise of one row, one answer."""

import numpy as np
import pytest
import torch
from helpers.engine_networks import (
    LEAST_NORM,
    TOLERANCE,
    configs,
    least_norm,
    random_network,
    reference,
    relative_error,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pymdm import _C_testing as T
from pymdm import _native
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine, _parts
from pymdm.network.transformer import MaskedTransformer

DTYPES = list(TOLERANCE)
seeds = st.integers(0, 2**31)


def batch(config, seed, sequences):
    """Ragged sequences with their times, as a list of [l] tokens and float64 [B]."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, config.length + 1, sequences)
    tokens = [torch.from_numpy(rng.integers(0, config.embed_rows, length)) for length in lengths]
    return tokens, torch.from_numpy(rng.random(sequences))


def packed(engine, tokens, times, rows=None):
    offsets = torch.tensor([0, *np.cumsum([len(t) for t in tokens])])
    if rows is None:
        rows = torch.arange(int(offsets[-1]))
    return engine.native.logits(torch.cat(tokens), offsets, rows, times)


@pytest.mark.parametrize("dtype", DTYPES)
@given(config=configs(), seed=seeds, sequences=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_ragged_batch_matches_float64(dtype, config, seed, sequences):
    assume(least_norm(config) >= LEAST_NORM[dtype])
    model = random_network(config, seed)
    tokens, times = batch(config, seed, sequences)
    got = packed(Engine(model, dtype=dtype), tokens, times)
    want = np.concatenate([reference(model, t[None], times[b : b + 1])[0] for b, t in enumerate(tokens)])
    assert got.shape == want.shape and got.dtype == torch.float32
    assert relative_error(got, want) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        dict(width=96, heads=6, kv_heads=2, length=1100, norm="rmsnorm", mlp="swiglu", qkv_bias=True, rope_base=1e6),
        dict(width=128, heads=2, length=1030, conditioning="time"),
        dict(width=520, heads=2, length=20, mlp_width=2500),  # head_dim 260, several blocks of inputs in float32
        dict(width=1056, heads=3, kv_heads=1, length=70, mlp_width=4200),
    ],
)
def test_long_and_wide_networks_match_float64(dtype, shape):
    model = random_network(ModelConfig(vocab_size=150, layers=2, **shape), 5)
    tokens, times = batch(model.config, 6, 1)
    tokens[0] = torch.randint(0, 151, (model.config.length,), generator=torch.Generator().manual_seed(1))
    got = Engine(model, dtype=dtype)(tokens[0][None], times)
    assert relative_error(got, reference(model, tokens[0][None], times)) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@given(config=configs(), seed=seeds, sequences=st.integers(1, 5), threads=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_same_bits_for_any_batch_rows_and_threads(dtype, config, seed, sequences, threads):
    engine = Engine(random_network(config, seed), dtype=dtype)
    tokens, times = batch(config, seed, sequences)
    whole = packed(engine, tokens, times)
    alone = torch.cat([packed(engine, [t], times[b : b + 1]) for b, t in enumerate(tokens)])
    assert torch.equal(whole, alone)
    backwards = packed(engine, tokens[::-1], times.flip(0))
    parts = [part for part in whole.split([len(t) for t in tokens])]
    assert torch.equal(torch.cat(parts[::-1]), backwards)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(0, len(whole), 1 + seed % 40))  # any order, repeated
    before = _native.C.num_threads()
    try:
        _native.C.set_num_threads(threads)
        assert torch.equal(packed(engine, tokens, times, rows), whole[rows])
        for row in rows[:3].tolist():
            assert torch.equal(packed(engine, tokens, times, torch.tensor([row])), whole[row : row + 1])
    finally:
        _native.C.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_across_strips_chunks_and_query_tiles(dtype):
    """More tokens than one chunk of the MLP (1024), rows that start anywhere within a strip of 64."""
    config = ModelConfig(vocab_size=40, length=700, width=64, layers=2, heads=2, mlp_width=96)
    engine = Engine(random_network(config, 1), dtype=dtype)
    generator = torch.Generator().manual_seed(2)
    tokens = [torch.randint(0, 41, (length,), generator=generator) for length in (700, 33, 513, 1, 64, 640)]
    times = torch.zeros(len(tokens), dtype=torch.float64)
    whole = packed(engine, tokens, times)
    alone = torch.cat([packed(engine, [t], times[:1]) for t in tokens])
    assert torch.equal(whole, alone)
    rows = torch.arange(5, 700, 7)
    assert torch.equal(packed(engine, tokens[:1], times[:1], rows), whole[rows])


@pytest.mark.parametrize("dtype", DTYPES)
@given(config=configs(), seed=seeds)
@settings(max_examples=30, deadline=None)
def test_stale_workspace_does_not_leak(dtype, config, seed):
    engine = Engine(random_network(config, seed), dtype=dtype)
    big, big_times = batch(config, seed, 6)
    small, times = batch(config, seed + 1, 2)
    want = packed(engine, small, times)
    packed(engine, big, big_times)
    T.poison_workspace(engine.native)
    got = packed(engine, small, times)
    assert torch.equal(want, got) and torch.isfinite(got).all()


def test_nan_reaches_the_logits_instead_of_being_hidden():
    model = random_network(ModelConfig(vocab_size=9, length=4, width=8, layers=1, heads=2), 0)
    weights = model.state_dict() | {"blocks.0.mlp_in.weight": torch.full((32, 8), 3e38)}
    out = Engine(weights, model.config)(torch.zeros(1, 4, dtype=torch.int64))
    assert not torch.isfinite(out).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_stored_dtype_does_not_matter(dtype):
    model = random_network(ModelConfig(vocab_size=30, length=12, width=32, layers=2, heads=2), 3)
    half = {name: t.bfloat16() for name, t in model.state_dict().items()}
    tokens = torch.randint(0, 31, (2, 12), generator=torch.Generator().manual_seed(4))
    a = Engine(half, model.config, dtype=dtype)(tokens)
    b = Engine({name: t.float() for name, t in half.items()}, model.config, dtype=dtype)(tokens)
    assert torch.equal(a, b)


def test_call_takes_tokens_times_and_rows():
    model = random_network(ModelConfig(vocab_size=30, length=12, width=32, layers=2, heads=2, conditioning="time"), 3)
    engine = Engine(model)
    tokens = torch.randint(0, 31, (3, 10))
    times = torch.rand(3)
    with torch.no_grad():
        want = model(tokens, times)
    got = engine(tokens, times)
    assert got.shape == (3, 10, 30)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    rows = torch.tensor([29, 0, 3])
    assert torch.equal(engine(tokens, times, rows), got.view(30, 30)[rows])
    assert engine(tokens, times, torch.empty(0, dtype=torch.int64)).shape == (0, 30)
    assert engine(tokens[:, ::2], times).shape == (3, 5, 30)  # not contiguous


def test_training_the_source_afterwards_changes_nothing():
    model = random_network(ModelConfig(vocab_size=5, length=4, width=8, layers=1, heads=2), 0)
    engine = Engine(model)
    tokens = torch.tensor([[0, 1, 5, 5]])
    before = engine(tokens)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert torch.equal(engine(tokens), before)


def test_weights_that_begin_between_two_numbers_are_copied():
    config = ModelConfig(vocab_size=9, length=5, width=8, layers=1, heads=2)
    weights = random_network(config, 3).state_dict()
    shifted = {}
    for name, t in weights.items():
        raw = torch.zeros(1 + t.numel() * t.element_size(), dtype=torch.uint8)
        raw[1:] = t.contiguous().view(-1).view(torch.uint8)
        shifted[name] = torch.from_numpy(raw.numpy()[1:].view(np.float32).reshape(t.shape))
    assert all(t.data_ptr() % 4 for t in shifted.values())
    parts = _parts(shifted, config)[1]
    assert all(
        t.data_ptr() % 4 == 0 for value in parts.values() for t in (value if isinstance(value, list) else [value])
    )
    tokens = torch.randint(0, 10, (2, 5), generator=torch.Generator().manual_seed(1))
    assert torch.equal(Engine(shifted, config)(tokens), Engine(weights, config)(tokens))


def test_sizes_are_reported():
    model = MaskedTransformer(ModelConfig(vocab_size=100, length=64, width=64, layers=2, heads=2))
    parameters = sum(p.numel() for p in model.parameters())
    engines = {dtype: Engine(model, dtype=dtype) for dtype in DTYPES}
    assert parameters * 4 <= engines["float32"].native.weight_bytes < parameters * 4 * 1.4
    assert engines["bfloat16"].native.weight_bytes < engines["float32"].native.weight_bytes
    engine = engines["float32"]
    engine(torch.zeros(1, 64, dtype=torch.int64))
    small = engine.native.workspace_bytes
    engine(torch.zeros(8, 64, dtype=torch.int64))
    assert small < engine.native.workspace_bytes < 9 * small
