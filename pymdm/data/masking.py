"""Inputs of a network in training and evaluation: masked tokens, or the shifted sequence of a causal network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def draw_masks(counts: NDArray[np.int64], length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each row a uniformly random set of exactly counts[i] of L positions -> bool [B, L]."""
    order = rng.random((len(counts), length)).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return order < np.asarray(counts)[:, None]


def causal_inputs(tokens: Tensor, mask_id: int) -> Tensor:
    """What a causal network reads to predict `tokens` [B, L]: the mask as the start, then all tokens but the last."""
    return torch.cat([torch.full_like(tokens[:, :1], mask_id), tokens[:, :-1]], dim=1)
