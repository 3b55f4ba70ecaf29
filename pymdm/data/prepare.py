"""Writes the memory-mapped tokens of `pymdm data` from documents, each followed by an end-of-text token if wanted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pymdm.data.corpus import Corpus, load_corpus
from pymdm.data.round_trip import lost_share
from pymdm.data.tokenizer import Tokenizer
from pymdm.data.tokens import KIND, SIDES, TokenData, Tokens, smallest_dtype, write_data
from pymdm.files.target import check_target

GROUP = 1024  # documents encoded at a time


def prepare_bytes(
    source: str | os.PathLike[str], out: str | os.PathLike[str], split: tuple[int, ...], made_by: str = ""
) -> TokenData:
    """The bytes of a file, cut in order into training, held-out and test side; scored in bits per byte.

    Args:
        source: any file; it need not be UTF-8.
        out: folder to write.
        split: bytes of the sides, two or three numbers; enwik8's usual ones are 90,000,000, 5,000,000, 5,000,000.
        made_by: stored with the data.

    Raises:
        ValueError: a file that is missing or shorter than the split.
    """
    check_target(out, KIND, "data")
    try:
        content = np.memmap(source, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"data: cannot read {source}: {error}") from None
    if not 2 <= len(split) <= 3 or min(split) < 1 or sum(split) > len(content):
        raise ValueError(f"data: split must be 2 or 3 positive sizes within {len(content)} bytes, got {split}")
    ends = np.cumsum(split)
    sides: dict[str, Tokens] = {
        side: content[end - size : end] for side, size, end in zip(SIDES, split, ends, strict=False)
    }
    sizes = {side: len(tokens) for side, tokens in sides.items()}
    return write_data(out, str(source), Tokenizer.train([], "byte"), sides, sizes, "byte", made_by)


def prepare_text(
    corpus: Corpus,
    out: str | os.PathLike[str],
    tokenizer: Tokenizer,
    end_of_text: bool = True,
    made_by: str = "",
) -> TokenData:
    """The documents of a corpus as two rows of tokens.

    Args:
        corpus: documents, split.
        out: folder to write.
        tokenizer: text <-> ids; gets the token <|endoftext|> where it lacks it and `end_of_text` is set.
        end_of_text: put that token after each document, as packed language-model data has it.
        made_by: stored with the data.

    Raises:
        ValueError: more than half of the held-out text does not come back from its tokens; less is a warning.
    """
    end = tokenizer.add_end_of_text() if end_of_text else None
    sides: dict[str, Tokens] = {}
    sizes: dict[str, int] = {}
    for side, documents in (("train", corpus.train), ("held_out", corpus.held_out)):
        sides[side], sizes[side] = _encode(documents, tokenizer, end)
    lost = lost_share(corpus.held_out, sizes["held_out"], f"the held-out side of {corpus.name}")
    return write_data(out, corpus.name, tokenizer, sides, sizes, "char", made_by, lost)


def _encode(
    documents: tuple[str, ...], tokenizer: Tokenizer, end: int | None
) -> tuple[NDArray[np.unsignedinteger], int]:
    """Tokens of the documents in one row, and how many of their characters come back from them."""
    dtype = smallest_dtype(tokenizer.size)
    parts, kept = [np.zeros(0, dtype)], 0
    for start in range(0, len(documents), GROUP):
        group = documents[start : start + GROUP]
        rows = tokenizer.encode_all(group)
        kept += tokenizer.kept(group, rows)
        parts += [np.array(row if end is None else [*row, end], dtype=dtype) for row in rows]
    return np.concatenate(parts), kept


def prepare(
    source: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    tokenizer: Tokenizer | str = "bpe",
    size: int | None = None,
    held_out: str | os.PathLike[str] | None = None,
    end_of_text: bool = True,
    made_by: str = "",
) -> TokenData:
    """Read a text source, train or take a tokenizer, and write the tokens; what `pymdm data` does.

    Args:
        source, held_out: see `load_corpus`.
        out: folder to write.
        tokenizer: one that exists, or "char", "byte" or "bpe" to make one from the training side.
        size: V of "bpe".
        end_of_text, made_by: see `prepare_text`.
    """
    check_target(out, KIND, "data")  # before the text is read
    corpus = load_corpus(source, held_out)
    if isinstance(tokenizer, str):
        documents = corpus.train if tokenizer == "bpe" else corpus.train + corpus.held_out
        tokenizer = Tokenizer.train(documents, tokenizer, size)
    return prepare_text(corpus, Path(out), tokenizer, end_of_text, made_by)
