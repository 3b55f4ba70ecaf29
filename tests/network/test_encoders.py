"""BERT, RoBERTa, ESM-2, DPLM, ALBERT and ModernBERT against transformers' own classes, through both doors."""

import json

import pytest
import torch
from helpers.engine_networks import assert_parity
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

import pymdm
from pymdm.network.describe import describe

transformers = pytest.importorskip("transformers", reason="the independent implementation is transformers'")
SIZES = dict(vocab_size=33, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=72,
             initializer_range=0.3, pad_token_id=1)  # fmt: skip


def network(name):
    """A small random model of that family, in evaluation mode, every vector parameter random too."""
    torch.manual_seed(5)
    if name.startswith("bert"):
        act = {"bert": "gelu", "bert-new": "gelu_new"}.get(name, "gelu")
        config = transformers.BertConfig(
            **SIZES, max_position_embeddings=24, hidden_act=act, tie_word_embeddings=name != "bert-untied"
        )
        model = transformers.BertForMaskedLM(config)
    elif name == "roberta":
        config = transformers.RobertaConfig(**SIZES, max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-5)
        model = transformers.RobertaForMaskedLM(config)
    elif name == "albert":
        config = transformers.AlbertConfig(
            **SIZES, embedding_size=12, max_position_embeddings=24, hidden_act="gelu_new"
        )
        model = transformers.AlbertForMaskedLM(config)
    elif name.startswith("modernbert"):
        options = {"norm_bias": True, "classifier_bias": True, "tie_word_embeddings": False} if "bias" in name else {}
        config = transformers.ModernBertConfig(
            **{**SIZES, "num_hidden_layers": 4}, max_position_embeddings=24, local_attention=6, global_attn_every_n_layers=3,
            cls_token_id=0, sep_token_id=2, bos_token_id=0, eos_token_id=2, attn_implementation="eager", **options,
        )  # fmt: skip
        model = transformers.ModernBertForMaskedLM(config)
    else:
        config = transformers.EsmConfig(
            **SIZES, max_position_embeddings=24, position_embedding_type="rotary", mask_token_id=32,
            token_dropout=name == "esm2", emb_layer_norm_before=False, layer_norm_eps=1e-5,
        )  # fmt: skip
        model = transformers.EsmForMaskedLM(config)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_((1.0 if "norm" in key.lower() and key.endswith("weight") else 0.0) + 0.2 * torch.randn(p.shape))
    return model.eval()


def tokenizer():
    words = ["<cls>", "<pad>", "<eos>", *(f"w{i}" for i in range(3, 32)), "<mask>"]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "w3"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(["<cls>", "<pad>", "<eos>", "<mask>"])
    inner.post_processor = TemplateProcessing(single="<cls> $A <eos>", special_tokens=[("<cls>", 0), ("<eos>", 2)])
    return inner


@pytest.fixture
def saved(tmp_path, request):
    model = network(request.param)
    model.save_pretrained(tmp_path / "m")
    tokenizer().save(str(tmp_path / "m" / "tokenizer.json"))
    return model, tmp_path / "m"


FAMILIES = ("bert", "bert-new", "bert-untied", "roberta", "esm2", "dplm", "albert", "modernbert", "modernbert-bias")
all_families = pytest.mark.parametrize("saved", FAMILIES, indirect=True)


@all_families
def test_logits_are_those_of_transformers(saved):
    model, folder = saved
    loaded = pymdm.load(folder)
    assert loaded.config.mask_id == 32 and loaded.config.length == 24
    tokens = torch.randint(3, 32, (4, 15), generator=torch.Generator().manual_seed(1))
    tokens[:, 0], tokens[:, -1], tokens[:, 2:9:2], tokens[1, 1:14] = 0, 2, 32, 32
    with torch.no_grad():
        want = model(input_ids=tokens).logits
    got = loaded.engine(tokens)
    assert_parity(folder.parent.name, want, got, pymdm.load(folder, dtype="bfloat16").engine(tokens))


@all_families
def test_engine_and_callable_give_the_same_tokens_in_a_frame(saved):
    model, folder = saved
    loaded = pymdm.load(folder)
    options = dict(infill="w3 [MASK:4] w9 <mask> w7", num_samples=6, seed=4)
    native = pymdm.sample(loaded, **options)
    door = pymdm.sample(model, tokenizer=tokenizer(), mask_id=32, **options)
    assert torch.equal(native.tokens, door.tokens) and native.text == door.text
    assert native.tokens.shape == (6, 10) and (native.tokens[:, 0] == 0).all() and (native.tokens[:, -1] == 2).all()
    assert int(native.tokens[:, 1:-1].min()) >= 3 and int(native.tokens.max()) < 32
    assert native.text[0].startswith("w3 ") and "<cls>" not in native.text[0]


@pytest.mark.parametrize("saved", ["esm2"], indirect=True)
def test_token_dropout_needs_a_known_token(saved):
    loaded = pymdm.load(saved[1])
    with pytest.raises(ValueError, match="give a frame"):
        loaded.engine(torch.full((1, 5), 32))
    assert pymdm.sample(loaded, length=5, seed=1).tokens.shape == (1, 7)  # the frame is known


@pytest.mark.parametrize(("saved", "banned"), [("esm2", (0, 1, 2)), ("dplm", (0, 1, 2, 24))], indirect=["saved"])
def test_what_its_authors_never_draw_is_not_drawn(saved, banned):
    """DPLM's own code bans X, which is no special token of the tokenizer."""
    text = (saved[1] / "tokenizer.json").read_text()
    (saved[1] / "tokenizer.json").write_text(text.replace('"w24"', '"X"'))
    loaded = pymdm.load(saved[1])
    assert loaded.banned == banned and loaded.tokenizer.id_of("X") == 24 and loaded.tokenizer.id_of("none") is None
    settings = json.loads((saved[1] / "config.json").read_text()) | {"dplm_type": "dplm_esm"}
    (saved[1] / "config.json").write_text(json.dumps(settings))
    named = pymdm.load(saved[1])  # by its settings, whatever they say of token dropout
    assert named.conventions.family == "dplm" and named.banned == (0, 1, 2, 24)
    assert named.config.token_dropout == loaded.config.token_dropout


@pytest.mark.parametrize("saved", ["bert"], indirect=True)
def test_settings_that_are_not_computed_are_named(saved):
    _, folder = saved
    settings = json.loads((folder / "config.json").read_text())
    for change, word in (({"hidden_act": "relu"}, "hidden_act 'relu'"), ({"is_decoder": True}, "is_decoder")):
        (folder / "config.json").write_text(json.dumps(settings | change))
        with pytest.raises(ValueError, match=word):
            pymdm.load(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="no mask_token_id"):
        pymdm.load(folder)
    assert pymdm.load(folder, config=settings | {"mask_token_id": 32}).config.mask_id == 32
    assert pymdm.load(folder, tokenizer=tokenizer()).banned == (0, 1, 2)


@pytest.mark.parametrize("saved", ["modernbert"], indirect=True)
def test_settings_of_windows_that_are_not_computed_are_named(saved):
    _, folder = saved
    settings = json.loads((folder / "config.json").read_text())
    wrong = [
        ({"rope_parameters": [1]}, "scaled rotary positions"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "scaled rotary positions"),
        ({"layer_types": ["full_attention"] * 3 + ["sliding_attention"]}, "layer_types"),
        ({"local_attention": "wide"}, "local_attention must be int"),
    ]
    for change, word in wrong:
        (folder / "config.json").write_text(json.dumps(settings | change))
        with pytest.raises(ValueError, match=word) as error:
            pymdm.load(folder)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("saved", "attention", "positions"),
    [
        (
            "modernbert",
            "both directions; in 2 of 4 layers 3 positions to each side",
            "rotary, base 160000, 10000 in those layers",
        ),
        ("bert", "both directions", "learned"),
        ("dplm", "both directions", "rotary, base 10000"),
    ],
    indirect=["saved"],
)
def test_info_tells_windows_and_positions(saved, attention, positions):
    about = describe(saved[1])
    assert (about["attention"], about["positions"]) == (attention, positions)
