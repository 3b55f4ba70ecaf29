"""Finds the tokenizer of a folder, of whatever kind `tokenizers` or `transformers` reads; no code of the folder's is run."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from pymdm.data.foreign import parse_tokenizer
from pymdm.data.letters import read_letters
from pymdm.data.tokenizer import GPT2_FILES, Tokenizer
from pymdm.files.read import read_json, reason

# Classes that a folder brings as code of its own, which is not run, and the class of transformers with the same rules.
_SAME_RULES = {"DreamTokenizer": "Qwen2TokenizerFast"}


def read_tokenizer(folder: Path) -> Any | None:
    """The tokenizer of a Hugging Face folder: of `tokenizers` where its files allow, else of `transformers`; None: none.

    Raises:
        ValueError: files that cannot be read.
    """
    if (folder / "tokenizer.json").is_file():
        return _from_json(folder / "tokenizer.json")
    kind = _class_of(folder)
    for pieces, merges in GPT2_FILES:
        if (folder / pieces).is_file() and (folder / merges).is_file() and (kind is None or kind.startswith("GPT2")):
            return Tokenizer.from_gpt2(folder / pieces, folder / merges)._tokenizer
    letters = read_letters(folder)
    if letters is not None:
        return letters
    files = ("vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
    if not any((folder / name).is_file() for name in files):
        return None
    try:
        import transformers
        from transformers.utils import logging
    except ImportError:
        raise ValueError(f"load: the tokenizer of {folder} needs the package transformers") from None
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        made = getattr(transformers, _SAME_RULES.get(kind or "", "AutoTokenizer"))
        with contextlib.redirect_stderr(io.StringIO()):
            return made.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever an unknown tokenizer makes the library raise
        raise ValueError(
            f"load: cannot read the tokenizer of {folder}, give tokenizer= instead: {reason(error)}"
        ) from None
    finally:
        logging.set_verbosity(verbosity)


def open_tokenizer(path: str | os.PathLike[str]) -> Any:
    """A tokenizer from a folder that holds its files, or from a tokenizer.json.

    Raises:
        ValueError: there is none, or one that cannot be read.
    """
    source = Path(path)
    if source.is_file():
        return _from_json(source)
    found = read_tokenizer(source) if source.is_dir() else None
    if found is None:
        raise ValueError(
            f"load: no tokenizer in {source}; a folder with tokenizer.json, or with vocab.json and merges.txt"
        )
    return found


def _from_json(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"load: cannot read {file}: {reason(error)}") from None
    return parse_tokenizer(text, str(file))[0]


def _class_of(folder: Path) -> str | None:
    """The tokenizer's class by tokenizer_config.json; None where it does not say, "" where it cannot be read."""
    file = folder / "tokenizer_config.json"
    try:
        kind = read_json(file, "load").get("tokenizer_class") if file.is_file() else None
    except (ValueError, AttributeError):
        return ""
    return kind if kind is None else str(kind)
