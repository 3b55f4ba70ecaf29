"""The trainable denoiser: a pre-norm transformer that reads a partly masked sequence and scores every position.

This is the plain PyTorch form, in the order of the formulas. Sampling runs the same forward in C++ from the same
parameter names; this one is for training and for being the reference of that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pymdm.network.attention import Sight, sight_of
from pymdm.network.config import ModelConfig
from pymdm.network.cross_entropy import cross_entropy
from pymdm.network.layers import Block, Head, Norm, gelu

TIME_FEATURES = 256  # sinusoid dimensions that enter the time network
SIGMA_EPS = 1e-3  # of sigma(t) = -log(1 - (1 - eps) t), the log-linear noise of SEDD and MDLM


def rotary_angles(
    length: int, head_dim: int, base: float, yarn: float = 1.0, yarn_length: int = 0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each float32 [length, head_dim], halves repeated (rotate-half form)."""
    inverse = 1.0 / base ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    if yarn > 1:  # see ModelConfig
        first, last = (head_dim * math.log(yarn_length / (n * 2 * math.pi)) / (2 * math.log(base)) for n in (32, 1))
        low, high = max(math.floor(first), 0), min(math.ceil(last), head_dim - 1)
        share = ((torch.arange(head_dim // 2) - low) / (high - low if high > low else 1e-3)).clamp(0, 1)
        inverse = inverse * (1 - share) + inverse / yarn * share
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def time_features(time: Tensor) -> Tensor:
    """Sinusoid of times [B] -> float32 [B, 256], cosines then sines, periods up to 10,000."""
    half = TIME_FEATURES // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=time.device) / half)
    angles = time.float()[:, None] * frequency
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class MaskedTransformer(nn.Module):
    """Predicts every position's token from a sequence in which some positions hold the mask id.

    Args:
        config: shapes and switches; initial weights come from torch's global generator.

    Raises:
        TypeError: no `ModelConfig`.

    Example:
        >>> model = MaskedTransformer(ModelConfig(vocab_size=10, length=8, width=16, layers=1, heads=2))
        >>> model(torch.full((2, 8), 10)).shape
        torch.Size([2, 8, 10])
    """

    cos: Tensor  # [length, head_dim]
    sin: Tensor
    local_cos: Tensor  # of local layers
    local_sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        if not isinstance(config, ModelConfig):
            raise TypeError(f"MaskedTransformer: config must be a ModelConfig, got {type(config).__name__}")
        super().__init__()
        self.config = config
        self.recompute = False  # activation checkpointing: keep only the blocks' inputs for the backward pass
        self.embed = nn.Embedding(config.embed_rows, config.embed_dim)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.blocks))
        if config.positions == "learned":
            self.positions = nn.Embedding(config.length, config.embed_dim)
        if config.embed_norm:
            self.embed_norm = Norm(config, config.embed_dim)
        if config.embed_dim != config.width:
            self.embed_map = nn.Linear(config.embed_dim, config.width)
        if not config.post_norm:
            self.norm_final = Norm(config)
        if config.head_transform:
            self.head_dense = nn.Linear(config.width, config.embed_dim)
            self.head_norm = Norm(config, config.embed_dim)
        if config.conditioning != "none":
            self.time_mlp = nn.Sequential(
                nn.Linear(TIME_FEATURES, config.cond_dim), nn.SiLU(), nn.Linear(config.cond_dim, config.cond_dim)
            )
            self.ada_final = nn.Linear(config.cond_dim, 2 * config.width)
        self.head = Head(config)
        self.reset_buffers()
        self.reset_parameters()

    @classmethod
    def from_state(cls, config: ModelConfig, state: Mapping[str, Tensor]) -> MaskedTransformer:
        """A network with copies of the given weights, float32 and in evaluation mode; draws nothing at random."""
        with torch.device("meta"):
            model = cls(config)
        model = model.to_empty(device="cpu")
        model.reset_buffers()
        model.load_state_dict({name: t.float() for name, t in state.items()})
        return model.eval()

    def reset_buffers(self) -> None:
        """Compute the rotary tables anew, float32 [length, head_dim] each, beside the embedding."""
        c = self.config
        bases = {"": c.rope_base} | ({"local_": c.local_rope_base} if c.window > 0 else {})
        for name, base in bases.items():
            cos, sin = rotary_angles(c.length, c.head_dim, base, c.yarn, c.yarn_length)
            if c.positions == "learned":
                cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
            self.register_buffer(f"{name}cos", cos.to(self.embed.weight.device), persistent=False)
            self.register_buffer(f"{name}sin", sin.to(self.embed.weight.device), persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Normal 0.02, residual outputs divided by sqrt(2 * layers), biases and adaLN zero, norms one."""
        for name, p in self.named_parameters():
            if name.endswith("bias") or ".ada." in name or name.startswith("ada_final"):
                p.zero_()
            elif name.endswith(("out.weight",)):
                p.normal_(0.0, 0.02 / math.sqrt(2 * self.config.layers))
            elif "norm" not in name:
                p.normal_(0.0, 0.02)

    def forward(
        self,
        tokens: Tensor,
        time: Tensor | None = None,
        rows: Tensor | None = None,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        rank: Tensor | None = None,
        sight: Sight | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Score tokens, or with `targets` the loss of those scores without the scores themselves.

        Args:
            tokens: int64 [B, L], mask id where the token is unknown; 1 <= L <= config.length.
            time: float [B] in [0, 1]; required when conditioning is "time", not used otherwise.
            rows: int64 [M], flat indices into B*L of the positions wanted; default all.
            targets: int64 [M], the right tokens of `rows`, which are then required.
            weights: float [M], with `targets`; default all 1.
            rank: int64 [B, L], of attention "any-order": when each known token became known, 0, 1, ...; -1 where it was given;
                default all were. Entries at masks are not read.
            sight: where `tokens` are not sequences as they stand but rows of them, L of them at most 2 * config.length: what
                each row sees (training, see `pymdm.network.attention`).

        Returns:
            Logits [B, L, V], or [M, V] with `rows`. The mask has no logit when it is not among the V scored ids; when it
            is, its column has no part in the law or the loss (see `pymdm.network.mu`).
            With `targets` (sum of weights times losses, losses float32 [M] without gradient), see `cross_entropy`.

        Raises:
            ValueError: a shape, length or missing time as above.

        Source: arXiv 2409.02908, sections 2 and 3 (the network needs no time, Proposition 3.2).
        """
        c = self.config
        most = c.length if sight is None else 2 * c.length
        if tokens.dim() != 2 or not 1 <= tokens.shape[1] <= most:
            raise ValueError(f"forward: tokens must be [B, L] with 1 <= L <= {most}, got {tuple(tokens.shape)}")
        if rank is not None and (c.attention != "any-order" or rank.shape != tokens.shape):
            raise ValueError(
                f"forward: rank [B, L] belongs to attention 'any-order', got {tuple(rank.shape)} with {c.attention!r}"
            )
        if targets is not None and (rows is None or rows.shape != targets.shape):
            raise ValueError("forward: targets [M] need rows [M]")
        B, L = tokens.shape
        cond = self._condition(time, B, tokens.device)
        if rows is not None and c.logit_shift:  # the scores of l are read at l - 1
            rows = torch.where(rows % L == 0, rows, rows - 1)
        sight = sight_of(c, tokens, rank) if sight is None else sight
        position = torch.arange(L, device=tokens.device) if sight is None else sight.position
        seen = None if sight is None else sight.mask()
        x = self._embed(tokens, position)
        for i in range(c.layers):
            block = self.blocks[0 if c.shared_layers else i]
            cos, sin, see = self.cos, self.sin, seen
            if c.local(i):
                cos, sin, see = self.local_cos, self.local_sin, self._near(L)
            arguments = (x, cos[position], sin[position], cond, rows if i == c.layers - 1 else None, see)
            x = checkpoint(block, *arguments, use_reentrant=False) if self.recompute else block(*arguments)
        if not c.post_norm:
            x = self.norm_final(x)
        if cond is not None:
            shift, scale = self.ada_final(cond).unsqueeze(1).chunk(2, dim=-1)
            if rows is not None:
                shift, scale = (m.expand(B, L, c.width).reshape(B * L, c.width)[rows] for m in (shift, scale))
            x = x * (1 + scale) + shift
        if c.head_transform:
            x = self.head_norm(gelu(c, self.head_dense(x)))
        weight = self.embed.weight[: c.vocab_size] if self.head.weight is None else self.head.weight
        if targets is not None:
            return cross_entropy(x, weight, self.head.bias, targets, weights, mask_id=c.mask_id)
        logits = F.linear(x, weight, self.head.bias)
        if rows is None and c.logit_shift:
            logits = torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
        return logits

    def _near(self, length: int) -> Tensor:
        """Which positions a local layer sees, bool [L, L]."""
        at = torch.arange(length, device=self.cos.device)
        near = (at[:, None] - at).abs() <= self.config.window
        return near & (at[:, None] >= at) if self.config.causal else near

    def _embed(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Embeddings [B, L, D] with what the config adds to them."""
        c = self.config
        x = self.embed(tokens)
        if c.token_dropout:
            masked = (tokens == c.mask_id)[..., None]
            x = x.masked_fill(masked, 0.0) * (0.88 / (1 - masked.float().mean(1, keepdim=True)))
        if c.positions == "learned":
            x = x + self.positions(position)
        x = self.embed_norm(x) if c.embed_norm else x
        return self.embed_map(x) if c.embed_dim != c.width else x

    def _condition(self, time: Tensor | None, B: int, device: torch.device) -> Tensor | None:
        if self.config.conditioning == "none":
            return None
        if self.config.conditioning == "constant":
            time = torch.zeros(B, device=device)
        elif time is None or time.shape != (B,):
            got = "none" if time is None else tuple(time.shape)
            raise ValueError(f"forward: a time-conditioned network needs time [B] with B = {B}, got {got}")
        elif self.config.time_input == "sigma":
            time = -torch.log1p(-(1 - SIGMA_EPS) * time.double())
        return F.silu(self.time_mlp(time_features(time)))


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter of a `MaskedTransformer` with this config, without allocating any.

    Two blocks are built, on the device "meta", whatever the number of layers: from the second on they are alike.
    """
    few = min(config.blocks, 2)
    with torch.device("meta"):
        some = MaskedTransformer(replace(config, layers=few)).state_dict()
    last = f"blocks.{few - 1}."
    block = [name for name in some if name.startswith(last)]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, parameter in some.items():
        if name not in block:
            shapes[name] = tuple(parameter.shape)
        elif name == block[0]:
            for layer in range(few - 1, config.blocks):
                shapes |= {f"blocks.{layer}.{n.removeprefix(last)}": tuple(some[n].shape) for n in block}
    return shapes
