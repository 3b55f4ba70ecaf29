"""Fine-tuning: a run that begins with the weights, the tokenizer and the shape of a trained checkpoint (`init_from`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymdm.network.checkpoint import Checkpoint
    from pymdm.network.config import ModelConfig
    from pymdm.train.recipe import Recipe

SHAPE = ("length", "width", "layers", "heads", "tied_head", "rope_base", "conditioning", "cond_dim")


def initial_checkpoint(name: str) -> Checkpoint:
    """The checkpoint that a run begins with: a folder, or the name of a model in the package.

    Raises:
        ValueError: it cannot be read; the message begins with "train: init_from".
    """
    from pymdm.network.checkpoint import load_checkpoint

    try:
        return load_checkpoint(name)
    except ValueError as error:
        raise ValueError(f"train: init_from: {str(error).removeprefix('load_checkpoint: ')}") from None


def initial_settings(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint fixes.

    Args:
        name: its folder, or the name of a model in the package.
        changes: what the user named.

    Raises:
        ValueError: a setting that the user named and the checkpoint has otherwise.
    """
    from pymdm.train.objective import ATTENTION

    checkpoint = initial_checkpoint(name)
    config, trained = checkpoint.config, checkpoint.training.get("recipe", {})
    fixed = {key: getattr(config, key) for key in SHAPE} | {"vocab": checkpoint.tokenizer.kind}
    fixed["vocab_size"] = config.vocab_size
    own = {attention: objective for objective, attention in ATTENTION.items()}.get(config.attention)
    if own is not None:
        fixed |= {"objective": own} | ({"block_length": config.block_length} if own == "block" else {})
    elif changes.get("objective") == "autoregressive":
        raise ValueError(f"train: {name} is a masked model, objective autoregressive needs an autoregressive one")
    if config.conditioning == "time" and "schedule" in trained:
        fixed["schedule"] = trained["schedule"]
    for key, value in fixed.items():
        if key in changes and changes[key] != value:
            raise ValueError(f"train: {name}, which the run begins with, has {key} {value}, got {changes[key]}")
    if fixed["vocab"] != "bpe":
        del fixed["vocab_size"]
    return fixed | {"neighbours": 0.0}  # of the usual start only


def initial_config(checkpoint: Checkpoint, recipe: Recipe) -> ModelConfig:
    """The network's shape: the checkpoint's, with the recipe's dropout.

    A network that sees both ways may become one that keeps what it has seen: then its attention is that of the objective.

    Raises:
        ValueError: a recipe that has another shape.
    """
    from pymdm.train.objective import ATTENTION

    for key in SHAPE:
        value = getattr(checkpoint.config, key)
        if getattr(recipe, key) != value:
            raise ValueError(f"train: {recipe.init_from} has {key} {value}, the settings {getattr(recipe, key)}")
    has = checkpoint.config.attention, checkpoint.config.block_length
    wanted = ATTENTION.get(recipe.objective, "bidirectional"), recipe.block_length
    if has != wanted and (has[0] != "bidirectional" or wanted[0] == "causal"):
        kind = f"of attention {has[0]}" + (f" with blocks of {has[1]}" if has[1] else "")
        blocks = f" with blocks of {recipe.block_length}" if recipe.block_length else ""
        raise ValueError(f"train: {recipe.init_from} is {kind}, the objective is {recipe.objective}{blocks}")
    return replace(checkpoint.config, dropout=recipe.dropout, attention=wanted[0], block_length=wanted[1])
