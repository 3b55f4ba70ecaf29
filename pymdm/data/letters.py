"""Tokenizers of proteins and molecules that are only a list of pieces: one letter a residue, or one SMILES symbol a piece."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from pymdm.files.read import read_json, reason

# One symbol of SMILES: an atom in brackets, a two-letter halogen, a ring closure of two digits, a reaction's arrow, or a
# character (opensmiles.org, section 3).
SMILES = r"\[[^\]]+\]|Br|Cl|%[0-9]{2}|>>|."
_SPECIAL = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]|</?[a-z_0-9]+>")
_FRAMES = (("[CLS]", "[SEP]"), ("<cls>", "<eos>"), ("<s>", "</s>"), ("<", ">"))
_ABLANG = {"<", ">", "-", "*"}  # start, end, padding, mask


def read_letters(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder with vocab.txt, vocab.json (AbLang) or dict.txt (fairseq) of that kind; None: another kind.

    Raises:
        ValueError: a file that cannot be read.
    """
    try:
        if (folder / "vocab.txt").is_file():
            lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
            return letters_tokenizer({line: i for i, line in enumerate(lines)})
        if (folder / "dict.txt").is_file():
            lines = (folder / "dict.txt").read_text(encoding="utf-8").splitlines()
            symbols = [line.split(" ")[0] for line in lines if line]
            pieces = ["<s>", "<pad>", "</s>", "<unk>", *symbols, "<mask>"]  # as fairseq adds them
            return letters_tokenizer({piece: i for i, piece in enumerate(pieces)})
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"load: cannot read the tokenizer of {folder}: {reason(error)}") from None
    if (folder / "vocab.json").is_file():
        found = read_json(folder / "vocab.json", "load")
        if isinstance(found, dict) and all(type(i) is int for i in found.values()):
            return letters_tokenizer(found)
    return None


def letters_tokenizer(pieces: Mapping[str, int]) -> Tokenizer | None:
    """A tokenizer with these pieces and their ids; None where they are neither letters nor SMILES symbols.

    >>> letters_tokenizer({"<cls>": 0, "<eos>": 1, "A": 2, "<mask>": 3}).encode("AA<mask>").ids
    [0, 2, 2, 3, 1]
    """
    special = [piece for piece in pieces if _SPECIAL.fullmatch(piece)]
    if not special and pieces.keys() >= _ABLANG:
        special = sorted(_ABLANG)
    ordinary = [piece for piece in pieces if piece not in special]
    if not ordinary or not special:
        return None
    letters = all(len(piece) == 1 for piece in ordinary)
    if not letters and not ({"C", "c", "("} <= pieces.keys() and all(re.fullmatch(SMILES, p) for p in ordinary)):
        return None
    unknown = next((piece for piece in ("[UNK]", "<unk>") if piece in pieces), "")
    tokenizer = Tokenizer(models.WordLevel(dict(pieces), unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SMILES if not letters else "."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special)
    for begin, end in _FRAMES:
        if begin in pieces and end in pieces and {begin, end} <= set(special):
            marks = [(begin, pieces[begin]), (end, pieces[end])]
            tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A {end}", special_tokens=marks)
            break
    return tokenizer
