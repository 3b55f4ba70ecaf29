"""MaskedTransformer: against a float64 forward written from the formulas, and its invariances."""

import math

import numpy as np
import pytest
import torch

from pymdm.network.config import ModelConfig
from pymdm.network.layers import rotate
from pymdm.network.transformer import MaskedTransformer, parameter_shapes, rotary_angles

BASE = {"vocab_size": 11, "length": 12, "width": 16, "layers": 2, "heads": 4}
VARIANTS = {
    "plain": {},
    "llama-like": {"norm": "rmsnorm", "mlp": "swiglu", "kv_heads": 2, "rope_base": 500000.0, "mlp_width": 24},
    "biased": {"norm_bias": True, "qkv_bias": True, "out_bias": True, "head_bias": False},
    "tied": {"tied_head": True},
    "tied-mask-inside": {"tied_head": True, "mask_id": 4, "head_bias": False},
    "time": {"conditioning": "time", "cond_dim": 6},
    "constant": {"conditioning": "constant", "cond_dim": 6},
    "shifted": {"logit_shift": True},
    "causal": {"attention": "causal", "kv_heads": 1},
}


def make(**changes):
    """A model whose every parameter is random, also those that start at zero or one."""
    torch.manual_seed(0)
    model = MaskedTransformer(ModelConfig(**(BASE | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def batch(model, B=3, L=9):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, model.config.embed_rows, (B, L), generator=generator)
    time = torch.rand(B, generator=generator) if model.config.conditioning == "time" else None
    return tokens, time


def oracle(model, tokens, time):
    """The forward of one sequence, float64, position by position -> [L, V]."""
    c = model.config
    w = {k: v.detach().double().numpy() for k, v in model.state_dict().items()}
    L, hd, group = len(tokens), c.head_dim, c.heads // c.kv_heads

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def norm(name, x):
        center = x - x.mean(-1, keepdims=True) if c.norm == "layernorm" else x
        scale = np.sqrt((center**2).mean(-1, keepdims=True) + c.norm_eps)
        return center / scale * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)

    def silu(x):
        return x / (1 + np.exp(-x))

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def turn(x, position):
        out = np.empty(hd)
        for i in range(hd // 2):
            a = position * c.rope_base ** (-2 * i / hd)
            out[i] = x[i] * math.cos(a) - x[i + hd // 2] * math.sin(a)
            out[i + hd // 2] = x[i + hd // 2] * math.cos(a) + x[i] * math.sin(a)
        return out

    cond = None
    if c.conditioning != "none":
        t = float(time) if c.conditioning == "time" else 0.0
        angle = t * np.exp(-math.log(10000) * np.arange(128) / 128)
        cond = np.concatenate([np.cos(angle), np.sin(angle)])
        cond = silu(linear("time_mlp.2", silu(linear("time_mlp.0", cond))))
    x = w["embed.weight"][tokens.numpy()]
    for i in range(c.layers):
        b = f"blocks.{i}"
        mods = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0] if cond is None else np.split(linear(f"{b}.ada", cond), 6)
        h = linear(f"{b}.qkv", norm(f"{b}.norm1", x) * (1 + mods[1]) + mods[0])
        q, k, v = np.split(h, [c.heads * hd, (c.heads + c.kv_heads) * hd], axis=-1)
        y = np.zeros((L, c.heads * hd))
        for head in range(c.heads):
            own, shared = slice(head * hd, (head + 1) * hd), slice(head // group * hd, (head // group + 1) * hd)
            for l in range(L):
                seen = range(l + 1 if c.causal else L)
                scores = np.array([turn(q[l, own], l) @ turn(k[j, shared], j) / math.sqrt(hd) for j in seen])
                p = np.exp(scores - scores.max())
                y[l, own] = (p / p.sum()) @ v[: len(seen), shared]
        x = x + mods[2] * linear(f"{b}.out", y)
        h = linear(f"{b}.mlp_in", norm(f"{b}.norm2", x) * (1 + mods[4]) + mods[3])
        h = gelu(h) if c.mlp == "gelu" else silu(h[:, : c.mlp_width]) * h[:, c.mlp_width :]
        x = x + mods[5] * linear(f"{b}.mlp_out", h)
    x = norm("norm_final", x)
    if cond is not None:
        shift, scale = np.split(linear("ada_final", cond), 2)
        x = x * (1 + scale) + shift
    if c.logit_shift:
        x = np.concatenate([x[:1], x[:-1]])
    head = w["embed.weight"][: c.vocab_size] if c.tied_head else w["head.weight"]
    return x @ head.T + w.get("head.bias", 0.0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_the_formulas_in_float64(variant):
    model = make(**VARIANTS[variant])
    tokens, time = batch(model)
    logits = model(tokens, time).detach().double().numpy()
    for b in range(len(tokens)):
        wanted = oracle(model, tokens[b], None if time is None else time[b])
        assert np.abs(logits[b] - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_chosen_rows_equal_the_same_rows_of_all(variant):
    model = make(**VARIANTS[variant])
    tokens, time = batch(model)
    rows = torch.tensor([0, 26, 9, 3, 3, 17])
    everything = model(tokens, time).flatten(0, 1)
    torch.testing.assert_close(model(tokens, time, rows=rows), everything[rows], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_names_and_shapes_are_those_of_the_contract(variant):
    c = ModelConfig(**(BASE | VARIANTS[variant]))
    D, hd, F = c.width, c.head_dim, c.mlp_width
    wanted = {"embed.weight": (c.embed_rows, D), "norm_final.weight": (D,)}
    if c.norm_bias:
        wanted["norm_final.bias"] = (D,)
    if not c.tied_head:
        wanted["head.weight"] = (c.vocab_size, D)
    if c.head_bias:
        wanted["head.bias"] = (c.vocab_size,)
    if c.conditioning != "none":
        wanted |= {"time_mlp.0.weight": (6, 256), "time_mlp.0.bias": (6,), "time_mlp.2.weight": (6, 6)}
        wanted |= {"time_mlp.2.bias": (6,), "ada_final.weight": (2 * D, 6), "ada_final.bias": (2 * D,)}
    for i in range(c.layers):
        layers = {
            "qkv": ((c.heads + 2 * c.kv_heads) * hd, D, c.qkv_bias),
            "out": (D, c.heads * hd, c.out_bias),
            "mlp_in": (F * (2 if c.mlp == "swiglu" else 1), D, c.mlp_bias),
            "mlp_out": (D, F, c.mlp_bias),
        }
        if c.conditioning != "none":
            layers["ada"] = (6 * D, 6, True)
        for name, (rows, columns, bias) in layers.items():
            wanted[f"blocks.{i}.{name}.weight"] = (rows, columns)
            if bias:
                wanted[f"blocks.{i}.{name}.bias"] = (rows,)
        for name in ("norm1", "norm2"):
            wanted[f"blocks.{i}.{name}.weight"] = (D,)
            if c.norm_bias:
                wanted[f"blocks.{i}.{name}.bias"] = (D,)
    assert parameter_shapes(c) == wanted


def test_a_sequence_does_not_feel_its_batch_or_the_models_largest_length():
    model = make()
    tokens, _ = batch(model, B=4, L=7)
    longer = MaskedTransformer(ModelConfig(**(BASE | {"length": 40})))
    longer.load_state_dict(model.state_dict())
    alone = torch.cat([model(t[None]) for t in tokens])
    torch.testing.assert_close(model(tokens), alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(longer.eval()(tokens), alone, rtol=1e-5, atol=1e-5)


def test_scores_look_both_ways_unless_causal():
    for causal in (False, True):
        model = make(attention="causal" if causal else "bidirectional")
        tokens, _ = batch(model, B=1)
        changed = tokens.clone()
        changed[0, 5] = (changed[0, 5] + 1) % 11
        moved = (model(tokens) - model(changed)).abs().amax(-1)[0] > 1e-6
        assert moved[5:].all()
        assert moved[:5].all() == (not causal) and moved[:5].any() == (not causal)


def test_rotary_scores_depend_on_the_distance_only():
    cos, sin = rotary_angles(30, 8, 100.0)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(2))
    Q, K = rotate(q.expand(1, 1, 30, 8), cos, sin)[0, 0], rotate(k.expand(1, 1, 30, 8), cos, sin)[0, 0]
    scores = Q @ K.T
    for distance in (-7, 0, 3):
        values = torch.diagonal(scores, distance)
        torch.testing.assert_close(values, values[:1].expand_as(values), rtol=1e-4, atol=1e-4)


def test_the_mask_is_read_but_never_scored():
    model = make()
    assert model.config.mask_id == 11
    tokens = torch.full((1, 5), 11)
    assert model(tokens).shape == (1, 5, 11)
    assert not torch.allclose(model(tokens), model(torch.zeros_like(tokens)))


def test_time_matters_only_for_a_time_conditioned_network():
    tokens = torch.zeros(2, 5, dtype=torch.long)
    early, late = torch.tensor([0.1, 0.1]), torch.tensor([0.1, 0.9])
    for conditioning, differs in (("none", False), ("constant", False), ("time", True)):
        model = make(conditioning=conditioning)
        a, b = model(tokens, early), model(tokens, late)
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1]) != differs


def test_adaln_starts_as_the_identity():
    torch.manual_seed(0)
    model = MaskedTransformer(ModelConfig(**BASE, conditioning="time")).eval()
    tokens = torch.zeros(1, 5, dtype=torch.long)
    x = model.embed(tokens)
    gates = model.blocks[0].ada(model._condition(torch.tensor([0.3]), 1, x.device))
    assert not gates.any()  # gate 0: a fresh block adds nothing
    assert torch.equal(model.blocks[0](x, model.cos[:5], model.sin[:5], torch.ones(1, 128), None), x)


@pytest.mark.parametrize("shape", [(3,), (1, 13), (1, 0), (1, 2, 3)])
def test_bad_token_shapes(shape):
    with pytest.raises(ValueError, match=r"^forward: tokens must be"):
        make()(torch.zeros(shape, dtype=torch.long))


def test_missing_time():
    with pytest.raises(ValueError, match=r"^forward: a time-conditioned network needs time"):
        make(conditioning="time")(torch.zeros(1, 2, dtype=torch.long))
