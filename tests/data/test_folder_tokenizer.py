"""Tokenizers as folders hold them: classes that a folder brings as code of its own, and folders beside the weights."""

import json

import pytest
from helpers.foreign_tokenizers import TEXT, byte_bpe

from pymdm.data.folder_tokenizer import open_tokenizer, read_tokenizer
from pymdm.data.wrapped import WrappedTokenizer

CODE = "raise SystemExit('code of the folder was run')"


@pytest.fixture
def files(tmp_path):
    """vocab.json and merges.txt of a small byte-level BPE, as Qwen's and GPT-2's tokenizers are published."""
    model = json.loads(byte_bpe().to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    lines = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    return tmp_path, len(model["vocab"])


def settings(folder, size, **facts):
    added = {str(size): "<|endoftext|>", str(size + 1): "<|mask|>"}
    decoder = {i: {"content": piece, "special": True, "lstrip": False, "rstrip": False, "normalized": False,
                   "single_word": False} for i, piece in added.items()}  # fmt: skip
    facts |= {"added_tokens_decoder": decoder, "mask_token": "<|mask|>", "eos_token": "<|endoftext|>"}
    facts |= {"pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def test_dreams_folder_opens_without_running_its_code(files):
    """Its class is code beside the weights; the rules are Qwen2's, which cut digits apart and GPT-2's do not."""
    transformers = pytest.importorskip("transformers", reason="the class with the same rules is transformers'")
    folder, size = files
    remote = {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]}
    settings(folder, size, tokenizer_class="DreamTokenizer", auto_map=remote)
    (folder / "tokenization_dream.py").write_text(CODE)
    words = WrappedTokenizer(read_tokenizer(folder))
    known = folder / "known"
    known.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (known / name).write_bytes((folder / name).read_bytes())
    settings(known, size, tokenizer_class="Qwen2Tokenizer")
    want = transformers.AutoTokenizer.from_pretrained(known)
    for text in (TEXT, "1234 it's\n\n  x"):
        assert words.encode(text) == want(text)["input_ids"] and words.decode(words.encode(text)) == text
    assert words.mask_id == size + 1 and words.encode("a<|mask|>")[-1] == size + 1
    assert words.banned == () and words.turn_ends == {size}  # the end of a text may be drawn


def test_a_folder_whose_class_nobody_knows_is_one_line(files):
    pytest.importorskip("transformers")
    folder, size = files
    settings(folder, size, tokenizer_class="OtherTokenizer", auto_map={"AutoTokenizer": ["own.OtherTokenizer", None]})
    (folder / "own.py").write_text(CODE)
    with pytest.raises(ValueError, match="give tokenizer= instead") as error:
        read_tokenizer(folder)
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_lies_elsewhere(files, tmp_path):
    folder, _ = files
    byte_bpe().save(str(tmp_path / "other.json"))
    for path in (folder, str(folder), tmp_path / "other.json"):
        assert WrappedTokenizer(open_tokenizer(path)).encode(TEXT) == byte_bpe().encode(TEXT).ids
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(ValueError, match=f"no tokenizer in .*{nothing.name}"):
            open_tokenizer(nothing)
