"""GenMol: the Lightning file of its project, BERT under `backbone.` with averaged weights in order, against transformers."""

import pytest
import torch
from helpers.engine_networks import assert_parity
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

import pymdm

transformers = pytest.importorskip("transformers", reason="the independent implementation is transformers' BERT")
# The settings of its training, but for the sizes; the mask is the tokenizer's.
SETTINGS = dict(
    attention_probs_dropout_prob=0.1, classifier_dropout=None, hidden_act="gelu", hidden_dropout_prob=0.1, hidden_size=32,
    initializer_range=0.3, intermediate_size=72, layer_norm_eps=1e-12, max_position_embeddings=32, model_type="bert",
    num_attention_heads=4, num_hidden_layers=3, pad_token_id=3, position_embedding_type="absolute", torch_dtype="float32",
    type_vocab_size=2, use_cache=True, vocab_size=40,
)  # fmt: skip


def tokenizer():
    """Specials first, as SAFE's tokenizer has them, then symbols."""
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *(f"s{i}" for i in range(5, 40))]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(words[:5])
    inner.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return inner


@pytest.fixture
def genmol(tmp_path):
    """The network of the averaged weights, and the file."""
    torch.manual_seed(5)
    config = transformers.BertConfig(**{k: v for k, v in SETTINGS.items() if k not in ("model_type", "torch_dtype")})
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 1:
                value.copy_((1.0 if key.endswith("LayerNorm.weight") else 0.0) + 0.2 * torch.randn(value.shape))
    shadow = [value.detach().clone() for value in model.parameters()]
    raw = {f"backbone.{k}": v.clone() + 0.1 for k, v in model.state_dict().items()}
    for twice, once in (
        ("decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("decoder.bias", "cls.predictions.bias"),
    ):
        raw[f"backbone.cls.predictions.{twice}"] = raw[f"backbone.{once}"]
    ema = {"decay": 0.9999, "num_updates": 50_000, "shadow_params": shadow}
    torch.save({"state_dict": raw, "ema": ema, "global_step": 50_000}, tmp_path / "model.ckpt")
    return model, tmp_path / "model.ckpt"


def test_logits_are_those_of_transformers_bert_with_the_averaged_weights(genmol):
    model, file = genmol
    loaded = pymdm.load(file, config=SETTINGS, tokenizer=tokenizer())
    assert (loaded.config.mask_id, loaded.config.length, loaded.config.norm_eps) == (4, 32, 1e-12)
    tokens = torch.randint(5, 40, (4, 15), generator=torch.Generator().manual_seed(1))
    tokens[:, 0], tokens[:, -1], tokens[:, 2:9:2], tokens[1, 1:14] = 1, 2, 4, 4
    with torch.no_grad():
        want = model(input_ids=tokens).logits
    got = loaded.engine(tokens)
    half = pymdm.load(file, config=SETTINGS, tokenizer=tokenizer(), dtype="bfloat16").engine(tokens)
    assert_parity("genmol", want, got, half)


def test_averages_by_name_reach_every_name_of_a_shared_parameter(genmol, tmp_path):
    model, file = genmol
    content = torch.load(file)
    named = {f"backbone.{name}": value.detach() for name, value in model.named_parameters()}
    torch.save({"state_dict": content["state_dict"], "ema": named}, tmp_path / "named.ckpt")
    one, other = (pymdm.load(f, config=SETTINGS, tokenizer=tokenizer()) for f in (file, tmp_path / "named.ckpt"))
    tokens = torch.randint(5, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    assert torch.equal(one.engine(tokens), other.engine(tokens))


def test_both_doors_give_the_same_molecules(genmol):
    model, file = genmol
    loaded = pymdm.load(file, config=SETTINGS, tokenizer=tokenizer())
    options = dict(infill="s7 [MASK:6] s9 [MASK:2]", num_samples=6, seed=4)
    native = pymdm.sample(loaded, **options)
    door = pymdm.sample(model, tokenizer=tokenizer(), mask_id=4, **options)
    assert torch.equal(native.tokens, door.tokens) and native.text == door.text
    assert (native.tokens[:, 0] == 1).all() and (native.tokens[:, -1] == 2).all()
    assert int(native.tokens[:, 1:-1].min()) >= 5  # none of the five specials


def test_a_time_conditioned_one_is_not_opened_as_a_plain_one(genmol, tmp_path):
    _, file = genmol
    content = torch.load(file)
    content["state_dict"]["backbone.time_conditioner.mlp.0.weight"] = torch.zeros(2, 2)
    torch.save({"state_dict": content["state_dict"]}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"unexpected tensor backbone\.time_conditioner"):
        pymdm.load(tmp_path / "other.ckpt", config=SETTINGS, tokenizer=tokenizer())
