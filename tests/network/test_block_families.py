"""Block-causal families in their own names: logits beside independent forwards, with and without a cache, and their sampling.

SDAR is compared with transformers' Qwen3, Fast-dLLM v2 with its Qwen2 and Nemotron-Labs-Diffusion with its Ministral3, each
with an explicit mask [B, 1, L, L]; BD3-LM with a plain forward.
"""

import numpy as np
import pytest
import torch
from helpers import published as p
from helpers.engine_networks import assert_parity

import pymdm
from pymdm._native import C
from pymdm.network.describe import describe

transformers = pytest.importorskip("transformers", reason="the independent implementations are transformers'")
L = 22
DECODER = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=56, vocab_size=50,
    max_position_embeddings=64, hidden_act="silu", attention_bias=False, rope_theta=1e6, mask_token_id=47, pad_token_id=44,
    eos_token_id=45, tie_word_embeddings=False, rms_norm_eps=1e-6, use_sliding_window=False,
)  # fmt: skip
SDAR = DECODER | dict(model_type="sdar", architectures=["SDARForCausalLM"], head_dim=10)
FAST = {k: v for k, v in DECODER.items() if k != "attention_bias"} | dict(
    model_type="Fast_dLLM_Qwen", architectures=["Fast_dLLM_QwenForCausalLM"], bd_size=8, tie_word_embeddings=True
)
NEMOTRON = {k: v for k, v in DECODER.items() if k not in ("rope_theta", "use_sliding_window")} | dict(
    model_type="nemotron_labs_diffusion", architectures=["NemotronLabsDiffusionModel"], block_size=8, head_dim=12,
    rms_norm_eps=1e-5, dlm_paradigm="bidirectional", mlp_bias=False, max_position_embeddings=512, sliding_window=None,
    rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, "factor": 8.0, "original_max_position_embeddings": 64,
                     "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "llama_4_scaling_beta": 0.1},
)  # fmt: skip


def spread(model, seed):
    """Every vector parameter random, norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 1:
                one = 1.0 if "norm" in key and key.endswith("weight") else 0.0
                value.copy_(one + 0.2 * torch.randn(value.shape, generator=generator))
    return model.eval()


def of_transformers(kind, settings, **changes):
    """A random model of a class of transformers with these settings, and its tensors."""
    torch.manual_seed(1)
    own = {k: v for k, v in settings.items() if k not in ("model_type", "architectures", "mask_token_id", "rope_theta")}
    rope = {"rope_type": "default", "rope_theta": settings.get("rope_theta")}
    config = getattr(transformers, f"{kind}Config")(
        **{"rope_parameters": rope, **own, "initializer_range": 0.2, "attn_implementation": "eager"} | changes
    )
    model = spread(getattr(transformers, f"{kind}ForCausalLM")(config), 2)
    return model, {k: v.clone() for k, v in model.state_dict().items()}


def allowed(tokens, mask, K, causal_context=False):
    """Which positions each sees, bool [B, 1, L, L], position by position."""
    B, length = tokens.shape
    seen = torch.zeros(B, 1, length, length, dtype=torch.bool)
    for b in range(B):
        for i in range(length):
            start = i // K * K
            finished = mask not in tokens[b, start : start + K].tolist()
            seen[b, 0, i, : i + 1 if causal_context and finished else start + K] = True
    return seen


def masked(model, mask, K, causal_context=False, shift=False):
    """tokens -> logits of a class of transformers under that mask."""

    def forward(tokens):
        bias = torch.where(allowed(tokens, mask, K, causal_context), 0.0, -torch.inf)
        logits = model(tokens, attention_mask=bias, use_cache=False).logits
        return torch.cat([logits[:, :1], logits[:, :-1]], 1) if shift else logits

    return forward


def sdar(model_type="sdar", **own):
    model, state = of_transformers("Qwen3", SDAR)
    return {**SDAR, "model_type": model_type, **own}, state, masked(model, 47, own.get("block_size", 4))


def fast():
    model, state = of_transformers("Qwen2", FAST)
    return FAST, {k: v for k, v in state.items() if k != "lm_head.weight"}, masked(model, 47, 8, shift=True)


def nemotron():
    model, state = of_transformers("Ministral3", NEMOTRON)
    names = {k: k.replace("model.", "encoder.").replace("lm_head", "diffusion_head") for k in state}
    return NEMOTRON, {names[k]: v for k, v in state.items()}, masked(model, 47, 8, causal_context=True)


def bd3lm(K):
    state = p.dit(1, 41, 32, 2, 12, norm_bias=False, ada=True)
    settings = {**p.MDLM, "model_type": "bd3lm", "block_size": K, "cross_attn": True, "adaln": True}

    def forward(tokens):
        return p.dit_forward(state, tokens, 2, 4, torch.zeros(len(tokens)), allowed(tokens, 40, K))

    wrapped = {f"backbone.{k}": v for k, v in state.items()}
    return settings, wrapped | {"sampling_eps_min": torch.tensor(0.0), "sampling_eps_max": torch.tensor(1.0)}, forward


FAMILIES = {
    "bd3lm 4": (lambda: bd3lm(4), 4), "bd3lm 8": (lambda: bd3lm(8), 8), "bd3lm 16": (lambda: bd3lm(16), 16),
    "sdar": (sdar, 4), "trado": (lambda: sdar("trado", block_size=8), 8), "fast-dllm-v2": (fast, 8),
    "nemotron-labs-diffusion": (nemotron, 8),
}  # fmt: skip


def load(tmp_path, name, **options):
    settings, state, forward = FAMILIES[name][0]()
    return pymdm.load(p.write(tmp_path / "m", settings, state), **options), forward


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_an_independent_forward(tmp_path, name):
    model, forward = load(tmp_path, name)
    c = model.config
    assert c.attention == "block" and c.block_length == FAMILIES[name][1]
    assert model.conventions.family == {"trado": "sdar"}.get(name, name.split()[0])
    tokens = torch.randint(0, 40, (4, L), generator=torch.Generator().manual_seed(1))
    tokens[:, 9::2] = c.mask_id  # finished blocks, blocks with masks, and in the last sequence masks alone
    tokens[3] = c.mask_id
    with torch.no_grad():
        want = forward(tokens)
    got = model.engine(tokens)
    assert_parity(name, want, got, pymdm.load(tmp_path / "m", dtype="bfloat16").engine(tokens))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cache_gives_the_bits_of_the_forward_without_it(tmp_path, name):
    """Along a run whose prompt ends inside a block, every masked row of the block at hand."""
    model, forward = load(tmp_path, name)
    c, rng = model.config, np.random.default_rng(0)
    K = c.block_length
    tokens = torch.randint(0, 40, (L,), generator=torch.Generator().manual_seed(2))
    tokens[K + 2 :] = c.mask_id
    run, zero = C.KeptRun(model.engine.native), torch.zeros(1, dtype=torch.float64)
    while c.mask_id in tokens:
        left = (tokens == c.mask_id).nonzero().flatten()
        left = left[left // K == left[0] // K]
        got = run.logits(tokens, torch.tensor([0, L]), left, zero, owner=torch.tensor([0]))
        assert torch.equal(got, model.engine(tokens[None], rows=left))
        with torch.no_grad():
            want = forward(tokens[None])[0, left]
        assert float((got - want).abs().max() / want.abs().max()) < 1e-5
        tokens[left[rng.integers(len(left))]] = int(rng.integers(40))


@pytest.mark.parametrize("name", FAMILIES)
def test_both_doors_give_the_same_tokens(tmp_path, name):
    """The folder asks for its own blocks; the independent forward, a callable, is sampled in the same ones."""
    model, forward = load(tmp_path, name)
    K, mask = model.config.block_length, model.config.mask_id
    banned = sorted({*model.banned, *range(40, 41)})
    options = dict(prompt=[3, 1, 4, 1, 5], length=L, num_samples=4, seed=5)
    native = pymdm.sample(model, banned_tokens=banned, **options)
    door = pymdm.sample(
        forward, mask_id=mask, sampler=pymdm.FirstHitting(block_length=K), banned_tokens=banned, **options
    )
    assert native.law == door.law and torch.equal(native.tokens, door.tokens)
    order = native.rank[:, 5:].argsort(1) + 5
    assert bool((order // K == (torch.arange(5, L) // K)).all())
    assert mask not in native.tokens
    ahead = pymdm.sample(model, banned_tokens=banned, sampler=pymdm.FirstHitting(lookahead=3), **options)
    assert torch.equal(ahead.tokens, native.tokens) and ahead.calls < native.calls


def test_which_row_a_position_is_read_at(tmp_path):
    """Fast-dLLM v2 reads position l at l - 1: a block's first position in the finished block before, which sees no mask."""
    model, _ = load(tmp_path, "fast-dllm-v2")
    tokens = torch.arange(L)[None] % 40
    tokens[:, 8:] = 47
    first = model.engine(tokens, rows=torch.tensor([8]))
    tokens[:, 9:] = 7  # the rest of the block does not move it
    assert torch.equal(model.engine(tokens, rows=torch.tensor([8])), first)
    same, _ = load(tmp_path / "b", "sdar")
    tokens[:, 8:] = 47
    own = same.engine(tokens, rows=torch.tensor([8]))
    tokens[:, 9:] = 7
    assert not torch.equal(same.engine(tokens, rows=torch.tensor([8])), own)


def test_info_says_attention_and_block(tmp_path):
    for name, (build, K) in FAMILIES.items():
        settings, state, _ = build()
        about = describe(p.write(tmp_path / name.replace(" ", ""), settings, state))
        assert (
            about["attention"].startswith(f"block of {K}") and about["exact"] == "first-hitting, blocks from the left"
        )
        assert about["logit_shift"] is (name == "fast-dllm-v2") and about["bytes_kept"] > 0
    assert "finished blocks causal" in about["attention"]


def test_what_the_settings_leave_open_is_as_released(tmp_path):
    settings, state, _ = sdar()
    settings.pop("mask_token_id")
    with pytest.raises(ValueError, match="no mask_token_id"):  # 50 ids: not a released one
        pymdm.load(p.write(tmp_path / "small", settings, state))
    wide = {"vocab_size": 151_936, "hidden_size": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2,
            "intermediate_size": 4, "num_hidden_layers": 1}  # fmt: skip
    _, big = of_transformers("Qwen3", SDAR | wide)
    about = describe(p.write(tmp_path / "wide", {**settings, **wide}, big))
    assert about["mask_id"] == 151_669 and about["attention"] == "block of 4" and "blocks of 4" in about["note"]
    _, big = of_transformers("Qwen2", FAST | wide | {"tie_word_embeddings": False})
    other = {k: v for k, v in FAST.items() if k not in ("mask_token_id", "bd_size")}
    other |= wide | {"tie_word_embeddings": False}
    about = describe(p.write(tmp_path / "fast", other, big))
    assert about["mask_id"] == 151_665 and about["attention"] == "block of 32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dlm_paradigm": "autoregressive"}, "dlm_paradigm 'autoregressive'"),
        ({"sliding_window": 64}, "sliding_window"),
        ({"rope_parameters": NEMOTRON["rope_parameters"] | {"beta_fast": 16.0}}, "beta_fast 16.0"),
        ({"rope_parameters": NEMOTRON["rope_parameters"] | {"mscale_all_dim": 0.5}}, "temperature"),
        ({"rope_parameters": NEMOTRON["rope_parameters"] | {"rope_type": "llama3"}}, "scaled rotary positions"),
        ({"block_size": None}, "block_size"),
    ],
    ids=str,
)
def test_settings_that_are_not_computed_are_named(tmp_path, change, words):
    settings, state, _ = nemotron()
    with pytest.raises(ValueError, match=words) as error:
        pymdm.load(p.write(tmp_path / "m", {**settings, **change}, state))
    assert str(error.value).startswith("load: ") and "\n" not in str(error.value)


def test_the_length_ends_where_queries_would_be_scaled(tmp_path):
    assert load(tmp_path, "nemotron-labs-diffusion")[0].config.length == 64
