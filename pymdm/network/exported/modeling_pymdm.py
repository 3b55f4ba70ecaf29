"""A masked transformer trained with pymdm, for transformers: AutoModelForMaskedLM with trust_remote_code=True."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput


class PymdmConfig(PretrainedConfig):
    """`pymdm` holds the shapes and switches of `pymdm.ModelConfig`."""

    model_type = "pymdm"

    def __init__(self, pymdm=None, **kwargs):
        self.pymdm = pymdm or {}
        super().__init__(**kwargs)


class Linear(nn.Linear):
    """Products in the weights' dtype; all else, the residual stream too, is float32."""

    def forward(self, x):
        return super().forward(x.to(self.weight.dtype)).float()


class Norm(nn.Module):
    def __init__(self, c, size=None, bias=None):
        super().__init__()
        self.kind, self.eps = c["norm"], c["norm_eps"]
        size = c["width"] if size is None else size
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if (c["norm_bias"] if bias is None else bias) else None

    def forward(self, x):
        weight, bias = self.weight.float(), None if self.bias is None else self.bias.float()
        if self.kind == "layernorm":
            return F.layer_norm(x, x.shape[-1:], weight, bias, self.eps)
        y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * weight
        return y if bias is None else y + bias


class Block(nn.Module):
    def __init__(self, c, layer=0):
        super().__init__()
        self.c = c
        D, hd, inner = c["width"], c["head_dim"], c["mlp_width"]
        self.norm1, self.norm2 = Norm(c) if layer > 0 or c["first_norm"] else nn.Identity(), Norm(c)
        if c["qk_norm"] != "none":
            sizes = (hd, hd) if c["qk_norm"] == "head" else (c["heads"] * hd, c["kv_heads"] * hd)
            self.q_norm, self.k_norm = (Norm(c, size, bias=False) for size in sizes)
        self.qkv = Linear(D, (c["heads"] + 2 * c["kv_heads"]) * hd, bias=c["qkv_bias"])
        self.out = Linear(c["heads"] * hd, D, bias=c["out_bias"])
        self.mlp_in = Linear(D, 2 * inner if c["mlp"] in ("swiglu", "geglu") else inner, bias=c["mlp_bias"])
        self.mlp_out = Linear(inner, D, bias=c["mlp_bias"])
        if c["conditioning"] != "none":
            self.ada = Linear(c["cond_dim"], 6 * D)

    def attention(self, x, turn, mask):
        c, (B, L, _) = self.c, x.shape
        hd = c["head_dim"]
        q, k, v = self.qkv(x).split([c["heads"] * hd, c["kv_heads"] * hd, c["kv_heads"] * hd], dim=-1)
        if c["qk_norm"] == "all":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (p.view(B, L, -1, hd) for p in (q, k, v))
        if c["qk_norm"] == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (p.transpose(1, 2) for p in (q, k, v))
        share = c["heads"] // c["kv_heads"]
        k, v = (t.repeat_interleave(share, dim=1) for t in (turn(k), v))
        y = F.scaled_dot_product_attention(
            turn(q), k, v, attn_mask=mask, is_causal=c["attention"] == "causal" and mask is None
        )
        return self.out(y.transpose(1, 2).reshape(B, L, -1))

    def mlp(self, x):
        h = self.mlp_in(x)
        if self.c["mlp"] in ("swiglu", "geglu"):
            gate, up = h.chunk(2, dim=-1)
            return self.mlp_out((F.silu(gate) if self.c["mlp"] == "swiglu" else F.gelu(gate)) * up)
        return self.mlp_out(gelu(self.c, h))

    def forward(self, x, turn, mask, cond):
        if self.c["post_norm"]:
            x = self.norm1(x + self.attention(x, turn, mask))
            return self.norm2(x + self.mlp(x))
        zero, one = torch.zeros(()), torch.ones(())
        mods = [zero, zero, one, zero, zero, one] if cond is None else self.ada(cond)[:, None].chunk(6, dim=-1)
        x = x + mods[2] * self.attention(self.norm1(x) * (1 + mods[1]) + mods[0], turn, mask)
        return x + mods[5] * self.mlp(self.norm2(x) * (1 + mods[4]) + mods[3])


def gelu(c, x):
    return F.gelu(x, approximate="tanh" if c["mlp"] == "gelu" else "none")


class Head(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = None if c["tied_head"] else nn.Parameter(torch.zeros(c["vocab_size"], c["embed_dim"]))
        self.bias = nn.Parameter(torch.zeros(c["vocab_size"])) if c["head_bias"] else None


class PymdmForMaskedLM(PreTrainedModel):
    """Logits [B, L, V] of tokens [B, L]; `time` [B] in (0, 1] where the network is conditioned on it."""

    config_class = PymdmConfig
    base_model_prefix = "model"

    def __init__(self, config):
        super().__init__(config)
        c = self.c = config.pymdm
        D = c["width"]
        E = c["embed_dim"]
        self.embed = nn.Embedding(max(c["vocab_size"], c["mask_id"] + 1), E)
        self.blocks = nn.ModuleList(Block(c, i) for i in range(1 if c["shared_layers"] else c["layers"]))
        if c["positions"] == "learned":
            self.positions = nn.Embedding(c["length"], E)
        if c["embed_norm"]:
            self.embed_norm = Norm(c, E)
        if E != D:
            self.embed_map = Linear(E, D)
        if not c["post_norm"]:
            self.norm_final = Norm(c)
        if c["head_transform"]:
            self.head_dense, self.head_norm = Linear(D, E), Norm(c, E)
        if c["conditioning"] != "none":
            C = c["cond_dim"]
            self.time_mlp = nn.Sequential(Linear(256, C), nn.SiLU(), Linear(C, C))
            self.ada_final = Linear(C, 2 * D)
        self.head = Head(c)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(0.0, 0.02)

    def condition(self, time, B, device):
        c = self.c
        if c["conditioning"] == "none":
            return None
        if c["conditioning"] == "constant":
            time = torch.zeros(B, device=device)
        if time is None:
            raise ValueError("this network is conditioned on time: give time [B]")
        if c["time_input"] == "sigma" and c["conditioning"] == "time":
            time = -torch.log1p(-(1 - 1e-3) * time.double())
        angle = time.float()[:, None] * torch.exp(-math.log(10000.0) * torch.arange(128, device=device) / 128)
        return F.silu(self.time_mlp(torch.cat([angle.cos(), angle.sin()], dim=-1)))

    def turn(self, L, device, base):
        """Rotary positions of [B, h, L, hd], or nothing where positions are learned."""
        c = self.c
        half = c["head_dim"] // 2
        angle = torch.arange(L, device=device).float()[:, None] * base ** (
            -torch.arange(half, device=device).float() / half
        )
        cos, sin = angle.cos(), angle.sin()

        def rotate(x):
            a, b = x.chunk(2, dim=-1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

        return (lambda x: x) if c["positions"] == "learned" else rotate

    def forward(self, input_ids, attention_mask=None, time=None, labels=None, **kwargs):
        c, (B, L) = self.c, input_ids.shape
        x = self.embed(input_ids).float()
        if c["token_dropout"]:
            masked = (input_ids == c["mask_id"])[..., None]
            known = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            share = (masked[..., 0] * known).sum(1) / known.sum(1)
            x = x.masked_fill(masked, 0.0) * (0.88 / (1 - share))[:, None, None]
        if c["positions"] == "learned":
            x = x + self.positions.weight[:L].float()
        if c["embed_norm"]:
            x = self.embed_norm(x)
        if c["embed_dim"] != c["width"]:
            x = self.embed_map(x)
        mask = None
        if attention_mask is not None and not bool(attention_mask.all()):
            mask = attention_mask[:, None, None, :].bool()
            if c["attention"] == "causal":
                mask = mask & torch.ones(L, L, dtype=torch.bool, device=mask.device).tril()
        cond, device = self.condition(time, B, input_ids.device), input_ids.device
        turn, near = self.turn(L, device, c["rope_base"]), None
        if c["window"] > 0:
            at = torch.arange(L, device=device)
            near = (at[:, None] - at).abs() <= c["window"]
            near = near.tril() if c["attention"] == "causal" else near
            near = near if mask is None else near & mask
            near_turn = self.turn(L, device, c["local_rope_base"])
        for i in range(c["layers"]):
            block = self.blocks[0 if c["shared_layers"] else i]
            local = c["window"] > 0 and i % c["full_every"] != 0
            x = block(x, near_turn if local else turn, near if local else mask, cond)
        if not c["post_norm"]:
            x = self.norm_final(x)
        if cond is not None:
            shift, scale = self.ada_final(cond)[:, None].chunk(2, dim=-1)
            x = x * (1 + scale) + shift
        if c["head_transform"]:
            x = self.head_norm(gelu(c, self.head_dense(x)))
        weight = self.embed.weight[: c["vocab_size"]] if self.head.weight is None else self.head.weight
        logits = F.linear(x.to(weight.dtype), weight, self.head.bias).float()
        if c["logit_shift"]:
            logits = torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits)
