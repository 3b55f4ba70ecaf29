"""The held-out number of a run: the bound of a masked network, the exact likelihood of a causal one."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pymdm.data.packing import windows
from pymdm.data.tokens import TokenData
from pymdm.evaluate.any_order import BetaTimes
from pymdm.evaluate.autoregressive import evaluate_likelihood
from pymdm.evaluate.bound import Bound, evaluate_bound
from pymdm.evaluate.streams import evaluate_streams
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.recipe import Recipe


def held_out_bound(
    model: MaskedTransformer,
    data: TokenData,
    recipe: Recipe,
    *,
    tokens: int,
    samples: int,
    autocast: bool,
    progress: Callable[[int], None] | None = None,
) -> Bound:
    """Bound, or exact negative log-likelihood, of the first `tokens` of the held-out side.

    Args:
        model: in evaluation mode.
        data: whose held-out side is meant.
        recipe: sequence length, seed, and the schedule of a time-conditioned network.
        tokens: how many.
        samples: draws per sequence (see `evaluate_bound`).
        autocast: compute in bfloat16.
        progress: told the number of network rows done, of a masked network.
    """
    row = data.held_out[:tokens]
    characters = data.held_out_characters if len(row) == len(data.held_out) else data.characters(row)
    device = model.embed.weight.device
    pieces = (p.to(device) for p in windows(row, recipe.length))
    mask_id = data.tokenizer.mask_id
    if recipe.objective == "autoregressive":
        exact = evaluate_likelihood(model, pieces, characters=characters, autocast=autocast)
        return Bound(exact.by_sequence, exact.sizes, characters, draws=len(exact.sizes))
    if recipe.objective in ("any-order", "block"):
        return evaluate_streams(
            model,
            pieces,
            characters=characters,
            samples=max(2, samples // 2),
            seed=recipe.seed,
            autocast=autocast,
            progress=progress,
        )
    network: nn.Module = model
    if recipe.conditioning == "time":
        network = BetaTimes(model, mask_id, recipe.schedule, recipe.seed).eval()
    return evaluate_bound(
        network,
        pieces,
        mask_id,
        characters=characters,
        samples=samples,
        seed=recipe.seed,
        autocast=autocast,
        progress=progress,
    )
