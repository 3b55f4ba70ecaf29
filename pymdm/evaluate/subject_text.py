"""Which text a checkpoint is evaluated on: what its training held out, or another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.bundled import folder_of
from pymdm.data.files import read_text, text_suffix
from pymdm.data.packing import pack
from pymdm.data.round_trip import lost_share
from pymdm.evaluate.subject import Subject
from pymdm.network.checkpoint import Checkpoint, load_checkpoint
from pymdm.network.loading import Model, is_foreign

EMBEDDED = "held-out documentation of the running Python"


def load_subject(
    model: str | os.PathLike[str] | Checkpoint | None = None,
    text: str | os.PathLike[str] | None = None,
    limit: int = 0,
) -> Subject:
    """A checkpoint with its own held-out text, or with any other.

    Args:
        model: checkpoint folder, or a checkpoint; default "bundled:any-order".
        text: UTF-8 file, or folder of text files, to evaluate on instead (zero-shot). Nothing that the checkpoint names is
            opened or downloaded then, so there is no training text to count n-grams on but that of this Python's prose.
        limit: sequences to take, evenly spread; 0 for all.

    Raises:
        ValueError: an unreadable checkpoint or text, or one that the tokenizer cannot spell.

    Example:
        >>> load_subject().config.length
        256
    """
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        checkpoint = load_checkpoint(folder_of(model))
    recipe = checkpoint.training.get("recipe", {})
    subject = Subject(checkpoint, "", np.zeros(0, dtype=np.int64), 0, "", limit=limit)
    if text is None:
        subject = _own_text(checkpoint, limit)
    elif recipe and recipe.get("held_out") is None and _is_embedded(checkpoint.training):  # this Python's own prose
        subject = replace(subject, train_text=_own_text(checkpoint, limit).train_text)
    if text is not None:
        whole = _read(text)
        tokens, kept = pack(checkpoint.tokenizer, [whole])
        name = Path(text).name
        lost = lost_share([whole], kept, name)
        subject = replace(subject, text_name=name, tokens=tokens, characters=kept, lost=lost)
    if not len(subject.tokens):
        raise ValueError("evaluate: there is no text to evaluate")
    return subject


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it.

    Attributes:
        tokens: int64 [T]. text_name: what the text is. train_text: what n-grams are counted on, "" where there is none.
    """

    tokens: NDArray[np.int64]
    text_name: str
    train_text: str = field(repr=False)


def read_with(
    loaded: Model, model: str | os.PathLike[str] | None = None, text: str | os.PathLike[str] | None = None
) -> Reading:
    """The text that a loaded model is measured on: as of `load_subject`; of a checkpoint of others any that is given.

    Args:
        loaded: the model. model: the path it was loaded from, None: "bundled:any-order".
        text: UTF-8 file, or folder of text files.

    Raises:
        ValueError: as `load_subject`; a checkpoint of others without a text or a tokenizer, or with a frame.
    """
    if model is None or not is_foreign(model):
        subject = load_subject(model, text)
        return Reading(subject.tokens, subject.text_name, subject.train_text)
    if text is None:
        raise ValueError("evaluate: a checkpoint of others does not say what it was trained on; give a text")
    if loaded.tokenizer is None or any(loaded.frame):
        what = "has no tokenizer" if loaded.tokenizer is None else "puts a frame around its sequences"
        raise ValueError(f"evaluate: {loaded.name} {what}, so it is not measured on a text")
    whole = _read(text)
    return Reading(np.array(loaded.tokenizer.encode(whole), dtype=np.int64), Path(text).name, whole)


def _read(source: str | os.PathLike[str]) -> str:
    """All of a text file or folder."""
    from pymdm.data.corpus import LINE_SUFFIXES, load_corpus

    path = Path(source)
    try:
        if path.is_file() and text_suffix(path) not in LINE_SUFFIXES:
            return read_text(path)
        corpus = load_corpus(path)
    except ValueError as error:
        raise ValueError(str(error).replace("corpus:", "evaluate:", 1)) from None
    return corpus.train_text + corpus.held_out_text


def _is_embedded(training: Mapping[str, Any]) -> bool:
    """Whether a model learnt from this Python's prose; a corpus that was in memory has no source either, but a name."""
    return training["recipe"].get("source") is None and training.get("corpus", {}).get("name", "embedded") == "embedded"


def _own_text(checkpoint: Checkpoint, limit: int) -> Subject:
    """The text that was held out when a checkpoint was trained, cut as its recipe says."""
    from pymdm.data.corpus import load_corpus
    from pymdm.data.tokens import encode_corpus, is_data_folder, load_data
    from pymdm.evaluate.ngram import COUNTED

    training = checkpoint.training
    if "recipe" not in training:
        raise ValueError("evaluate: this checkpoint does not say what it was trained on; give a text")
    source, held_out = training["recipe"].get("source"), training["recipe"].get("held_out")
    if source is None and held_out is None and not _is_embedded(training):
        raise ValueError(
            f"evaluate: the text {training['corpus']['name']} was in memory when the model was trained; give one"
        )
    if is_data_folder(source):
        data = load_data(source)
    else:
        data = encode_corpus(load_corpus(source, held_out), checkpoint.tokenizer)
    learnt = training.get("corpus", {}).get("sha256", data.sha256)
    note = "" if learnt == data.sha256 else f"{data.name} is no longer the text that the model was trained on"
    name = EMBEDDED if source is None else f"held-out side of {Path(source).name}"
    whole = len(data.held_out)
    row = np.asarray(data.held_out[: training["recipe"].get("eval_tokens", whole)], dtype=np.int64)
    characters = data.held_out_characters if len(row) == whole else data.characters(row)
    train_text = data.text(data.train[:COUNTED])
    return Subject(checkpoint, name, row, characters, train_text, note, limit, data.unit, data.lost)
