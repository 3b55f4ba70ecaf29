"""Judges: probabilities that sum to one, every text scored once and alone, windows, and controls that rank last."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from helpers.slow_ngram import slow_probability
from helpers.texts import CAT as TEXT

from pymdm.data.tokenizer import Tokenizer
from pymdm.evaluate import CheckpointJudge, NGram, NGramJudge, Scores, load_judge
from pymdm.evaluate.autoregressive import causal_losses, context_windows, evaluate_likelihood
from pymdm.evaluate.judges import BREAK, describe_judge, package_of
from pymdm.network.checkpoint import save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer


def causal_model(length=8, vocab_size=4, seed=0, **settings):
    torch.manual_seed(seed)
    config = ModelConfig(
        vocab_size=vocab_size, length=length, width=16, layers=2, heads=2, attention="causal", **settings
    )
    model = MaskedTransformer(config)
    for p in model.parameters():  # far from uniform
        p.data += 0.3 * torch.randn_like(p)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An autoregressive checkpoint of random weights over the characters of TEXT."""
    tokenizer = Tokenizer.train([TEXT], "char")
    model = causal_model(16, tokenizer.size)
    path = tmp_path_factory.mktemp("judge") / "twin"
    save_checkpoint(path, model.config, model.state_dict(), tokenizer)
    return path


def test_an_open_ngram_is_the_formula_with_an_unknown_character():
    bits = NGram("abacab", 3).bits(["bacz", "", "aba"])
    known = 3
    for text, found in zip(("bacz", "aba"), (bits[0], bits[2]), strict=True):
        for i, c in enumerate(text):
            context = text[max(0, i - 2) : i]
            p = slow_probability("abacab", context, c if c != "z" else "\0", known + 1)
            assert found[i] == pytest.approx(-math.log2(p / (0x110000 - known if c == "z" else 1)), abs=1e-9)
    assert len(bits[1]) == 0


def test_ngram_probabilities_of_all_characters_sum_to_one():
    model = NGram("abacabadabacabaa", 4)
    for context in ("", "a", "aba", "zz", "dabz"):
        total = sum(2 ** -float(model.bits([c], context)[0][0]) for c in "abcd")
        total += (0x110000 - 4) * 2 ** -float(model.bits(["z"], context)[0][0])
        assert total == pytest.approx(1.0, abs=1e-12)


def test_causal_network_gives_a_distribution_over_all_sequences():
    model = causal_model(4, 3)
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    likelihood = evaluate_likelihood(model, [every])
    assert np.exp(-likelihood.by_sequence).sum() == pytest.approx(1.0, abs=1e-5)
    assert (likelihood.tokens, len(likelihood.sizes)) == (4 * 81, 81)
    assert likelihood.perplexity == pytest.approx(math.exp(likelihood.by_sequence.sum() / (4 * 81)))
    assert math.isnan(likelihood.bits.value)


@pytest.mark.parametrize(
    ("count", "length", "stride"), [(0, 4, 2), (1, 4, 4), (4, 4, 1), (11, 4, 3), (12, 4, 4), (9, 5, 1)]
)
def test_windows_score_every_token_once_with_context(count, length, stride):
    scored = []
    for start, end, first in context_windows(count, length, stride):
        assert 0 <= start <= first < end <= count and end - start <= length
        assert first == 0 or first - start >= min(first, length - stride)
        scored += range(first, end)
    assert scored == list(range(count))
    with pytest.raises(ValueError, match=r"^likelihood: stride"):
        list(context_windows(5, 4, 5))


def test_checkpoint_judge_scores_what_the_network_says(checkpoint):
    judge = CheckpointJudge(checkpoint)
    texts = [TEXT[:16], "", TEXT[3:7], TEXT[:41]]
    scores = judge(texts)
    tokenizer = Tokenizer.load(checkpoint)
    short = causal_losses(judge._model, torch.tensor([tokenizer.encode(texts[0])])).sum()
    assert scores.nats[0] == pytest.approx(float(short), rel=1e-5)
    assert scores.tokens.tolist() == scores.characters.tolist() == [16, 0, 4, 41] and scores.nats[1] == 0.0
    alone = [judge([t]).nats[0] for t in texts]
    assert scores.nats == pytest.approx(alone, rel=1e-5)  # no text sees another
    row = tokenizer.encode(texts[3])
    by_hand = causal_losses(judge._model, torch.tensor([row[:16]])).sum()
    for start, scored in ((8, 8), (16, 8), (24, 8), (25, 1)):
        by_hand = by_hand + causal_losses(judge._model, torch.tensor([row[start : start + 16]]))[0, -scored:].sum()
    assert scores.nats[3] == pytest.approx(float(by_hand), rel=1e-5)
    assert judge.facts["window"] == 16 and len(judge.facts["sha256"]) == 64


def test_ngram_judge_starts_each_text_after_a_blank_line():
    judge = NGramJudge(TEXT, 4)
    scores = judge(["the cat", "", "mat"])
    assert scores.nats == pytest.approx([judge([t]).nats[0] for t in ("the cat", "", "mat")])
    bits = NGram(TEXT, 4).bits([BREAK + "the cat"])[0][len(BREAK) :]
    assert scores.nats[0] == pytest.approx(bits.sum() * math.log(2))
    assert scores.bits.value == pytest.approx(scores.nats.sum() / math.log(2) / 10)


def test_controls_rank_last():
    judge = NGramJudge(TEXT * 2)
    rng = random.Random(1)
    words = TEXT[:96].split()
    shuffled = " ".join(rng.sample(words, len(words)))
    letters = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(96))
    text, words_only, noise = (judge([t]).bits.value for t in (TEXT[:96], shuffled, letters))
    assert text < words_only < noise


def test_scores_of_nothing_are_nan():
    empty = Scores(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert math.isnan(empty.perplexity) and math.isnan(empty.bits.value) and math.isnan(empty.bits.interval[0])


def test_bad_judges_have_clear_words(checkpoint, tmp_path):
    for what in ("nothing", str(tmp_path), "ngram:x"):
        with pytest.raises(ValueError, match=r"^judge: expected ngram, ngram:K, a checkpoint folder"):
            load_judge(what, TEXT)
    with pytest.raises(ValueError, match=r"^judge: an n-gram judge needs a training text"):
        load_judge("ngram")
    with pytest.raises(ValueError, match=r"^ngram: order must be at least 1, got 0"):
        load_judge("ngram:0", TEXT)
    with pytest.raises(ValueError, match=r"^encode: unknown character"):
        load_judge(str(checkpoint))(["ÿ"])
    masked = ModelConfig(vocab_size=3, length=4, width=8, layers=1, heads=2)
    model = MaskedTransformer(masked)
    save_checkpoint(tmp_path / "mdm", masked, model.state_dict(), Tokenizer.train(["abc"], "char"))
    with pytest.raises(ValueError, match=r"^judge: .* is not autoregressive"):
        load_judge(str(tmp_path / "mdm"))
    with pytest.raises(ValueError, match=r"^likelihood: needs a causal network"):
        evaluate_likelihood(model, [torch.zeros(1, 4, dtype=torch.long)])
    with pytest.raises(ValueError, match=r"^evaluate_likelihood: no text"):
        evaluate_likelihood(causal_model(), [])


def test_a_judge_from_a_package_names_it(tmp_path):
    """A package unpacked by hand or by `pip install --target`: its record lists the file."""
    inside, info = tmp_path / "weights_of" / "small.gguf", tmp_path / "weights_of-1.2.dist-info"
    inside.parent.mkdir()
    inside.write_bytes(b"GGUF")
    (inside.parent / "other.gguf").write_bytes(b"GGUF")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weights-of\nVersion: 1.2\n")
    (info / "RECORD").write_text("weights_of/small.gguf,,\n")
    assert package_of(inside) == "weights-of 1.2" and package_of(inside.parent / "other.gguf") is None
    facts = {"kind": "gguf", "files": {"small.gguf": "ab" * 32}, "package": package_of(inside), "architecture": "Net"}
    facts |= {"dtype": "float32", "window": 2048, "stride": 1024, "first token after": "<s>"}
    told = describe_judge("small", facts)
    assert "small.gguf (sha256 abababababababab) from the Python package weights-of 1.2" in told
    assert "package" not in describe_judge("small", facts | {"package": None})
