"""A tokenizer is checked once, when it is taken: what it does to length, ids and text is taken out, refused or told."""

import json
import random
import warnings

import numpy as np
import pytest
import tokenizers
import torch
from helpers.command_line import run, run_json
from helpers.foreign_tokenizers import TEXT, byte_bpe, file, metaspace_bpe, spaced_bpe, word_pieces
from tokenizers import models

import pymdm
from pymdm.data.corpus import Corpus
from pymdm.data.prepare import prepare_text
from pymdm.data.round_trip import LostText, kept_characters, lost_share, percent
from pymdm.data.tokenizer import Tokenizer
from pymdm.data.tokens import encode_corpus, load_data
from pymdm.data.wrapped import WrappedTokenizer
from pymdm.evaluate.judges import scores_of


def corpus(text=TEXT, held_out=TEXT):
    return Corpus("made up", (text,), (held_out,))


def test_truncation_padding_and_dropout_are_taken_out(tmp_path):
    tokenizer = byte_bpe()
    whole = tokenizer.encode(TEXT).ids
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=5000)
    tokenizer.model.dropout = 0.5
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str())
    taken = Tokenizer.load(tmp_path)
    assert taken.encode(TEXT) == whole and taken.encode_all([TEXT, "a"])[0] == whole
    data = prepare_text(corpus(), tmp_path / "data", taken)
    assert len(data.train) == len(whole) + 1 and data.lost == 0
    stored = json.loads((tmp_path / "data" / "tokenizer.json").read_text())
    assert stored["truncation"] is None and stored["padding"] is None


@pytest.mark.parametrize("make", [lambda: byte_bpe(prefix=True), spaced_bpe, metaspace_bpe])
@pytest.mark.parametrize("text", ["dog", " dog", "the  dog ", "over the lazy"])
def test_no_space_is_put_before_a_text_or_taken_from_it(make, text):
    v = Tokenizer(make(), "bpe")
    assert v.decode(v.encode(text)) == text and v.kept([text]) == len(text)
    again = Tokenizer.from_json(v.to_json())
    assert again.encode(text) == v.encode(text)


def test_holes_stay_where_they_are_written():
    """`ab__ cd_ ef` came of it, with three spaces that nobody gave."""
    v = Tokenizer(byte_bpe(prefix=True), "bpe")
    out = pymdm.sample(
        lambda t: torch.zeros(*t.shape, v.size), mask_id=v.size, tokenizer=v, infill="ab[MASK:2]cd[MASK]ef", seed=1
    )
    tokens = out.tokens[0].tolist()
    assert tokens[:2] == v.encode("ab") and tokens[4:6] == v.encode("cd") and tokens[7:] == v.encode("ef")


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ({"a": 0, "b": 2}, "no piece has id 1, the largest is 2"),
        (
            {**{f"w{i}": i for i in range(299)}, "x": 400},
            "0..299, one a piece; no piece has id 299, the largest is 400",
        ),
        ({"a": 1, "b": 2}, "no piece has id 0"),
    ],
)
def test_ids_with_holes_are_refused(vocab, message, tmp_path):
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(file(model=model))
    with pytest.raises(ValueError, match=rf"^tokenizer: the ids of .*{message}"):
        Tokenizer.load(tmp_path)
    result = run("data", __file__, "--tokenizer", tmp_path, "--out", tmp_path / "data")
    assert result.exit_code == 2 and not (tmp_path / "data").exists()
    with pytest.raises(ValueError, match=r"^tokenizer: the tokenizer has no tokens"):
        Tokenizer(tokenizers.Tokenizer(models.WordLevel({}, "a")), "bpe")


def test_bytes_are_bytes_only_in_their_own_order():
    """A byte-level tokenizer without merges whose ids are not the bytes is another one."""
    v = Tokenizer.train([], "byte")
    content = json.loads(v.to_json())
    assert Tokenizer.from_json(json.dumps(content)).kind == "byte"
    pieces = content["model"]["vocab"]
    content["model"]["vocab"] = dict(zip(pieces, reversed(pieces.values()), strict=True))
    other = Tokenizer.from_json(json.dumps(content))
    assert other.kind == "bpe" and other.decode(other.encode("Ab\u00e9")) == "Ab\u00e9"


DAMAGED = {
    "asks for 8 GiB": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}},
    "panics": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}},
    "within a sequence": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "/////w=="}]}
    },
    "not base64": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "*"}},
    "no model": {"model": {}},
    "a list": {"model": []},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_tokenizer_on_which_the_library_dies_is_one_line(name, tmp_path, capfd):
    (tmp_path / "tokenizer.json").write_text(file(**DAMAGED[name]))
    with pytest.raises(ValueError, match=r"^tokenizer: .*tokenizer.json is not a tokenizer file: \S"):
        Tokenizer.load(tmp_path)
    assert capfd.readouterr().err == ""  # Rust would tell of its panic in many lines


def test_a_word_that_a_tokenizer_does_not_have_is_one_line():
    v = Tokenizer.from_json(file(model={"type": "WordLevel", "vocab": {"ab": 0, "c": 1}, "unk_token": "z"}))
    assert v.encode("ab") == [0]
    for call in (v.encode, lambda text: v.encode_all([text])):
        with pytest.raises(ValueError, match=r"^encode: WordLevel error"):
            call("zz")


def test_nested_json_is_one_line():
    with pytest.raises(ValueError, match=r"^tokenizer: tokenizer.json is not a tokenizer file: it is nested"):
        Tokenizer.from_json("[" * 200_000)


def test_interrupts_are_not_a_damaged_file(monkeypatch):
    def interrupted(text):
        raise KeyboardInterrupt

    monkeypatch.setattr("pymdm.data.foreign.json.loads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.from_json("{}")


# ---- text that does not come back -------------------------------------------------------------------------------


def test_what_counts_as_coming_back():
    assert kept_characters("same", "same", str.lower) == 4
    assert kept_characters("The cat sat", "the cat sat", str.lower) == 8  # " cat sat"
    assert kept_characters("12345 67890", "[UNK] [UNK]", lambda t: "[UNK] [UNK]") == 0
    long = "the Cat sat on a mat. " * 500
    assert kept_characters(long, "", str.lower) == len(long) - 3 * 500  # words of every piece, aligned in it
    assert percent(0.5) == "50%"


def test_digits_that_became_unknown_are_not_described():
    """0.076 bits per character were printed for 2.77: the text is refused."""
    rng = random.Random(1)
    digits = " ".join("".join(rng.choice("0123456789") for _ in range(5)) for _ in range(400))
    v = Tokenizer(word_pieces(), "bpe")
    with pytest.raises(ValueError, match=r"^tokenizer: 100% of the characters of the held-out side of made up"):
        encode_corpus(corpus(held_out=digits), v)
    mixed = ("the dog and the fox " * 3 + "12345 67890 ") * 20
    with pytest.warns(LostText, match=r"^15.6% of the characters of the held-out side of made up do not come back"):
        data = encode_corpus(corpus(held_out=mixed), v)
    assert data.held_out_characters == len(mixed) - round(data.lost * len(mixed))
    assert 60 * 20 - 1 <= data.held_out_characters <= 61 * 20  # the words, and blanks beside them
    half = data.held_out[: len(data.held_out) // 2]
    assert data.characters(half) == pytest.approx(data.held_out_characters / 2, abs=4)


def test_lower_casing_counts_words_that_stayed(tmp_path):
    v = Tokenizer(word_pieces(lower=True), "bpe")
    text = "The dog and the Fox. " * 30
    with pytest.warns(LostText):
        data = prepare_text(corpus(held_out=text), tmp_path / "data", v)
    again = load_data(tmp_path / "data")
    assert data.lost == again.lost > 0 and again.held_out_characters == data.held_out_characters < len(text)
    assert v.kept(["the dog"]) == 7 and v.kept(["The dog"]) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lost_share(["abc"], 3, "x") == 0.0
        assert encode_corpus(corpus(), Tokenizer.train([TEXT], "bpe", 300)).lost == 0.0


def test_judges_count_what_comes_back():
    scores = scores_of(["abcd", "ef"], np.ones(2), [[1], [2]], [1, 2])
    assert scores.characters.tolist() == [1, 2] and scores.lost == 0.5 and scores.to_dict()["lost"] == 0.5


def test_training_and_evaluation_say_what_does_not_come_back(tmp_path):
    rng, words = random.Random(3), "the dog and fox over lazy end of it".split()
    text = "".join(" ".join(["The", *rng.choices(words, k=8)]) + ".\n" for _ in range(500))
    (tmp_path / "t.txt").write_text(text)
    (tmp_path / "tokenizer.json").write_text(word_pieces(lower=True).to_str())
    out = run("data", tmp_path / "t.txt", "--tokenizer", tmp_path, "--no-end-of-text", "--out", tmp_path / "data")
    assert out.exit_code == 0, out.output
    assert out.stderr.count("pymdm: note: ") == 1 and "do not come back" in out.stderr
    small = ["--width", 16, "--layers", 1, "--heads", 2, "--length", 16, "--steps", 2, "--precision", "float32"]
    out = run("train", tmp_path / "data", "--out", tmp_path / "run", *small)
    assert out.exit_code == 0 and "of the characters of the held-out text do not come back" in out.stdout
    training = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    lost = training["corpus"]["held_out_lost"]
    assert 0.05 < lost < 0.2
    held_out = training["held_out"]
    assert held_out["characters"] < len(text) * 0.1 * 1.1
    facts = run_json("evaluate", tmp_path / "run", "--text", tmp_path / "t.txt", "--windows", 4)
    assert facts["run"]["text"]["lost"] == pytest.approx(lost, rel=0.1)
    likelihood = facts["likelihood"]
    assert likelihood["characters"] / likelihood["tokens"] == pytest.approx(
        facts["run"]["text"]["characters"] / facts["run"]["text"]["tokens"], rel=0.02
    )
    assert "do not come back from their tokens" in run("evaluate", tmp_path / "run", "--windows", 4).stdout


# ---- tokenizer= ------------------------------------------------------------------------------------------------


def test_tokenizers_of_other_libraries():
    transformers = pytest.importorskip("transformers")
    inner = word_pieces()
    inner.add_special_tokens(["[CLS]", "[SEP]"])
    from tokenizers.processors import TemplateProcessing

    ids = [(t, inner.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    inner.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    given = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    assert given("ab").input_ids[0] == ids[0][1]  # adds them by itself
    net = lambda tokens: torch.zeros(*tokens.shape, inner.get_vocab_size() + 1)  # noqa: E731
    settings = {"mask_id": inner.get_vocab_size(), "seed": 1}
    for tokenizer in (given, inner):
        out = pymdm.sample(net, tokenizer=tokenizer, infill="the dog[MASK:2]", **settings)
        assert out.tokens[0][:6].tolist() == Tokenizer(word_pieces(), "bpe").encode("the dog")
        assert out.text[0].startswith("the dog") and "[CLS]" not in out.text[0][:7]
    assert given("ab").input_ids[0] == ids[0][1]  # and is as it was
    for wrong in ({"a": 1}, "bert-base-uncased", object()):
        with pytest.raises(TypeError, match=r"^tokenizer: expected a pymdm.Tokenizer, a tokenizers.Tokenizer or a f"):
            pymdm.sample(net, tokenizer=wrong, length=4, **settings)


def test_a_users_tokenizer_is_not_changed():
    tokenizer = byte_bpe(prefix=True)
    tokenizer.enable_truncation(4)
    taken = WrappedTokenizer(tokenizer)
    assert tokenizer.truncation is not None and len(tokenizer.encode("the dog and the fox").ids) == 4
    assert taken.decode(taken.encode("the dog and the fox")) == "the dog and the fox"
