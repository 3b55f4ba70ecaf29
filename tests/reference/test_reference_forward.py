"""The numpy forward pass against torch's own layers in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pymdm.reference.forward import forward, rotate

BASE = dict(vocab_size=11, mask_id=11, length=7, width=16, layers=2, heads=4, mlp_width=24)
VARIANTS = {
    "plain": {},
    "gqa": dict(kv_heads=2),
    "rms_swiglu": dict(norm="rmsnorm", mlp="swiglu"),
    "biases": dict(norm_bias=True, qkv_bias=True, out_bias=True),
    "causal": dict(attention="causal"),
    "tied_shift": dict(tied_head=True, logit_shift=True),
    "constant": dict(conditioning="constant", cond_dim=8),
    "time": dict(conditioning="time", cond_dim=8),
}


def random_weights(c):
    rng = np.random.default_rng(3)
    d, h = c["width"], c["heads"]
    kv, f, v = c.get("kv_heads") or h, c["mlp_width"], c["vocab_size"]
    hd, gated = d // h, c.get("mlp") == "swiglu"
    shapes = {"embed.weight": (v + 1, d), "norm_final.weight": (d,)}
    if not c.get("tied_head"):
        shapes |= {"head.weight": (v, d), "head.bias": (v,)}
    if c.get("conditioning"):
        shapes |= {"ada_final.weight": (2 * d, 8), "ada_final.bias": (2 * d,)}
        shapes |= {"time_mlp.0.weight": (8, 256), "time_mlp.0.bias": (8,)}
        shapes |= {"time_mlp.2.weight": (8, 8), "time_mlp.2.bias": (8,)}
    for i in range(c["layers"]):
        b = f"blocks.{i}."
        shapes |= {b + "norm1.weight": (d,), b + "norm2.weight": (d,), b + "qkv.weight": ((h + 2 * kv) * hd, d)}
        shapes |= {b + "out.weight": (d, d), b + "mlp_in.weight": ((1 + gated) * f, d), b + "mlp_out.weight": (d, f)}
        if not gated:
            shapes |= {b + "mlp_in.bias": (f,), b + "mlp_out.bias": (d,)}
        if c.get("qkv_bias"):
            shapes |= {b + "qkv.bias": ((h + 2 * kv) * hd,), b + "out.bias": (d,)}
            shapes |= {b + "norm1.bias": (d,), b + "norm2.bias": (d,)}
        if c.get("conditioning"):
            shapes |= {b + "ada.weight": (6 * d, 8), b + "ada.bias": (6 * d,)}
    return {name: rng.normal(size=shape) * 0.3 for name, shape in shapes.items()}


def torch_forward(c, w, tokens, time):
    w = {k: torch.from_numpy(v) for k, v in w.items()}
    d, h = c["width"], c["heads"]
    kv = c.get("kv_heads") or h
    hd = d // h
    batch, length = tokens.shape

    def norm(name, x):
        if c.get("norm") == "rmsnorm":
            return F.rms_norm(x, (d,), w[name + ".weight"], 1e-5)
        return F.layer_norm(x, (d,), w[name + ".weight"], w.get(name + ".bias"), 1e-5)

    def turn(x):  # complex rotation of the pairs (i, i + hd/2)
        angle = torch.outer(torch.arange(length).double(), 10000.0 ** (-torch.arange(0, hd, 2).double() / hd))
        z = torch.complex(x[..., : hd // 2], x[..., hd // 2 :]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([z.real, z.imag], -1)

    condition = None
    if c.get("conditioning"):
        t = torch.zeros(batch).double() if c["conditioning"] == "constant" else torch.from_numpy(time)
        angle = t[:, None] * torch.exp(-np.log(10000.0) * torch.arange(128).double() / 128)
        condition = F.linear(torch.cat([angle.cos(), angle.sin()], -1), w["time_mlp.0.weight"], w["time_mlp.0.bias"])
        condition = F.silu(F.linear(F.silu(condition), w["time_mlp.2.weight"], w["time_mlp.2.bias"]))
    x = w["embed.weight"][tokens]
    for i in range(c["layers"]):
        b = f"blocks.{i}."
        mods = [0.0, 0.0, 1.0] * 2
        if condition is not None:
            mods = F.linear(condition, w[b + "ada.weight"], w[b + "ada.bias"])[:, None].chunk(6, -1)
        y = norm(b + "norm1", x) * (1 + mods[1]) + mods[0]
        qkv = (
            F.linear(y, w[b + "qkv.weight"], w.get(b + "qkv.bias")).view(batch, length, h + 2 * kv, hd).transpose(1, 2)
        )
        q, k, v = qkv.split([h, kv, kv], 1)
        y = F.scaled_dot_product_attention(
            turn(q), turn(k), v, is_causal=c.get("attention") == "causal", enable_gqa=kv != h
        )
        y = y.transpose(1, 2).reshape(batch, length, d)
        x = x + mods[2] * F.linear(y, w[b + "out.weight"], w.get(b + "out.bias"))
        y = norm(b + "norm2", x) * (1 + mods[4]) + mods[3]
        y = F.linear(y, w[b + "mlp_in.weight"], w.get(b + "mlp_in.bias"))
        if c.get("mlp") == "swiglu":
            y = F.silu(y[..., : c["mlp_width"]]) * y[..., c["mlp_width"] :]
        else:
            y = F.gelu(y, approximate="tanh")
        x = x + mods[5] * F.linear(y, w[b + "mlp_out.weight"], w.get(b + "mlp_out.bias"))
    x = norm("norm_final", x)
    if condition is not None:
        shift, scale = F.linear(condition, w["ada_final.weight"], w["ada_final.bias"])[:, None].chunk(2, -1)
        x = x * (1 + scale) + shift
    logits = F.linear(x, w["embed.weight"][:11] if c.get("tied_head") else w["head.weight"], w.get("head.bias"))
    return torch.cat([logits[:, :1], logits[:, :-1]], 1) if c.get("logit_shift") else logits


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_against_torch(variant):
    c = {**BASE, **VARIANTS[variant]}
    w = random_weights(c)
    tokens = np.random.default_rng(0).integers(0, 12, size=(3, 6))
    time = np.array([0.1, 0.5, 0.9])
    ours = forward(c, w, tokens, time)
    theirs = torch_forward(c, w, tokens, time).numpy()
    assert ours.shape == (3, 6, 11) and np.abs(ours - theirs).max() < 1e-11 * np.abs(theirs).max()
    rows = [0, 7, 17]
    assert np.allclose(forward(c, w, tokens, time, rows=rows), ours.reshape(18, 11)[rows], rtol=1e-14)


def test_rotation_depends_on_distance_only():
    rng = np.random.default_rng(1)
    q, k = (np.repeat(rng.normal(size=(1, 1, 1, 8)), 5, axis=1) for _ in range(2))
    scores = np.einsum("bihd,bjhd->ij", rotate(q, 100.0), rotate(k, 100.0))
    assert np.allclose(np.diag(scores, 1), scores[0, 1]) and np.allclose(np.diag(scores, -2), scores[2, 0])


def test_time_is_required():
    c = {**BASE, **VARIANTS["time"]}
    with pytest.raises(ValueError, match=r"forward: .*time"):
        forward(c, random_weights(c), np.zeros((1, 3), dtype=int))
