"""Parameter groups, learning-rate curve, orthogonalised momentum, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pymdm.train.parallel import local, split_like, whole
from pymdm.train.recipe import Recipe


def learning_rate(fraction: float, warmup: float, end: float) -> float:
    """Share of the peak rate after a share `fraction` of the budget: linear rise, then half a cosine down to `end`."""
    if fraction < warmup:
        return fraction / warmup
    left = min(1.0, (fraction - warmup) / (1.0 - warmup))
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * left))


def make_optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW with weight decay on matrices only (no norms, no biases); with "muon", that for the blocks' matrices."""
    blocks, matrices, others = [], [], []
    for name, p in model.named_parameters():
        if p.dim() < 2:
            others.append(p)
        elif recipe.optimizer == "muon" and name.startswith("blocks."):
            blocks.append(p)
        else:
            matrices.append(p)
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2))
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if blocks:
        optimizers.append(Muon(blocks, lr=recipe.muon_lr, weight_decay=recipe.weight_decay))
    return optimizers


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is replaced by the nearest matrix with all singular values near 1 (Jordan et al. 2024).

    Five Newton-Schulz steps in bfloat16 stand for the singular value decomposition.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"].lerp_(p.grad, 1.0 - group["momentum"])
                nesterov = whole(p.grad.lerp(momentum, group["momentum"]))  # a matrix split over processes: all of it
                update = split_like(orthogonalise(nesterov), p)
                scale = math.sqrt(max(1.0, p.shape[0] / p.shape[1]))
                p.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Matrix with the same singular vectors and singular values between about 0.7 and 1.2 (quintic Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Average:
    """Exponential moving average of weights; the decay grows to its full value over the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights after step number `step` (from 0)."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        own = [local(self.weights[name]) for name, _ in model.named_parameters()]
        torch._foreach_lerp_(own, [local(p.detach()) for p in model.parameters()], 1.0 - decay)
