"""A training step that scores masked positions only, in chunks, beside plain PyTorch that computes all logits [B, L, V].

Both take the same network, noise and AdamW; their losses and gradients are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pymdm.bench import common
from pymdm.bench.rows import row
from pymdm.bench.timing import interleaved, ratio, spread
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.objective import Noise, Objective

EXAMPLE = "pymdm bench train --batch 4 --width 512 --layers 8"
QUICK = {"batch": 1, "width": 128, "layers": 2, "rounds": 2}
MARK = 1.3


def plain_loss(model: MaskedTransformer, inputs: Tensor, tokens: Tensor, noise: Noise) -> Tensor:
    """All logits, all losses, then the masked ones weighted."""
    losses = F.cross_entropy(model(inputs).float().flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape)
    weights = torch.from_numpy(noise.masks * noise.weights[:, None]).float() / len(tokens)
    return (losses * weights).sum()


def chunked_loss(model: MaskedTransformer, inputs: Tensor, tokens: Tensor, noise: Noise) -> Tensor:
    """Losses of the masked positions, in chunks of rows."""
    rows = torch.from_numpy(noise.masks).flatten().nonzero().squeeze(1)
    weights = torch.from_numpy(noise.weights).float()[rows // tokens.shape[1]] / len(tokens)
    total, _ = model(inputs, rows=rows, targets=tokens.flatten()[rows], weights=weights)
    return total


def run(args: argparse.Namespace) -> common.Measured:
    """Time both steps.

    Raises:
        RuntimeError: the two losses or their gradients differ.
    """
    torch.manual_seed(0)
    config = ModelConfig(args.vocab, args.length, args.width, args.layers, max(1, args.width // 64))
    model = MaskedTransformer(config)
    objective, rng = Objective(), np.random.default_rng(0)
    noise = objective.noise(args.batch, args.length, rng)
    tokens = torch.from_numpy(rng.integers(args.vocab, size=(args.batch, args.length)))
    inputs = objective.inputs(tokens, torch.from_numpy(noise.masks), config.mask_id)
    forms = {"plain": plain_loss, "masked rows in chunks": chunked_loss}
    gradients = []
    for form in forms.values():
        model.zero_grad()
        form(model, inputs, tokens, noise).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    if float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) > 1e-3:
        raise RuntimeError("bench train: the two forms give different gradients")
    model.zero_grad()
    del gradients

    def stepper(form: Callable[..., Tensor]) -> Callable[[], None]:
        own = copy.deepcopy(model)
        optimizer = torch.optim.AdamW(own.parameters(), lr=1e-4)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
                loss = form(own, inputs, tokens, noise)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    seconds = interleaved({name: stepper(form) for name, form in forms.items()}, args.rounds)
    plain, ours = seconds.values()
    rows = [row(name, "seconds a step", spread(values), "s") for name, values in seconds.items()]
    rows.append(row("masked rows in chunks", "over plain", ratio(plain, ours), "x", mark=MARK, headline=True))
    masked = f"{int(noise.masks.sum()):,} of {tokens.numel():,} positions masked"
    return common.Measured({**settings(args), "layers": args.layers, "dtype": args.dtype}, rows, [masked])


def settings(args: argparse.Namespace) -> dict[str, int]:
    """Sizes B, L, V, D."""
    return {"batch": args.batch, "length": args.length, "vocab": args.vocab, "width": args.width}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this case."""
    parser.add_argument("--batch", type=common.at_least(1), default=2, help="sequences B (default 2)")
    parser.add_argument("--length", type=common.at_least(2), default=1024, help="tokens L (default 1024)")
    parser.add_argument("--vocab", type=common.at_least(2), default=50_257, help="tokens V (default 50257)")
    parser.add_argument(
        "--width", type=common.at_least(64), default=256, help="width D, a multiple of 64 (default 256)"
    )
    parser.add_argument("--layers", type=common.at_least(1), default=4, help="blocks (default 4)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of products")
    parser.add_argument("--rounds", type=common.at_least(1), default=5, help="interleaved rounds (default 5)")
