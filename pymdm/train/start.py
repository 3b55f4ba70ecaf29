"""The starting point of training: initial weights in which attention already looks at the neighbours.

A masked model started at random first learns single-token frequencies and stays there for many steps until its heads
find out that the next position matters. Rotary attention can be told: with a query bias and a key bias alone, the score
of position j seen from l is a fixed function of j - l, so each head can begin as a soft shift by a chosen offset.
"""

from __future__ import annotations

import torch

from pymdm.network.layers import Block
from pymdm.network.transformer import MaskedTransformer

OFFSETS = ((-1, 1, -2, 2), (-1, 1, -3, 3))  # of the heads, in even and in odd blocks
CAUSAL_OFFSETS = ((0, -1, -2, -3), (0, -1, -2, -4))  # of a network that sees what came before only


@torch.no_grad()
def look_at_neighbours(model: MaskedTransformer, sharpness: float) -> None:
    """Set query and key biases so that head h of a block starts with its attention at offset o_h.

    With k = s (1, 0) and q = s (cos(o theta_i), sin(o theta_i)) in each rotary pair i, the score is
    s^2 / sqrt(hd) * sum_i cos(theta_i (j - l - o)), largest at j = l + o.

    Args:
        model: a network with `qkv_bias`; only those biases change.
        sharpness: s^2.

    Raises:
        ValueError: the network has no query and key biases.
    """
    c = model.config
    if not c.qkv_bias:
        raise ValueError("look_at_neighbours: the network needs qkv_bias")
    half = c.head_dim // 2
    theta = 1.0 / c.rope_base ** (torch.arange(half, dtype=torch.float32) / half)
    ones, zeros = torch.ones(half), torch.zeros(half)
    for i, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        offsets = (CAUSAL_OFFSETS if c.causal else OFFSETS)[i % len(OFFSETS)]
        bias = torch.zeros(c.heads + 2 * c.kv_heads, c.head_dim)
        for h in range(c.heads):
            turn = offsets[h % len(offsets)] * theta
            bias[h] = torch.cat([turn.cos(), turn.sin()])
        bias[c.heads : c.heads + c.kv_heads] = torch.cat([ones, zeros])
        block.qkv.bias.copy_(bias.flatten() * sharpness**0.5)
