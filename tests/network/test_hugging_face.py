"""A masked model of transformers goes to `sample` as it is."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

import pymdm

transformers = pytest.importorskip("transformers", reason="needs transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", *(f"w{i}" for i in range(24))]


@pytest.fixture(scope="module")
def tokenizer():
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **{f"{k}_token": v for k, v in names.items()})


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 2, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=40, hidden_dropout_prob=0.5, initializer_range=0.3,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config).train()


def test_four_lines(bert, tokenizer):
    out = pymdm.sample(bert, tokenizer=tokenizer, infill="w1 [MASK] w2 [MASK:2] w3", num_samples=40, seed=1)
    assert bert.training  # as it was
    assert out.law == "exact" and out.calls == 3
    tokens = out.tokens
    assert (tokens[:, 0] == 2).all() and (tokens[:, -1] == 3).all()  # the frame is there and kept
    assert tokens[:, [1, 3, 6]].tolist() == [[7, 8, 9]] * 40
    assert int(tokens[:, [2, 4, 5]].min()) >= 6 and int(tokens.max()) < len(WORDS)  # no special, no unused row
    assert out.text[0].split()[0] == "w1" and "[CLS]" not in out.text[0]


def test_it_draws_from_the_models_own_law(bert, tokenizer):
    """One hole: frequencies against the softmax over words of the model's logits in evaluation mode."""
    n = 20_000
    drawn = pymdm.sample(bert, tokenizer=tokenizer, infill="w1 [MASK] w2", num_samples=n, seed=3).tokens[:, 2]
    ids = torch.tensor([[2, 7, 4, 8, 3]])
    with torch.no_grad():
        logits = bert.eval()(input_ids=ids).logits[0, 2]
    bert.train()
    law = logits[6 : len(WORDS)].double().softmax(0)
    counts = torch.bincount(drawn - 6, minlength=len(law)).double()
    statistic = float(((counts - n * law) ** 2 / (n * law)).sum())
    assert statistic < 80  # chi-square of 23 degrees of freedom: alpha 3e-8


def test_padding_never_changes_a_sample(bert, tokenizer):
    texts = ["w1 [MASK:2]", "w1 w2 [MASK:5] w3", "[MASK]", "w4 [MASK:3] w5 w6 w7"]
    options = dict(tokenizer=tokenizer, seed=9)
    whole = pymdm.sample(bert, infill=texts, **options)
    assert whole.calls == 5  # the longest hole, whatever the lengths
    for i, text in enumerate(texts):
        alone = pymdm.sample(bert, infill=text, sequence_ids=[i], **options)
        assert torch.equal(alone.tokens[0], whole.tokens[i])

    class Counting(torch.nn.Module):  # a callable takes no attention mask: its calls are one for each length
        def forward(self, tokens):
            return bert(tokens).logits

    bert.eval()
    grouped = pymdm.sample(
        Counting(), mask_id=4, tokenizer=tokenizer, seed=9,
        infill=[[2, *s.tolist()[1:-1], 3] for s in _starts(texts, tokenizer)],
    )  # fmt: skip
    bert.train()
    assert all(torch.equal(a, b) for a, b in zip(grouped.tokens, whole.tokens, strict=True))


def _starts(texts, tokenizer):
    import re

    for text in texts:
        spread = re.sub(r"\[MASK:(\d+)\]", lambda m: " ".join(["[MASK]"] * int(m[1])), text)
        yield torch.tensor(tokenizer(spread)["input_ids"])


def test_special_tokens_when_asked_and_errors(bert, tokenizer):
    free = pymdm.sample(bert, tokenizer=tokenizer, special_tokens=True, length=30, num_samples=40, seed=2)
    assert set(free.tokens[:, 1:-1].flatten().tolist()) & {0, 1, 2, 3, 5} and 4 not in set(
        free.tokens.flatten().tolist()
    )
    with pytest.raises(ValueError, match="mask_id is needed"):
        pymdm.sample(bert, length=3)
    with pytest.raises(ValueError, match="at most the model's 38"):
        pymdm.sample(bert, tokenizer=tokenizer, length=39)
    with pytest.raises(ValueError, match="masked language head"):
        pymdm.sample(bert.bert, tokenizer=tokenizer, length=3)


def test_an_all_mask_start_of_esm2_is_explained():
    config = transformers.EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=1,
        mask_token_id=32, position_embedding_type="rotary", token_dropout=True, max_position_embeddings=64,
    )  # fmt: skip
    esm = transformers.EsmForMaskedLM(config)
    with pytest.raises(ValueError, match=r"NaN.*give a frame"):
        pymdm.sample(esm, length=5, seed=1)
    out = pymdm.sample(esm, infill=[[0, 32, 32, 2]], seed=1)
    assert out.tokens[0, 0] == 0 and not {1, 32} & set(out.tokens[0].tolist())


class A2D(transformers.Qwen3ForCausalLM):
    """An autoregressive network made into a masked one, as LLaDA's and Dream's classes are: it sees both ways."""

    def forward(self, input_ids, attention_mask=None):
        seen = attention_mask.bool() if attention_mask is not None else torch.ones_like(input_ids).bool()
        mask = torch.zeros(len(seen), 1, 1, seen.shape[1]).masked_fill(~seen[:, None, None], -torch.inf)
        return super().forward(input_ids, attention_mask=mask.expand(-1, -1, seen.shape[1], -1), use_cache=False)


def test_a_decoder_draws_its_end_of_text_and_has_no_frame(tmp_path):
    """Through both doors: the end of text may be drawn and ends the text, the beginning and padding may not."""
    words = [f"w{i}" for i in range(16)] + ["<|endoftext|>", "<|start|>", "<|pad|>", "<|mask|>"]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(words[16:])
    inner.post_processor = TemplateProcessing(single="<|start|> $A", special_tokens=[("<|start|>", 17)])
    names = dict(bos_token="<|start|>", eos_token="<|endoftext|>", pad_token="<|pad|>", mask_token="<|mask|>")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        intermediate_size=48, max_position_embeddings=32, initializer_range=0.2, tie_word_embeddings=True,
        bos_token_id=17, eos_token_id=16, pad_token_id=18, attn_implementation="eager",
    )  # fmt: skip
    model = A2D(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "a2d-qwen3"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    options = dict(prompt="w3 w4", length=12, num_samples=30, seed=2)
    door = pymdm.sample(model, tokenizer=tokenizer, **options)
    native = pymdm.sample(pymdm.load(tmp_path), **options)
    assert torch.equal(door.tokens, native.tokens) and door.text == native.text and door.law == native.law == "exact"
    drawn = set(door.tokens.flatten().tolist())
    assert 16 in drawn and not drawn & {17, 18, 19} and door.tokens.shape == (30, 12)
    assert all("<|endoftext|>" not in text for text in door.text)
    ended = next(i for i, row in enumerate(door.tokens.tolist()) if 16 in row)
    assert len(door.text[ended].split()) == door.tokens[ended].tolist().index(16)


def test_arrays_of_other_libraries_come_through_dlpack():
    table = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    a = pymdm.sample(lambda t: table[t].numpy(), mask_id=4, length=6, num_samples=5, seed=1)
    b = pymdm.sample(lambda t: table[t], mask_id=4, length=6, num_samples=5, seed=1)
    assert torch.equal(a.tokens, b.tokens)


def test_the_page_runs_as_it_is_written(bert, tokenizer, tmp_path, capsys):
    from pathlib import Path

    page = (Path(__file__).resolve().parents[2] / "docs" / "hugging_face.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    given = ("import ", "from ", "name = ")  # besides them, the four lines of the title
    assert "in four lines" in page and len([x for x in code.splitlines() if x and not x.startswith(given)]) == 4
    bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    exec(code.replace('"bert-base-cased"', repr(str(tmp_path))), {})
    assert len(eval(capsys.readouterr().out)) == 3
