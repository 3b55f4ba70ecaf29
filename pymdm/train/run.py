"""`pymdm.train`: a model from text, in one call; its settings are those of `pymdm train`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymdm.data.corpus import Corpus
from pymdm.data.tokens import TokenData
from pymdm.network.loading import Model, model_of
from pymdm.sampling.check import boolean, described, path
from pymdm.train.choices import check_given
from pymdm.train.log import Progress
from pymdm.train.loop import train as run
from pymdm.train.recipe import Recipe, settings
from pymdm.train.recipe import preset as make_recipe


def train(
    source: str | os.PathLike[str] | Corpus | TokenData | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **changes: Any,
) -> Model:
    """Trains a masked diffusion model, or its autoregressive twin, and evaluates it on text that was held out.

    Args:
        source: text file or folder, JSON lines, hf:NAME, a folder made by `pymdm data`, or a corpus in memory (what
            `load_corpus` of `pymdm.train` gives); default Python's own documentation.
        out: checkpoint folder to write; None keeps the model in memory.
        preset: settings to start from, "demo" (default) or "bundled".
        on_progress: called with a `Progress` after every step, evaluation and save.
        resume: go on with the run in `out`. overwrite: replace the model that is there.
        changes: settings by name, such as steps=100 or vocab="char": the options of `pymdm train`, the fields of
            `pymdm.train.recipe.Recipe`.

    Returns:
        The model, which `pymdm.sample` and `pymdm.evaluate` take; `.training` says how it was made, with the held-out
        bits per character in `.training["held_out"]`.

    Raises:
        ValueError, TypeError: bad text, settings or folder; nothing has been written then.
        RuntimeError: the loss stopped being finite.
        KeyboardInterrupt: Ctrl-C; with `out`, the run has been saved.

    Example:
        >>> model = train(steps=2, vocab="char", length=16, width=16, layers=1, heads=2, eval_tokens=512)
        >>> model.training["steps"]
        2
    """
    corpus = source if isinstance(source, Corpus | TokenData) else None
    if source is not None and corpus is None:
        changes["source"] = path("source", source, "train")
    folder = Path(path("out", out, "train")) if out is not None else None
    resume, overwrite = boolean("resume", resume, "train"), boolean("overwrite", overwrite, "train")
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"train: on_progress must be a function, got {described(on_progress)}")
    unknown = sorted(changes.keys() - Recipe.__dataclass_fields__.keys())
    if unknown:
        raise TypeError(f"train: unknown setting {unknown[0]!r}; the settings are the options of `pymdm train`")
    recipe: Any = settings(preset, changes)
    if not resume:
        recipe = make_recipe(preset or "demo", **changes)
        check_given(recipe, changes)
    return model_of(run(recipe, folder, corpus=corpus, on_progress=on_progress, resume=resume, overwrite=overwrite))
