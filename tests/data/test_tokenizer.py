"""Vocabularies: text survives the way to ids and back, through a file too."""

import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm.data.tokenizer import MASK_GLYPH, Tokenizer

TEXT = "the quick brown fox jumps over the lazy dog\n\n  and the dog sleeps; 42 times, the end.\n" * 3
BPE = Tokenizer.train([TEXT], "bpe", 300)
BYTE = Tokenizer.train([], "byte")
CHAR = Tokenizer.train([TEXT], "char")


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_bytes_and_pieces_carry_any_text(text):
    assert BYTE.decode(BYTE.encode(text)) == text
    assert BPE.decode(BPE.encode(text)) == text
    assert BYTE.encode(text) == list(text.encode())  # id = byte


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(set(TEXT)))))
def test_characters_carry_their_own_text(characters):
    text = "".join(characters)
    ids = CHAR.encode(text)
    assert len(ids) == len(text) and CHAR.decode(ids) == text


def test_sizes_masks_and_order():
    assert (CHAR.size, BYTE.size, BPE.size) == (len(set(TEXT)), 256, 300)
    assert CHAR.encode("".join(sorted(set(TEXT)))) == list(range(CHAR.size))
    for v in (CHAR, BYTE, BPE):
        assert v.mask_id == v.size
        ids = v.encode("the dog")
        assert v.decode([v.mask_id, *ids, v.mask_id]) == f"{MASK_GLYPH}the dog{MASK_GLYPH}"
    assert len(BPE.encode(TEXT)) < len(TEXT) / 2


def test_encode_all_is_encode_of_each():
    texts = ["the dog", "", "fox\n\n  and"]
    for v in (CHAR, BYTE, BPE):
        assert v.encode_all(texts) == [v.encode(t) for t in texts]


def test_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"^encode: unknown character 'Z' at position 4"):
        CHAR.encode("the Zoo")


@pytest.mark.parametrize("bad", [-1, 257])
def test_decode_rejects_other_ids(bad):
    with pytest.raises(ValueError, match=r"^decode: token ids must be in 0..256"):
        BYTE.decode([1, bad])


@pytest.mark.parametrize("v", [CHAR, BYTE, BPE], ids=["char", "byte", "bpe"])
def test_file_round_trip_and_the_library_reads_it_alike(v, tmp_path):
    v.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert (again.kind, again.size) == (v.kind, v.size)
    text = "the lazy\n\n  dog"
    assert again.encode(text) == v.encode(text)
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert other.encode(text).ids == v.encode(text)
    assert other.decode(v.encode(text)) == text


def test_training_is_deterministic():
    assert Tokenizer.train([TEXT], "bpe", 290).to_json() == Tokenizer.train([TEXT], "bpe", 290).to_json()


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("word", None, "kind must be one of"),
        ("bpe", 255, "at least 256"),
        ("bpe", None, "at least 256"),
        ("char", 50, "takes no size"),
        ("byte", 256, "takes no size"),
    ],
)
def test_bad_training_settings(kind, size, message):
    with pytest.raises(ValueError, match=f"^tokenizer: .*{message}"):
        Tokenizer.train([TEXT], kind, size)
    with pytest.raises(ValueError, match=r"^tokenizer: the text is empty"):
        Tokenizer.train([""], "char")


def test_damaged_files(tmp_path):
    with pytest.raises(ValueError, match=r"^tokenizer: no such file"):
        Tokenizer.load(tmp_path)
    whole = BPE.to_json()
    for text in ("", whole[: len(whole) // 2], "[]", json.dumps({"model": {}})):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(ValueError, match=r"^tokenizer: .*tokenizer.json is not a tokenizer file"):
            Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"^tokenizer: cannot read"):
        Tokenizer.load(tmp_path)
