"""The device's network against the float64 forward: its kernels walked on the CPU, and run on CUDA where there is one."""

import numpy as np
import pytest
import torch
from helpers.device_networks import DEVICES, device_engine
from helpers.engine_networks import configs, random_network, reference, relative_error
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pymdm import _C_testing as T
from pymdm._native import C
from pymdm.network.config import ModelConfig

# As of the CPU engine (test_engine.py); bfloat16 also rounds each layer's output before it joins the residual stream.
# Attention in float32 runs as three TF32 products on a card.
TOLERANCE = {"float32": 1e-5, "bfloat16": 6e-2}
DTYPES = list(TOLERANCE)


def tolerance(dtype, device):
    return 3e-5 if (dtype, device) == ("float32", "cuda") else TOLERANCE[dtype]


seeds = st.integers(0, 2**31)


def batch(config, seed, sequences):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, config.length + 1, sequences)
    tokens = [torch.from_numpy(rng.integers(0, config.embed_rows, length)) for length in lengths]
    return tokens, torch.from_numpy(rng.random(sequences))


def packed(engine, tokens, times, rows=None):
    offsets = torch.tensor([0, *np.cumsum([len(t) for t in tokens])])
    rows = torch.arange(int(offsets[-1])) if rows is None else rows
    return engine.native.logits(torch.cat(tokens), offsets, rows, times).cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(config=configs(cpu=False), seed=seeds, sequences=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_ragged_batch_with_chosen_rows_matches_float64(device, dtype, config, seed, sequences):
    assume(dtype == "float32" or config.width >= 16)  # as in test_engine.py
    model = random_network(config, seed)
    tokens, times = batch(config, seed, sequences)
    want = np.concatenate([reference(model, t[None], times[b : b + 1])[0] for b, t in enumerate(tokens)])
    engine = device_engine(model, dtype, device)
    whole = packed(engine, tokens, times)
    assert whole.shape == want.shape and whole.dtype == torch.float32
    assert relative_error(whole, want) < tolerance(dtype, device)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(0, len(want), 1 + seed % 30))  # any order, repeated
    T.poison_workspace(engine.native)
    assert relative_error(packed(engine, tokens, times, rows), want[rows]) < tolerance(dtype, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        dict(width=96, heads=6, kv_heads=2, length=530, norm="rmsnorm", mlp="swiglu", qkv_bias=True, rope_base=1e6),
        dict(width=128, heads=2, length=300, conditioning="time", attention="causal"),
        dict(width=264, heads=4, length=40, mlp_width=1030, conditioning="constant", logit_shift=True),  # half head 33
        dict(width=1048, heads=4, length=5, mlp_width=64),  # a row of more columns than AddNorm holds
    ],
)
def test_long_and_wide_networks_match_float64(device, dtype, shape):
    model = random_network(ModelConfig(vocab_size=150, layers=2, **shape), 5)
    tokens, times = batch(model.config, 6, 1)
    tokens[0] = torch.randint(0, 151, (model.config.length,), generator=torch.Generator().manual_seed(1))
    got = device_engine(model, dtype, device)(tokens[0][None], times).cpu()
    assert relative_error(got, reference(model, tokens[0][None], times)) < tolerance(dtype, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_in_the_product_is_the_kernels(device, dtype):
    """The product's own bias and GELU; on the CPU torch applies the exact GELU there, within 5e-4 of the tanh form."""
    model = random_network(ModelConfig(vocab_size=50, length=20, width=64, layers=2, heads=2), 7)
    tokens, times = batch(model.config, 8, 3)
    engine = device_engine(model, dtype, device)
    assert engine.native.gelu_in_product == (device == "cuda" and dtype == "bfloat16")
    logits = []
    for on in (False, True):
        engine.native.gelu_in_product = on
        logits.append(packed(engine, tokens, times))
    assert 0 < relative_error(logits[1], logits[0].double().numpy()) < (6e-2 if dtype == "bfloat16" else 2e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_bad_input_is_named_as_on_the_cpu(device):
    model = random_network(ModelConfig(vocab_size=9, length=4, width=8, layers=1, heads=2), 0)
    engine = device_engine(model, "float32", device)
    with pytest.raises(ValueError, match=r"engine: token ids must be in \[0, 10\), got 10"):
        engine(torch.full((1, 4), 10))
    with pytest.raises(ValueError, match="engine: a sequence must have 1 to 4 tokens"):
        engine(torch.zeros(1, 5, dtype=torch.int64))
    assert engine(torch.zeros(1, 4, dtype=torch.int64), rows=torch.zeros(0, dtype=torch.int64)).shape == (0, 9)
    weights = dict(model.state_dict())
    for broken, words in (
        (weights | {"blocks.0.out.weight": torch.full((8, 8), float("nan"))}, "blocks.0.out.weight has a value"),
        (weights | {"more": torch.zeros(1)}, "more is not part of this network"),
        ({k: v for k, v in weights.items() if k != "head.bias"}, "head.bias is missing"),
        (weights | {"blocks.0.norm1.weight": torch.ones(7)}, r"norm1.weight must be \[8\], got \[7\]"),
    ):
        with pytest.raises(ValueError, match=f"engine: parameter .*{words}"):
            C.DeviceEngine(model.config.to_dict(), broken, "float32", engine.native.device)


@pytest.mark.parametrize("device", DEVICES)
def test_stored_dtype_of_the_embedding_does_not_matter(device):
    model = random_network(ModelConfig(vocab_size=30, length=12, width=36, layers=1, heads=2, tied_head=True), 3)
    half = {name: t.bfloat16() for name, t in model.state_dict().items()}
    tokens = torch.randint(0, 31, (2, 12), generator=torch.Generator().manual_seed(4))
    at = device_engine(model, "float32", device).native.device
    a, b = (
        C.DeviceEngine(model.config.to_dict(), weights, "bfloat16", at).logits(
            tokens.flatten(), torch.tensor([0, 12, 24]), torch.arange(24), torch.zeros(2).double()
        )
        for weights in (half, {name: t.float() for name, t in half.items()})
    )
    assert torch.equal(a, b)
