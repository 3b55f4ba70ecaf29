"""Tiny-A2D, ESM-C, AbLang and fairseq's RoBERTa (Sapiens) in their own names, beside independent forwards."""

import pytest
import torch
import torch.nn.functional as F
from helpers import published as p
from helpers.engine_networks import assert_parity
from tokenizers import Tokenizer, models, pre_tokenizers

import pymdm
from pymdm.network.describe import describe

transformers = pytest.importorskip("transformers", reason="the independent implementations are transformers'")
A2D = dict(
    model_type="a2d-qwen3", architectures=["A2DQwen3LMHeadModel"], hidden_size=32, num_hidden_layers=2, head_dim=10,
    num_attention_heads=4, num_key_value_heads=2, intermediate_size=56, vocab_size=50, rms_norm_eps=1e-6,
    max_position_embeddings=64, tie_word_embeddings=True, hidden_act="silu", attention_bias=False, use_sliding_window=False,
    rope_theta=1e6, mask_token_id=47, pad_token_id=44, eos_token_id=45,
)  # fmt: skip


def spread(model, seed):
    """Every vector parameter random, norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 1:
                one = 1.0 if "norm" in key.lower() and key.endswith("weight") else 0.0
                value.copy_(one + 0.2 * torch.randn(value.shape, generator=generator))
    return model.eval()


def a2d():
    """transformers' Qwen3 with attention in both directions."""
    torch.manual_seed(1)
    config = transformers.Qwen3Config(
        **{k: v for k, v in A2D.items() if k not in ("model_type", "architectures", "mask_token_id", "rope_theta")},
        rope_parameters={"rope_type": "default", "rope_theta": A2D["rope_theta"]}, initializer_range=0.3,
        attn_implementation="eager",
    )  # fmt: skip
    model = spread(transformers.Qwen3ForCausalLM(config), 2)
    state = {k: v.clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}

    def forward(tokens):
        B, L = tokens.shape
        return model(tokens, attention_mask=torch.zeros(B, 1, L, L), use_cache=False).logits

    return A2D, state, forward


ESMC = dict(n_heads=4)


def esmc():
    """The forward of the esm package, written anew: residuals over sqrt(layers / 36), norms of q and k over the width."""
    d, D, F_, layers, V = p.Draws(3), 32, 48, 3, 64
    d.state["embed.weight"] = torch.randn(V, D, generator=d.generator)
    for i in range(layers):
        b = f"transformer.blocks.{i}"
        d.norm(f"{b}.attn.layernorm_qkv.0", D, bias=True), d.weight(f"{b}.attn.layernorm_qkv.1", 3 * D, D)
        d.norm(f"{b}.attn.q_ln", D), d.norm(f"{b}.attn.k_ln", D), d.weight(f"{b}.attn.out_proj", D, D)
        d.norm(f"{b}.ffn.0", D, bias=True), d.weight(f"{b}.ffn.1", 2 * F_, D), d.weight(f"{b}.ffn.3", D, F_)
    d.norm("transformer.norm", D)
    d.weight("sequence_head.0", D, D, bias=True), d.norm("sequence_head.2", D, bias=True)
    d.weight("sequence_head.3", V, D, bias=True)
    w = d.state

    def norm(name, x):
        return F.layer_norm(x, (D,), w[f"{name}.weight"], w.get(f"{name}.bias"), 1e-5)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def forward(tokens):
        x, scale = w["embed.weight"][tokens], (layers / 36) ** 0.5
        for i in range(layers):
            b = f"transformer.blocks.{i}"
            q, k, v = linear(f"{b}.attn.layernorm_qkv.1", norm(f"{b}.attn.layernorm_qkv.0", x)).chunk(3, -1)
            mixed = p.attend(norm(f"{b}.attn.q_ln", q), norm(f"{b}.attn.k_ln", k), v, 4, 4, 10000.0)
            x = x + linear(f"{b}.attn.out_proj", mixed) / scale
            gate, up = linear(f"{b}.ffn.1", norm(f"{b}.ffn.0", x)).chunk(2, -1)
            x = x + linear(f"{b}.ffn.3", F.silu(gate) * up) / scale
        x = norm("sequence_head.2", F.gelu(linear("sequence_head.0", norm("transformer.norm", x))))
        return linear("sequence_head.3", x)

    return ESMC, w, forward


def roberta(pad, types):
    torch.manual_seed(4)
    config = transformers.RobertaConfig(
        vocab_size=25, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56, pad_token_id=pad,
        max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.3, tie_word_embeddings=False,
    )  # fmt: skip
    model = spread(transformers.RobertaForMaskedLM(config), 5)
    with torch.no_grad():
        model.roberta.embeddings.token_type_embeddings.weight.zero_()
    return model


def renamed(model, pairs):
    """Its tensors under other names; what no pair names is left out."""
    state = {}
    for name, value in model.state_dict().items():
        for ours, theirs in pairs:
            if name.startswith(ours):
                new = theirs + name.removeprefix(ours)
                for old, fresh in pairs:
                    new = new.replace(old, fresh) if old.startswith(".") else new
                state[new] = value.clone()
                break
    return state


def ablang():
    model = roberta(0, 1)
    state = renamed(model, [
        ("roberta.embeddings.word_embeddings", "AbRep.AbEmbeddings.AAEmbeddings"),
        ("roberta.embeddings.position_embeddings", "AbRep.AbEmbeddings.PositionEmbeddings"),
        ("roberta.embeddings.LayerNorm", "AbRep.AbEmbeddings.LayerNorm"),
        ("roberta.encoder.layer", "AbRep.EncoderBlocks.Layers"),
        ("lm_head", "AbHead"),
        (".attention.self.query", ".MultiHeadAttention.Attention.q_proj"),
        (".attention.self.key", ".MultiHeadAttention.Attention.k_proj"),
        (".attention.self.value", ".MultiHeadAttention.Attention.v_proj"),
        (".attention.output.dense", ".MultiHeadAttention.Attention.out_proj"),
        (".attention.output.LayerNorm", ".MHALayerNorm"),
        (".intermediate.dense", ".IntermediateLayer.expand_dense"),
        (".output.dense", ".IntermediateLayer.dense_dense"),
        (".output.LayerNorm", ".IntermediateLayer.LayerNorm"),
    ])  # fmt: skip
    settings = dict(
        vocab_size=25, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56, hidden_act="gelu",
        max_position_embeddings=26, layer_norm_eps=1e-5, pad_token_id=0, mask_token_id=23, initializer_range=0.02,
    )  # fmt: skip
    return settings, state, lambda tokens: model(input_ids=tokens).logits


def fairseq():
    model = roberta(1, 1)
    body = "decoder.sentence_encoder"
    state = renamed(model, [
        ("roberta.embeddings.word_embeddings", f"{body}.embed_tokens"),
        ("roberta.embeddings.position_embeddings", f"{body}.embed_positions"),
        ("roberta.embeddings.LayerNorm", f"{body}.emb_layer_norm"),
        ("roberta.encoder.layer", f"{body}.layers"),
        ("lm_head.decoder", "decoder.lm_head"),
        ("lm_head", "decoder.lm_head"),
        (".attention.self.query", ".self_attn.q_proj"),
        (".attention.self.key", ".self_attn.k_proj"),
        (".attention.self.value", ".self_attn.v_proj"),
        (".attention.output.dense", ".self_attn.out_proj"),
        (".attention.output.LayerNorm", ".self_attn_layer_norm"),
        (".intermediate.dense", ".fc1"),
        (".output.dense", ".fc2"),
        (".output.LayerNorm", ".final_layer_norm"),
    ])  # fmt: skip
    settings = dict(
        arch="roberta_small", encoder_layers=2, encoder_embed_dim=32, encoder_ffn_embed_dim=56, encoder_attention_heads=4,
        max_positions=24, activation_fn="gelu", mask_token_id=24,
        untie_weights_roberta=True,
    )  # fmt: skip
    return settings, state, lambda tokens: model(input_ids=tokens).logits


FAMILIES = {"a2d": a2d, "esmc": esmc, "ablang": ablang, "fairseq": fairseq}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_an_independent_forward(tmp_path, name):
    settings, state, forward = FAMILIES[name]()
    model = pymdm.load(p.write(tmp_path / "m", settings, state))
    assert model.training["family"] == name
    c = model.config
    tokens = torch.randint(3, c.vocab_size, (3, 17), generator=torch.Generator().manual_seed(1))
    tokens[:, ::3] = c.mask_id
    with torch.no_grad():
        want = forward(tokens)
    got = model.engine(tokens)
    assert_parity(name, want, got, pymdm.load(tmp_path / "m", dtype="bfloat16").engine(tokens))


@pytest.mark.parametrize("name", FAMILIES)
def test_both_doors_give_the_same_tokens(tmp_path, name):
    settings, state, forward = FAMILIES[name]()
    model = pymdm.load(p.write(tmp_path / "m", settings, state))
    V = model.config.vocab_size
    banned = {*model.banned, *range(3)}  # 0 to 2 stand for padding in the other implementations
    options = dict(length=12, num_samples=4, seed=5, banned_tokens=sorted(banned))
    native = pymdm.sample(model, **options)
    door = pymdm.sample(forward, mask_id=model.config.mask_id, **options)
    assert torch.equal(native.tokens, door.tokens)
    assert set(native.tokens.flatten().tolist()) <= set(range(V)) - banned - {model.config.mask_id}


def test_what_a_folder_cannot_tell_is_said(tmp_path):
    """A block-diffusion checkpoint of the same project has the same settings."""
    settings, state, _ = a2d()
    assert "block-diffusion" in describe(p.write(tmp_path / "m", settings, state))["note"]


def test_a2ds_mask_is_its_tokenizers(tmp_path):
    """Its settings are Qwen3's own, which know no mask."""
    settings, state, _ = a2d()
    folder = p.write(tmp_path / "m", {k: v for k, v in settings.items() if k != "mask_token_id"}, state)
    with pytest.raises(ValueError, match="no mask_token_id"):
        pymdm.load(folder)
    words = {("<|mask|>" if i == 46 else f"w{i}"): i for i in range(50)}
    inner = Tokenizer(models.WordLevel(words, "w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.save(str(folder / "tokenizer.json"))
    assert pymdm.load(folder).config.mask_id == 46
    out = pymdm.sample(pymdm.load(folder), infill="w3 [MASK:3]", seed=1)
    assert out.tokens.shape == (1, 4) and 46 not in out.tokens
