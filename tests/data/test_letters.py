"""Vocabularies of residues and of SMILES symbols as tokenizers."""

import json

import pytest

from pymdm.data.folder_tokenizer import read_tokenizer
from pymdm.data.letters import letters_tokenizer
from pymdm.data.wrapped import WrappedTokenizer

RESIDUES = list("ACDEFGHIKLMNPQRSTVWY")


def test_residues_of_a_vocab_file(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *RESIDUES]))
    words = WrappedTokenizer(read_tokenizer(tmp_path))
    assert words.encode("AC[MASK]Y") == [5, 6, 4, 24] and words.decode([5, 6, 4, 24]) == "AC░Y"
    assert words.mask_id == 4 and words.frame == ((2,), (3,)) and words.banned == (0, 1, 2, 3)


def test_fairseq_dictionary_and_ablang(tmp_path):
    (tmp_path / "dict.txt").write_text("\n".join(f"{r} 1" for r in RESIDUES))
    words = WrappedTokenizer(read_tokenizer(tmp_path))
    assert words.encode("AY<mask>") == [4, 23, 24] and words.mask_id == 24 and words.frame == ((0,), (2,))
    (tmp_path / "dict.txt").unlink()
    ablang = {"<": 0, **{r: i + 1 for i, r in enumerate(RESIDUES)}, "-": 21, ">": 22, "*": 23}
    (tmp_path / "vocab.json").write_text(json.dumps(ablang))
    words = WrappedTokenizer(read_tokenizer(tmp_path))
    assert words.encode("A*") == [1, 23] and words.mask_id == 23 and words.frame == ((0,), (22,))
    assert words.banned == (0, 21, 22)
    with pytest.raises(ValueError, match="encode"):
        words.encode("B")


def test_smiles():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"cCON()=1.", "Cl", "Br", "[C@H]", ">>", "%10"]
    words = WrappedTokenizer(letters_tokenizer({p: i for i, p in enumerate(pieces)}))
    text = "C[C@H](Cl)Br.c1c%10>>[MASK]=O"
    ids = words.encode(text)
    assert [pieces[i] for i in ids] == [
        "C", "[C@H]", "(", "Cl", ")", "Br", ".", "c", "1", "c", "%10", ">>", "[MASK]", "=", "O",
    ]  # fmt: skip
    assert words.decode(ids) == text.replace("[MASK]", "░")


@pytest.mark.parametrize("pieces", [["the", "##s", "[MASK]"], ["A", "B"], ["[MASK]"], ["C", "c", "(", "CCO", "[MASK]"]])
def test_other_vocabularies_are_left_to_others(pieces):
    assert letters_tokenizer({p: i for i, p in enumerate(pieces)}) is None
