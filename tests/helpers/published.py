"""Small random checkpoints in the layouts of published models, each beside an independent forward in plain torch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

State = dict[str, torch.Tensor]


class Draws:
    """Random tensors of a state dict: weights of size 1 / sqrt(inputs), norms around 1."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def weight(self, name: str, *shape: int, bias: bool = False, scale: float = 1.0) -> None:
        self.state[f"{name}.weight"] = torch.randn(*shape, generator=self.generator) * scale * shape[-1] ** -0.5
        if bias:
            self.state[f"{name}.bias"] = 0.3 * torch.randn(shape[0], generator=self.generator)

    def norm(self, name: str, size: int, bias: bool = False) -> None:
        self.state[f"{name}.weight"] = 1 + 0.2 * torch.randn(size, generator=self.generator)
        if bias:
            self.state[f"{name}.bias"] = 0.2 * torch.randn(size, generator=self.generator)


def write(folder: Path, settings: dict, state: State, name: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    save_file({k: v.contiguous() for k, v in state.items()}, folder / name)
    return folder


def rope(x: torch.Tensor, base: float) -> torch.Tensor:
    """x [B, H, L, hd], complex numbers made of the two halves, turned by l * base^(-2i/hd)."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * base ** (-torch.arange(half).double() / half)
    turned = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1).to(x.dtype)


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    heads: int,
    kv_heads: int,
    base: float | None,
    seen: torch.Tensor | None = None,
) -> torch.Tensor:
    """Projections [B, L, n * hd] -> attention's output [B, L, heads * hd]; `seen` bool [B, 1, L, L], default all."""
    B, L, _ = q.shape
    q, k, v = (t.view(B, L, n, -1).transpose(1, 2) for t, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
    if base is not None:
        q, k = rope(q, base), rope(k, base)
    k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = (scores if seen is None else scores.masked_fill(~seen, -math.inf)).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(B, L, -1)


def rms(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def dit(seed: int, V: int, D: int, layers: int, C: int, norm_bias: bool, ada: bool, prefix: str = "") -> State:
    """Tensors of MDLM's, SEDD's and RADD's DiT."""
    d = Draws(seed)
    d.state["vocab_embed.embedding"] = torch.randn(V, D, generator=d.generator)
    d.state["rotary_emb.inv_freq"] = torch.ones(4)
    for i in range(layers):
        b = f"blocks.{i}"
        d.norm(f"{b}.norm1", D, norm_bias), d.norm(f"{b}.norm2", D, norm_bias)
        d.weight(f"{b}.attn_qkv", 3 * D, D), d.weight(f"{b}.attn_out", D, D)
        d.weight(f"{b}.mlp.0", 4 * D, D, bias=True), d.weight(f"{b}.mlp.2", D, 4 * D, bias=True)
        if ada:
            d.weight(f"{b}.adaLN_modulation", 6 * D, C, bias=True)
    d.norm("output_layer.norm_final", D, norm_bias)
    d.weight("output_layer.linear", V, D, bias=True)
    if ada:
        d.weight("sigma_map.mlp.0", C, 256, bias=True), d.weight("sigma_map.mlp.2", C, C, bias=True)
        d.weight("output_layer.adaLN_modulation", 2 * D, C, bias=True)
    return {prefix + name: t for name, t in d.state.items()}


def dit_forward(
    w: State,
    tokens: torch.Tensor,
    layers: int,
    heads: int,
    sigma: torch.Tensor | None,
    seen: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits [B, L, V]; sigma [B], or None for a network without adaLN; `seen` as in `attend`."""
    D = w["vocab_embed.embedding"].shape[1]

    def layer(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (D,), w[f"{name}.weight"], w.get(f"{name}.bias"), 1e-5)

    c = None
    if sigma is not None:
        angle = sigma[:, None] * torch.exp(-math.log(10000) * torch.arange(128) / 128)
        c = F.silu(
            layer("sigma_map.mlp.2", F.silu(layer("sigma_map.mlp.0", torch.cat([angle.cos(), angle.sin()], -1))))
        )
    x = w["vocab_embed.embedding"][tokens]
    one, zero = torch.ones(1), torch.zeros(1)
    for i in range(layers):
        b = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            layer(f"{b}.adaLN_modulation", c)[:, None].chunk(6, -1)
            if c is not None
            else (zero, zero, one, zero, zero, one)
        )
        q, k, v = layer(f"{b}.attn_qkv", norm(f"{b}.norm1", x) * (1 + scale1) + shift1).chunk(3, -1)
        x = x + gate1 * layer(f"{b}.attn_out", attend(q, k, v, heads, heads, 10000.0, seen))
        h = F.gelu(layer(f"{b}.mlp.0", norm(f"{b}.norm2", x) * (1 + scale2) + shift2), approximate="tanh")
        x = x + gate2 * layer(f"{b}.mlp.2", h)
    x = norm("output_layer.norm_final", x)
    if c is not None:
        shift, scale = layer("output_layer.adaLN_modulation", c)[:, None].chunk(2, -1)
        x = x * (1 + scale) + shift
    return layer("output_layer.linear", x)


MDLM = dict(
    model_type="mdlm", architectures=["MDLM"], vocab_size=41, model_length=32, hidden_dim=32, n_blocks=2, n_heads=4,
    cond_dim=12, dropout=0.1, time_conditioning=False,
)  # fmt: skip
RADD = dict(
    tokens=40, graph={"type": "absorb"}, noise={"type": "loglinear"},
    model={"name": "small", "hidden_size": 32, "n_blocks": 2, "n_heads": 4, "length": 32, "dropout": 0.02},
)  # fmt: skip
SEDD = dict(
    tokens=40, graph={"type": "absorb", "file": "data"}, noise={"type": "loglinear", "sigma_min": 1e-4, "sigma_max": 20},
    model={"name": "small", "hidden_size": 32, "n_blocks": 2, "n_heads": 4, "length": 32, "cond_dim": 12,
           "scale_by_sigma": True},
)  # fmt: skip
LLADA = dict(
    model_type="llada", architectures=["LLaDAModelLM"], d_model=32, n_layers=2, n_heads=4, n_kv_heads=4, mlp_ratio=4,
    mlp_hidden_size=80, vocab_size=50, embedding_size=56, mask_token_id=47, eos_token_id=44, pad_token_id=44,
    rms_norm_eps=1e-5, rope_theta=500000.0, max_sequence_length=48, weight_tying=False, block_type="llama",
    activation_type="silu", layer_norm_type="rms", rope=True, alibi=False, include_bias=False,
)  # fmt: skip
DREAM = dict(
    model_type="Dream", architectures=["DreamModel"], hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=72, vocab_size=60, mask_token_id=57, pad_token_id=53, eos_token_id=53,
    rms_norm_eps=1e-6, rope_theta=1e6, max_position_embeddings=64, tie_word_embeddings=False, hidden_act="silu",
)  # fmt: skip
SMDM = dict(
    name="mdm", n_embd=32, n_layer=2, n_head=4, n_query_groups=2, intermediate_size=56, vocab_size=32,
    padded_vocab_size=32, block_size=40, norm_eps=1e-5, bias=False, rotary_percentage=1.0, parallel_residual=False,
)  # fmt: skip


def llada(seed: int, c: dict) -> State:
    d = Draws(seed)
    D, F_, hd = c["d_model"], c["mlp_hidden_size"], c["d_model"] // c["n_heads"]
    d.state["model.transformer.wte.weight"] = torch.randn(c["embedding_size"], D, generator=d.generator)
    for i in range(c["n_layers"]):
        b = f"model.transformer.blocks.{i}"
        d.norm(f"{b}.attn_norm", D), d.norm(f"{b}.ff_norm", D)
        d.weight(f"{b}.q_proj", D, D), d.weight(f"{b}.attn_out", D, D)
        d.weight(f"{b}.k_proj", c["n_kv_heads"] * hd, D), d.weight(f"{b}.v_proj", c["n_kv_heads"] * hd, D)
        d.weight(f"{b}.ff_proj", F_, D), d.weight(f"{b}.up_proj", F_, D), d.weight(f"{b}.ff_out", D, F_)
    d.norm("model.transformer.ln_f", D)
    if not c["weight_tying"]:
        d.weight("model.transformer.ff_out", c["embedding_size"], D)
    return d.state


def llada_forward(w: State, tokens: torch.Tensor, c: dict) -> torch.Tensor:
    t = "model.transformer."
    x = w[f"{t}wte.weight"][tokens]
    for i in range(c["n_layers"]):
        b = f"{t}blocks.{i}."
        h = rms(x, w[f"{b}attn_norm.weight"], c["rms_norm_eps"])
        q, k, v = (h @ w[f"{b}{n}_proj.weight"].T for n in "qkv")
        x = x + attend(q, k, v, c["n_heads"], c["n_kv_heads"], c["rope_theta"]) @ w[f"{b}attn_out.weight"].T
        h = rms(x, w[f"{b}ff_norm.weight"], c["rms_norm_eps"])
        x = x + (F.silu(h @ w[f"{b}ff_proj.weight"].T) * (h @ w[f"{b}up_proj.weight"].T)) @ w[f"{b}ff_out.weight"].T
    head = w[f"{t}wte.weight"] if c["weight_tying"] else w[f"{t}ff_out.weight"]
    return (rms(x, w[f"{t}ln_f.weight"], c["rms_norm_eps"]) @ head.T)[..., : c["vocab_size"]]


def decoder(seed: int, c: dict, qkv_bias: bool) -> State:
    """Tensors under Hugging Face's names of Llama and Qwen2."""
    d = Draws(seed)
    D, F_, hd = c["hidden_size"], c["intermediate_size"], c["hidden_size"] // c["num_attention_heads"]
    kv = c["num_key_value_heads"] * hd
    d.state["model.embed_tokens.weight"] = torch.randn(c["vocab_size"], D, generator=d.generator)
    for i in range(c["num_hidden_layers"]):
        b = f"model.layers.{i}"
        d.norm(f"{b}.input_layernorm", D), d.norm(f"{b}.post_attention_layernorm", D)
        for n, rows in (("q", D), ("k", kv), ("v", kv)):
            d.weight(f"{b}.self_attn.{n}_proj", rows, D, bias=qkv_bias)
        d.weight(f"{b}.self_attn.o_proj", D, D)
        (
            d.weight(f"{b}.mlp.gate_proj", F_, D),
            d.weight(f"{b}.mlp.up_proj", F_, D),
            d.weight(f"{b}.mlp.down_proj", D, F_),
        )
    d.norm("model.norm", D)
    if not c["tie_word_embeddings"]:
        d.weight("lm_head", c["vocab_size"], D)
    return d.state


def smdm(seed: int, c: dict) -> State:
    d = Draws(seed)
    D, F_, hd = c["n_embd"], c["intermediate_size"], c["n_embd"] // c["n_head"]
    d.state["transformer.wte.weight"] = torch.randn(c["padded_vocab_size"] + 1, D, generator=d.generator)
    for i in range(c["n_layer"]):
        b = f"transformer.h.{i}"
        d.norm(f"{b}.norm_1", D), d.norm(f"{b}.norm_2", D)
        d.weight(f"{b}.attn.attn", (c["n_head"] + 2 * c["n_query_groups"]) * hd, D), d.weight(f"{b}.attn.proj", D, D)
        d.weight(f"{b}.mlp.swiglu.w1", F_, D), d.weight(f"{b}.mlp.swiglu.w2", F_, D)
        d.weight(f"{b}.mlp.swiglu.w3", D, F_)
    d.norm("transformer.ln_f", D)
    d.weight("lm_head", c["padded_vocab_size"], D)
    return d.state


def smdm_forward(w: State, tokens: torch.Tensor, c: dict) -> torch.Tensor:
    B, L = tokens.shape
    heads, groups, hd = c["n_head"], c["n_query_groups"], c["n_embd"] // c["n_head"]
    x = w["transformer.wte.weight"][tokens]
    for i in range(c["n_layer"]):
        b = f"transformer.h.{i}."
        mixed = rms(x, w[f"{b}norm_1.weight"], c["norm_eps"]) @ w[f"{b}attn.attn.weight"].T
        mixed = mixed.view(B, L, groups, heads // groups + 2, hd)
        q, k, v = mixed[:, :, :, :-2].flatten(2), mixed[:, :, :, -2].flatten(2), mixed[:, :, :, -1].flatten(2)
        x = x + attend(q, k, v, heads, groups, 10000.0) @ w[f"{b}attn.proj.weight"].T
        h = rms(x, w[f"{b}norm_2.weight"], c["norm_eps"])
        gate, up = h @ w[f"{b}mlp.swiglu.w1.weight"].T, h @ w[f"{b}mlp.swiglu.w2.weight"].T
        x = x + (F.silu(gate) * up) @ w[f"{b}mlp.swiglu.w3.weight"].T
    return rms(x, w["transformer.ln_f.weight"], c["norm_eps"]) @ w["lm_head.weight"].T
