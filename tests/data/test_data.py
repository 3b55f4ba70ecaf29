"""`pymdm data`: tokens on disk are those of the text, and training from them is training from the text."""

import json
import sys

import numpy as np
import pytest
from helpers.command_line import run

from pymdm.data.prepare import prepare_bytes
from pymdm.data.tokenizer import _BYTES, END_OF_TEXT, Tokenizer
from pymdm.data.tokens import load_data, smallest_dtype
from pymdm.evaluate.subject_text import load_subject
from pymdm.train import Recipe, load_corpus, train

TINY = {"length": 16, "width": 16, "layers": 1, "heads": 2, "batch_size": 4, "threads": 1, "steps": 2}
TEXT = "".join(f"line {i} says that {i * i} is a square and no more.\n\n" for i in range(300))


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def test_bytes_are_cut_in_order(tmp_path):
    content = bytes(range(256)) * 8  # not UTF-8
    (tmp_path / "raw").write_bytes(content)
    data = prepare_bytes(tmp_path / "raw", tmp_path / "d", (1500, 300, 200))
    assert data.train.tobytes() + data.held_out.tobytes() + data.test.tobytes() == content[:2000]
    assert data.train.dtype == np.uint8 and isinstance(data.train, np.memmap) and data.unit == "byte"
    result = train(Recipe(source=str(tmp_path / "d"), **TINY)).training
    assert result["corpus"]["unit"] == "byte" and result["held_out"]["characters"] == 300
    assert load_data(tmp_path / "d").sha256 == data.sha256
    for split in ((3000, 1), (10,), (0, 5), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=r"^data: split must be 2 or 3 positive sizes within 2048"):
            prepare_bytes(tmp_path / "raw", tmp_path / "d2", split)


def test_documents_end_with_the_end_of_text_token(text, tmp_path):
    result = run("data", text, "--out", tmp_path / "d", "--vocab-size", 300, "--json")
    assert result.exit_code == 0, result.output
    data, corpus = load_data(tmp_path / "d"), load_corpus(text)
    printed = json.loads(result.stdout)
    assert printed["tokens"] == {"train": len(data.train), "held_out": len(data.held_out), "test": 0}
    end = data.tokenizer.add_end_of_text()
    assert printed["vocab_size"] == data.tokenizer.size == end + 1 and data.train.dtype == np.uint16
    assert int((data.train == end).sum()) == len(corpus.train) and data.train[-1] == end
    assert data.tokenizer.decode(data.train).replace(END_OF_TEXT, "") == corpus.train_text
    assert data.held_out_characters == len(corpus.held_out_text) == data.characters(data.held_out)


def test_training_from_tokens_is_training_from_the_text(text, tmp_path):
    assert run("data", text, "--out", tmp_path / "d", "--vocab", "char").exit_code == 0
    a = train(Recipe(source=str(text), vocab="char", **TINY))
    b = train(Recipe(source=str(tmp_path / "d"), vocab="char", **TINY))
    assert a.training["held_out"] == b.training["held_out"]
    assert a.training["ngram_bits_per_char"] == b.training["ngram_bits_per_char"]


def test_a_given_text_is_held_out(text, tmp_path):
    (tmp_path / "other.txt").write_text("line 7 says something else.\n" * 20)
    corpus = load_corpus(text, tmp_path / "other.txt")
    assert sorted(corpus.train_text) == sorted(TEXT) and corpus.held_out_text == "line 7 says something else.\n" * 20
    assert (
        run("data", text, "--held-out", tmp_path / "other.txt", "--out", tmp_path / "d", "--vocab", "byte").exit_code
        == 0
    )
    assert len(load_data(tmp_path / "d").held_out) == 28 * 20


def test_bytes_that_a_split_leaves_out_are_said(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(2048))
    for sizes, said in (("1000,300,200", True), ("1000,548,500", False)):
        result = run("data", tmp_path / "raw", "--split", sizes, "--out", tmp_path / sizes)
        assert result.exit_code == 0 and ("the last 548 bytes of" in result.output) is said, result.output


def test_ids_take_the_narrowest_type():
    assert [smallest_dtype(v) for v in (256, 257, 65536, 65537)] == [np.uint8, np.uint16, np.uint16, np.uint32]


def test_bad_input_is_one_line_and_leaves_other_folders_alone(text, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    cases = [
        ((text, "--out", tmp_path / "mine"), "which no folder of tokens has"),
        ((tmp_path / "none.txt",), "no such file"),
        ((text, "--split", "1,x"), "split must be whole numbers"),
        (("--split", "1,2"), "split needs a file"),
        ((text, "--vocab", "words"), "kind must be one of"),
        ((text, "--vocab", "char", "--end-of-text"), "no end-of-text token"),
        ((text, "--tokenizer", tmp_path / "none"), "no such file"),
    ]
    for arguments, message in cases:
        extra = () if "--out" in arguments else ("--out", tmp_path / "d")
        result = run("data", *arguments, *extra)
        assert result.exit_code == 2 and message in result.stderr, (arguments, result.output)
        assert len(result.stderr.strip().splitlines()) == 1 and not (tmp_path / "d").exists()
        assert result.stderr.startswith("pymdm: ") and "train:" not in result.stderr
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert run("data", text, "--out", tmp_path / "d", "--vocab", "char").exit_code == 0
    np.save(tmp_path / "d" / "train.npy", np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=r"^data: cannot read .*: train.npy is not the"):
        load_data(tmp_path / "d")
    (tmp_path / "d" / "test.npy").unlink()
    with pytest.raises(ValueError, match=r"^data: cannot read"):
        load_data(tmp_path / "d")


def test_json_lines_are_documents(tmp_path):
    documents = [f"document {i}\nof two lines" for i in range(40)]
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"text": d, "id": 1}) for d in documents) + "\n\n")
    corpus = load_corpus(tmp_path / "d.jsonl")
    assert sorted(corpus.train + corpus.held_out) == sorted(documents) and corpus.held_out
    assert run("data", tmp_path / "d.jsonl", "--out", tmp_path / "t", "--vocab-size", 300).exit_code == 0
    assert int((load_data(tmp_path / "t").train == 300).sum()) == len(corpus.train)  # id of the end-of-text token
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(ValueError, match=r'^corpus: line 2 of .*bad.jsonl is not a JSON object with a string "text"'):
        load_corpus(tmp_path / "bad.jsonl")


def test_hugging_face_data_set_of_a_local_folder(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    documents = [f"row {i} of the set" for i in range(40)]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(json.dumps({"text": d}) for d in documents))
    corpus = load_corpus(f"hf:{tmp_path / 'set'}")
    assert sorted(corpus.train + corpus.held_out) == sorted(documents)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"^corpus: cannot read the data set .*none"):
        load_corpus(f"hf:{tmp_path / 'none'}")


@pytest.mark.parametrize("cached", [False, True])
def test_an_unreachable_hub_is_one_error_at_once_and_the_cache_still_works(monkeypatch, cached):
    datasets = pytest.importorskip("datasets")
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # nobody listens
    if cached:

        def load(*_, **__):
            assert datasets.config.HF_HUB_OFFLINE and constants.HF_HUB_OFFLINE
            return {"text": [f"row {i}" for i in range(40)]}

        monkeypatch.setattr(datasets, "load_dataset", load)
        assert len(load_corpus("hf:some/name").train) > 20
    else:
        with pytest.raises(
            ValueError, match=r"^corpus: .* some/name: http://127.0.0.1:1 does not answer .*not in the cache$"
        ):
            load_corpus("hf:some/name")
    assert not datasets.config.HF_HUB_OFFLINE and not constants.HF_HUB_OFFLINE


def test_without_datasets_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"^corpus: hf: sources need the package datasets: pip install datasets"):
        load_corpus("hf:some/name")


def test_gpt2_files_are_read(tmp_path):
    """Its two files in small: bytes, one merge, and an end-of-text token with its id."""
    pieces = {p: i for i, p in enumerate([*_BYTES, "ab", END_OF_TEXT])}
    (tmp_path / "vocab.json").write_text(json.dumps(pieces))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.size == 258 and tokenizer.add_end_of_text() == 257 and tokenizer.kind == "bpe"
    assert tokenizer.encode("ab") == [256] and tokenizer.decode(tokenizer.encode("caf\u00e9 ab")) == "caf\u00e9 ab"
    assert Tokenizer.from_json(tokenizer.to_json()).encode("abba ab") == tokenizer.encode("abba ab")
    (tmp_path / "merges.txt").write_text("no merge\n")
    with pytest.raises(ValueError, match=r"^tokenizer: .* are not GPT-2's files"):
        Tokenizer.load(tmp_path)


def test_a_model_trained_from_tokens_with_time_can_be_evaluated(text, tmp_path):
    assert run("data", text, "--out", tmp_path / "d", "--vocab", "char").exit_code == 0
    recipe = Recipe(source=str(tmp_path / "d"), vocab="char", conditioning="time", schedule="cosine", **TINY)
    trained = train(recipe, tmp_path / "m").training["held_out"]
    subject = load_subject(tmp_path / "m")
    assert not subject.note and subject.characters == trained["characters"]
    low, high = subject.likelihood(draws=8).bits_elsewhere.interval
    assert low - 0.1 < trained["bits_per_char"] < high + 0.1
