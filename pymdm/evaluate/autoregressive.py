"""The exact likelihood of text under an autoregressive network (`ModelConfig.causal`), token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from pymdm.data.masking import causal_inputs
from pymdm.evaluate.cost import Cost
from pymdm.network.mu import log_mu
from pymdm.network.transformer import MaskedTransformer


class Likelihood(Cost):
    """Negative log-likelihood of a text, exact: there is no Monte Carlo error."""


@torch.no_grad()
def causal_losses(model: MaskedTransformer, tokens: Tensor) -> Tensor:
    """-log p(x_l | x_1 .. x_{l-1}) of each token, in nats.

    Args:
        model: a causal network whose output l predicts token l from inputs 0 .. l, as `causal_inputs` makes them.
        tokens: int64 [B, L], L at most the network's length.

    Returns:
        float32 [B, L].

    Raises:
        ValueError: a network that is not causal, or reads its scores elsewhere.

    Example:
        >>> from pymdm.network.config import ModelConfig
        >>> config = ModelConfig(vocab_size=5, length=8, width=8, layers=1, heads=2, attention="causal")
        >>> causal_losses(MaskedTransformer(config), torch.zeros(2, 8, dtype=torch.long)).shape
        torch.Size([2, 8])
    """
    config = model.config
    if not config.causal or config.logit_shift or config.conditioning == "time":
        raise ValueError("likelihood: needs a causal network without logit_shift and without time")
    logits = model(causal_inputs(tokens, config.mask_id)).flatten(0, 1)
    return -log_mu(logits, config.mask_id).float().gather(1, tokens.view(-1, 1)).view(tokens.shape)


def evaluate_likelihood(
    model: MaskedTransformer, sequences: Iterable[Tensor], *, characters: int = 0, autocast: bool = False
) -> Likelihood:
    """Exact negative log-likelihood, each sequence from its own start, as the bound of a masked network takes them.

    Args:
        model: a causal network; evaluated without dropout and left as it was.
        sequences: int64 [b, L] tensors, each one network call.
        characters: of the whole text, for bits per character.
        autocast: run in bfloat16 autocast.

    Raises:
        ValueError: no sequence, or a network that is not causal.
    """
    parts, sizes = [], []
    training = model.training
    model.eval()
    try:
        for batch in sequences:
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=autocast):
                losses = causal_losses(model, batch)
            parts.append(losses.double().sum(1).cpu().numpy())
            sizes += [batch.shape[1]] * len(batch)
    finally:
        model.train(training)
    if not sizes:
        raise ValueError("evaluate_likelihood: no text to evaluate")
    return Likelihood(np.concatenate(parts), np.array(sizes, dtype=np.int64), characters)


def context_windows(count: int, length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, first scored) of windows over `count` tokens; every token is scored once, in order.

    The first window scores all its tokens, each further one its last `stride` or fewer, so that they see at least
    length - stride tokens before them.

    Example:
        >>> list(context_windows(10, 6, 3))
        [(0, 6, 0), (3, 9, 6), (4, 10, 9)]
    """
    if not 1 <= stride <= length:
        raise ValueError(f"likelihood: stride must be in 1..{length}, got {stride}")
    scored = 0
    while scored < count:
        end = min(count, scored + (stride if scored else length))
        yield max(0, end - length), end, scored
        scored = end
