"""A Hugging Face judge on tiny random GPT-2 weights made here: every token scored, whatever batch and window."""

import math

import pytest
import torch
from helpers.texts import CAT as TEXT

from pymdm.data.tokenizer import Tokenizer
from pymdm.evaluate import load_judge

transformers = pytest.importorskip("transformers")
from pymdm.evaluate import hugging_face  # noqa: E402

TEXTS = [TEXT[:30], "", TEXT[5:6], TEXT[:75], TEXT[10:60]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """GPT-2 with 2 layers, 16 positions and byte pieces."""
    path = tmp_path_factory.mktemp("judge") / "tiny-gpt2"
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.train([TEXT], "bpe", 280)._tokenizer, bos_token="<|endoftext|>"
    )
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    for p in model.parameters():
        p.data += 0.2 * torch.randn_like(p)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def by_hand(judge, text):
    """Sum of -log p of every token, one network call a token, with the context that the windows promise."""
    ids = judge._tokenizer(text).input_ids if text else []
    total = 0.0
    for i, token in enumerate(ids):
        stride = judge._stride
        end = judge._window if i < judge._window else judge._window + stride * (1 + (i - judge._window) // stride)
        start = max(0, min(end, len(ids)) - judge._window)
        before = [ids[start - 1] if start else judge._start, *ids[start:i]]
        with torch.no_grad():
            logits = judge._model(torch.tensor([before])).logits[0, -1].double()
        total -= float(logits.log_softmax(-1)[token])
    return total


def test_every_token_is_scored_in_any_batch(folder, monkeypatch):
    judge = load_judge(str(folder))
    scores = judge(TEXTS)
    assert scores.nats == pytest.approx([by_hand(judge, t) for t in TEXTS], rel=1e-4)
    assert scores.characters.tolist() == [len(t) for t in TEXTS] and scores.tokens[1] == 0
    assert max(scores.tokens) > 16 and min(t for t in scores.tokens if t) >= 1  # beyond the window, and a single token
    for size in (1, 64):
        monkeypatch.setattr(hugging_face, "BATCH_TOKENS", size)
        assert judge(TEXTS).nats == pytest.approx(scores.nats, rel=1e-4)
    assert judge.facts["first token after"] == "<|endoftext|>" and judge.facts["window"] == 16
    assert list(judge.facts["files"]) == ["model.safetensors"] and judge.name == "tiny-gpt2"
    assert scores.perplexity == pytest.approx(math.exp(scores.nats.sum() / scores.tokens.sum()))


def test_windows_and_strides_of_ones_own(folder):
    judge = hugging_face.HuggingFaceJudge(folder, window=8, stride=3)
    assert judge(TEXTS[3:4]).nats == pytest.approx([by_hand(judge, TEXTS[3])], rel=1e-4)


def test_a_broken_folder_has_clear_words(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match=r"^judge: cannot load .* as a causal language model"):
        load_judge(str(tmp_path))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"^judge: cannot load .*x.gguf"):
        load_judge(str(tmp_path / "x.gguf"))
