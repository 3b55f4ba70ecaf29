"""Files of others: each kind of damage is one line that names the file."""

import json
import zipfile

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models

import pymdm
from pymdm.data.prepare import prepare
from pymdm.data.tokens import load_data
from pymdm.data.wrapped import WrappedTokenizer
from pymdm.files.read import check_archive, read_json, short
from pymdm.precision.predictions import file_predictions
from pymdm.train import Recipe


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b"{", b"", b"0" * 3000, None])
def test_json_that_cannot_be_read(tmp_path, text):
    if text is not None:
        (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"^here: cannot read .*a.json: ") as caught:
        read_json(tmp_path / "a.json", "here", 200_000 if text else None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_an_archive_with_compressed_entries_is_not_unpacked(tmp_path):
    file = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(4, 8)}, file)
    assert check_archive(file, "here") and not check_archive(tmp_path / "missing.pt", "here")
    with zipfile.ZipFile(file) as stored, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    for read, where in ((pymdm.load, "load"), (file_predictions, "precision")):
        with pytest.raises(
            ValueError, match=rf"^{where}: .*b.pt is not as torch writes it: its entry .* is compressed"
        ):
            read(tmp_path / "b.pt")


def test_what_others_wrote_is_shown_in_short():
    assert short("a\n  b") == "a b" and len(short("x" * 10**6)) == 300


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", "8"), ("length", True), ("length", 10**30), ("lr", None), ("source", 3), ("weights", [1, "a"]),
     ("tied_head", 1), ("minutes", "1")],
)  # fmt: skip
def test_settings_of_another_kind_are_named(name, value):
    with pytest.raises(ValueError, match=f"^train: {name} cannot be "):
        Recipe.from_dict({"steps": 3, name: value})


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"the quick brown fox {i}\n\n" for i in range(60)))
    prepare(tmp_path / "a.txt", tmp_path / "d", "char", None, None, False)
    return tmp_path / "d"


def test_an_id_beyond_the_vocabulary_is_refused_before_training(tokens):
    """Data were taken, and training died at its second step, or learnt the mask's id as text."""
    good = load_data(tokens)
    array = np.array(good.train)
    array[-1] = good.tokenizer.size
    np.save(tokens / "train.npy", array)
    with pytest.raises(ValueError, match=rf"^data: .*train.npy has id {good.tokenizer.size}, beyond the"):
        load_data(tokens)


@pytest.mark.parametrize("header", [b"(" * 20, b"{'descr': ", b"\0" * 9, b"{" * 118])
def test_an_array_whose_header_is_damaged(tokens, header):
    data = (tokens / "test.npy").read_bytes()
    (tokens / "test.npy").write_bytes(data[:10] + header.ljust(118) + data[128:])
    with pytest.raises(ValueError, match=r"^data: cannot read .*test.npy") as caught:
        load_data(tokens)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("characters", {"train": 0, "held_out": 5}), ("unit", "word"), ("sha256", 3)]
)
def test_facts_of_tokens_that_cannot_be(tokens, name, value):
    """No characters in the training side: training divided by zero."""
    facts = json.loads((tokens / "data.json").read_text())
    (tokens / "data.json").write_text(json.dumps(facts | {name: value}))
    with pytest.raises(ValueError, match=r"^data: cannot read"):
        load_data(tokens)


def test_a_tokenizer_with_an_id_that_ends_the_process_is_refused(tmp_path):
    """The library makes room for a list of all holes: 2^31 of them ended the process."""
    words = {"type": "WordLevel", "vocab": {"a": 0, "b": 2**31}, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": words}))
    with pytest.raises(ValueError, match=r"ids must be below 16777216, got 2147483648"):
        pymdm.Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_word_that_another_tokenizer_does_not_have_is_one_line():
    tokenizer = WrappedTokenizer(tokenizers.Tokenizer(models.WordLevel({"a": 0, "[MASK]": 1}, "[UNK]")))
    with pytest.raises(ValueError, match=r"^encode: .*UNK"):
        tokenizer.encode("b")


def test_a_merge_on_which_the_library_panics_is_one_line(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    for merges in ("#version: 0.2\na b\n", "a", "a b c\n", "#version: 0.2\nab " + "x" * 9, "\0 \0\n"):
        (tmp_path / "merges.txt").write_text(merges)
        try:
            pymdm.Tokenizer.from_gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")
        except ValueError as error:
            assert str(error).startswith("tokenizer: ") and "\n" not in str(error)


def test_a_batch_of_absurd_size_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at most 1048576, got 2147483648"):
        Recipe.from_dict({"steps": 3, "batch_size": 2**31})
