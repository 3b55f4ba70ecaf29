"""Refuses options that the chosen objective, optimizer, vocabulary or kind of text does not use."""

from __future__ import annotations

from collections.abc import Collection

from pymdm.data.tokens import is_data_folder
from pymdm.train.objective import WEIGHTED
from pymdm.train.recipe import Recipe


def check_given(recipe: Recipe, given: Collection[str]) -> None:
    """Refuse settings that a user names and that this recipe has no use for.

    Args:
        recipe: what will be run.
        given: names of the settings that the user chose.

    Raises:
        ValueError: the first such setting, and what it belongs to.

    Example:
        >>> check_given(Recipe(steps=1, objective="continuous"), {"objective", "schedule"})
    """
    tokens = is_data_folder(recipe.source)
    objective = f"--objective {recipe.objective}"
    rules = (
        ("weight_power", recipe.objective in WEIGHTED, "mask counts, --objective count or order-agnostic", objective),
        ("weights", recipe.objective in WEIGHTED, "mask counts, --objective count or order-agnostic", objective),
        ("weight_power", recipe.weights is None, "runs without --weights, which say it all", "both"),
        ("draw", recipe.objective not in ("autoregressive", "any-order"), "objectives that mask", objective),
        (
            "schedule",
            recipe.objective == "continuous" or recipe.conditioning == "time",
            "--objective continuous or --conditioning time",
            f"{objective} --conditioning {recipe.conditioning}",
        ),
        ("block_length", recipe.objective == "block", "--objective block", objective),
        ("muon_lr", recipe.optimizer == "muon", "--optimizer muon", f"--optimizer {recipe.optimizer}"),
        ("vocab", not tokens, "text; tokens have their vocabulary", f"the tokens in {recipe.source}"),
        ("vocab_size", not tokens, "text; tokens have their vocabulary", f"the tokens in {recipe.source}"),
        ("held_out", not tokens, "text; tokens have their held-out side", f"the tokens in {recipe.source}"),
        ("vocab_size", recipe.vocab == "bpe", "--vocab bpe", f"--vocab {recipe.vocab}"),
    )
    for name, used, owner, got in rules:
        if name in given and not used:
            raise ValueError(f"train: --{name.replace('_', '-')} belongs to {owner}; got {got}")
