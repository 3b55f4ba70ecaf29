"""Resuming a run: which settings may differ from those that it began with, and which contradict it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymdm.bundled import is_bundled
from pymdm.data.corpus import HUGGING_FACE
from pymdm.train.recipe import Recipe
from pymdm.train.state import Numbers

# The budget, when to look and to save, and what the run uses of which machine. Where the text lies may change, the text
# may not: its hash is compared.
BUDGET, LOOKING = ("steps", "minutes"), ("eval_every", "eval_tokens", "save_every", "save_minutes")
MACHINE, PLACE = ("threads", "device", "parallel", "compile", "recompute"), ("source", "held_out")
MAY_CHANGE = frozenset((*BUDGET, *LOOKING, *MACHINE, *PLACE))


def absolute_sources(recipe: Recipe) -> Recipe:
    """The recipe with its text's place as seen from any folder."""
    start = recipe.init_from
    if start is not None and not is_bundled(start):
        start = _absolute(start)
    return replace(recipe, source=_absolute(recipe.source), held_out=_absolute(recipe.held_out), init_from=start)


def _absolute(source: str | None) -> str | None:
    return source if source is None or source.startswith(HUGGING_FACE) else os.path.abspath(source)


def resumed_recipe(stored: Recipe, given: Mapping[str, Any], numbers: Numbers, out: Path) -> Recipe:
    """The settings of a run that goes on.

    Args:
        stored: those that it has.
        given: those that the user names now.
        numbers: how far it is.
        out: its folder, for messages.

    Raises:
        ValueError: a setting that contradicts the run; a budget that is spent.
    """
    for name, value in given.items():
        value = tuple(value) if isinstance(value, list) else value
        before = getattr(stored, name)
        if name not in MAY_CHANGE and value != before:
            raise ValueError(
                f"train: the run in {out} has {name} {before}, which cannot become {value} when it goes on"
            )
    changes = {name: value for name, value in given.items() if name in MAY_CHANGE}
    if (changes.get("steps") is None) != (changes.get("minutes") is None):  # one replaces the other
        changes = {"steps": None, "minutes": None} | {k: v for k, v in changes.items() if v is not None}
    recipe = absolute_sources(replace(stored, **changes))
    if recipe.steps is not None and recipe.steps < numbers.step:
        raise ValueError(f"train: the run in {out} has done {numbers.step} steps already, more than {recipe.steps}")
    spent = recipe.steps is not None and recipe.steps == numbers.step
    if numbers.finished and (spent or (recipe.minutes is not None and 60 * recipe.minutes <= numbers.seconds)):
        raise ValueError(
            f"train: {out} holds no unfinished run to resume; more --steps or --minutes lets this one go on"
        )
    return recipe
