"""Token rows to train on and to hold out: encoded from a corpus, or memory-mapped from a folder that `pymdm data` made."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.data.corpus import Corpus
from pymdm.data.packing import pack
from pymdm.data.round_trip import lost_share
from pymdm.data.tokenizer import END_OF_TEXT, Tokenizer
from pymdm.files.read import read_json, reason, short
from pymdm.files.replace import replace_folder
from pymdm.files.target import Kind, check_target
from pymdm.files.write import cannot_write

DATA, TOKENIZER, SIDES = "data.json", "tokenizer.json", ("train", "held_out", "test")
KIND = Kind(
    "folder of tokens",
    DATA,
    frozenset({"unit", "tokens", "characters", "sha256"}),
    False,
    (DATA, TOKENIZER, *(f"{side}.npy" for side in SIDES)),
)
Tokens = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class TokenData:
    """A training side and a held-out side as rows of token ids.

    Attributes:
        name: where it came from.
        tokenizer: text <-> ids.
        train, held_out: ids of any unsigned or int64 dtype, [T]; may be memory-mapped.
        test: a second held-out side that training never looks at; may be empty.
        train_characters, held_out_characters: their sizes in `unit`s; only what comes back from the tokens counts.
        unit: "char", or "byte" for data that is scored in bits per byte.
        sha256: to recognise the same data again.
        lost: share of the held-out text's characters that do not come back from its tokens (see `Tokenizer.kept`).
    """

    name: str
    tokenizer: Tokenizer
    train: Tokens
    held_out: Tokens
    test: Tokens
    train_characters: int
    held_out_characters: int
    unit: str
    sha256: str
    lost: float = 0.0

    def text(self, tokens: Tokens) -> str:
        """Text of some tokens without the marks between documents; with unit "byte" one character of code 0..255 per byte."""
        if self.unit == "byte" and self.tokenizer.kind == "byte":
            return tokens.astype(np.uint8).tobytes().decode("latin-1")
        return self.tokenizer.decode(tokens).replace(END_OF_TEXT, "")

    def characters(self, tokens: Tokens) -> int:
        """Size of some held-out tokens in `unit`s; in proportion to all of them where text is lost."""
        if self.lost:
            return round(self.held_out_characters * len(tokens) / len(self.held_out))
        if self.tokenizer.kind == "char" or (self.unit == "byte" and self.tokenizer.kind == "byte"):
            return len(tokens)
        text = self.text(tokens)
        return len(text.encode()) if self.unit == "byte" else len(text)


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer) -> TokenData:
    """The tokens of a corpus, in memory.

    Raises:
        ValueError: more than half of the held-out text does not come back from its tokens; less is a warning.
    """
    (train, train_size), (held_out, size) = pack(tokenizer, corpus.train), pack(tokenizer, [corpus.held_out_text])
    lost = lost_share([corpus.held_out_text], size, f"the held-out side of {corpus.name}")
    sizes = train_size, size
    return TokenData(corpus.name, tokenizer, train, held_out, held_out[:0], *sizes, "char", corpus.sha256, lost)


def is_data_folder(path: str | os.PathLike[str] | None) -> bool:
    """Whether a path is a folder made by `pymdm data`."""
    return path is not None and (Path(path) / DATA).is_file()


def smallest_dtype(size: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest unsigned integers that hold ids 0..size-1."""
    return np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32


def write_data(
    out: str | os.PathLike[str],
    name: str,
    tokenizer: Tokenizer,
    sides: dict[str, Tokens],
    characters: dict[str, int],
    unit: str = "char",
    made_by: str = "",
    lost: float = 0.0,
) -> TokenData:
    """Write train.npy, held_out.npy, test.npy, tokenizer.json and data.json into a folder, whole or not at all.

    Args:
        out: a folder that does not exist, is empty, or holds such data and nothing else (see `pymdm.files.target`).
        name: where the text came from.
        tokenizer: whose ids these are.
        sides: "train", "held_out" and perhaps "test" -> ids [T].
        characters: their sizes in `unit`s, of what comes back from the tokens.
        lost: share of the held-out text that does not come back.
        unit: "char" or "byte".
        made_by: the command.

    Raises:
        ValueError: an empty side, or a folder that holds something else or cannot be written.
    """
    folder = Path(out)
    for side in ("train", "held_out"):
        if not len(sides.get(side, ())):
            raise ValueError(f"data: the {side.replace('_', '-')} side of {name} is empty")
    target = check_target(folder, KIND, "data").path

    def write(fresh: Path) -> None:
        digest = hashlib.sha256(tokenizer.to_json().encode())
        for side in SIDES:
            tokens = np.ascontiguousarray(sides.get(side, ()), dtype=smallest_dtype(tokenizer.size))
            digest.update(side.encode() + tokens.tobytes())
            np.save(fresh / f"{side}.npy", tokens)
        tokenizer.save(fresh / TOKENIZER)
        meta = {
            "name": name,
            "made_by": made_by,
            "unit": unit,
            "vocabulary": tokenizer.kind,
            "tokens": {side: len(sides.get(side, ())) for side in SIDES},
            "characters": {side: characters.get(side, 0) for side in SIDES},
            "sha256": digest.hexdigest(),
            "lost": lost,
        }
        (fresh / DATA).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")

    try:
        replace_folder(target, KIND, write)
    except OSError as error:
        raise cannot_write(f"data: cannot write {folder}", error) from None
    return load_data(folder)


def load_data(folder: str | os.PathLike[str]) -> TokenData:
    """Open a folder made by `pymdm data`; the arrays are memory-mapped.

    Raises:
        ValueError: a file is missing, damaged, or does not fit the others; the message names it.
    """
    path = Path(folder)
    meta = read_json(path / DATA, "data")
    try:
        tokenizer = Tokenizer.load(path / TOKENIZER)
        arrays = [_read_array(path / f"{side}.npy") for side in SIDES]
        for side, tokens in zip(SIDES, arrays, strict=True):
            if tokens.ndim != 1 or tokens.dtype.kind != "u" or len(tokens) != meta["tokens"][side]:
                raise ValueError(f"{side}.npy is not the {meta['tokens'][side]} token ids that {DATA} announces")
            if len(tokens) and int(tokens.max()) >= tokenizer.size:
                raise ValueError(f"{side}.npy has id {tokens.max()}, beyond the {tokenizer.size} of {TOKENIZER}")
        sizes = meta["characters"]["train"], meta["characters"]["held_out"]
        train, held_out, test = arrays
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"the sizes of its sides must be whole numbers above 0, got {short(str(sizes))}")
        if meta["unit"] not in ("char", "byte") or not isinstance(meta["sha256"], str):
            raise ValueError(f"expected the unit char or byte and a hash, got {short(str(meta['unit']))}")
        lost = float(meta.get("lost", 0.0))
        if not 0 <= lost < 1:
            raise ValueError(f"lost must be a share in [0, 1), got {lost}")
        return TokenData(str(path), tokenizer, train, held_out, test, *sizes, meta["unit"], meta["sha256"], lost)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"data: cannot read {path}: {reason(error)}") from None


def _read_array(file: Path) -> Tokens:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of the header's parser, whatever it stumbles over
        raise ValueError(f"{file.name}: {reason(error)}") from None
