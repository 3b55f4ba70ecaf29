"""Published layouts: the engine's logits beside an independent forward, and the same tokens through both doors."""

import pytest
import torch
from helpers import published as p
from helpers.engine_networks import assert_parity

import pymdm
from pymdm.sampling.samplers import FirstHitting

transformers = pytest.importorskip(
    "transformers", reason="Dream's and BERT's families are compared with transformers' classes"
)


def qwen2(state, c):
    """transformers' Qwen2 with attention in both directions, its logits moved right by one: Dream."""
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
            "vocab_size", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings")  # fmt: skip
    config = transformers.Qwen2Config(
        **{k: c[k] for k in keys}, rope_parameters={"rope_type": "default", "rope_theta": c["rope_theta"]},
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.Qwen2ForCausalLM(config).eval()
    assert not model.load_state_dict(state, strict=False).unexpected_keys

    def forward(tokens):
        B, L = tokens.shape
        logits = model(tokens, attention_mask=torch.zeros(B, 1, L, L), use_cache=False).logits
        return torch.cat([logits[:, :1], logits[:, :-1]], 1)

    return forward


def cases():
    """name -> (settings, state, forward): everything small and random."""
    mdlm = p.dit(1, 41, 32, 2, 12, norm_bias=False, ada=True, prefix="backbone.")
    plain = {k.removeprefix("backbone."): v for k, v in mdlm.items()}
    zero = lambda t: torch.zeros(t.shape[0])  # noqa: E731
    bd3 = {**p.MDLM, "model_type": "bd3lm", "block_size": 32, "cross_attn": True, "adaln": True}
    radd = p.dit(2, 41, 32, 2, 12, norm_bias=True, ada=False)
    llada, dream, smdm = p.llada(3, p.LLADA), p.decoder(4, p.DREAM, True), p.smdm(5, p.SMDM)
    illada = {**p.LLADA, "n_kv_heads": 2, "weight_tying": True}
    tied = p.llada(6, illada)
    return {
        "mdlm": (p.MDLM, mdlm, lambda t: p.dit_forward(plain, t, 2, 4, zero(t))),
        "bd3lm": (
            bd3,
            mdlm | {"sampling_eps_min": torch.tensor(0.0), "sampling_eps_max": torch.tensor(1.0)},
            lambda t: p.dit_forward(plain, t, 2, 4, zero(t)),
        ),
        "radd": (p.RADD, radd, lambda t: p.dit_forward(radd, t, 2, 4, None)),
        "llada": (p.LLADA, llada, lambda t: p.llada_forward(llada, t, p.LLADA)),
        "illada": (illada, tied, lambda t: p.llada_forward(tied, t, illada)),
        "dream": (p.DREAM, dream, qwen2(dream, p.DREAM)),
        "smdm": (p.SMDM, smdm, lambda t: p.smdm_forward(smdm, t, p.SMDM)),
    }


NAMES = ("mdlm", "bd3lm", "radd", "llada", "illada", "dream", "smdm")


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_an_independent_forward(tmp_path, name):
    settings, state, forward = cases()[name]
    model = pymdm.load(p.write(tmp_path / "m", settings, state))
    c = model.config
    tokens = torch.randint(0, c.embed_rows, (3, 17), generator=torch.Generator().manual_seed(1))
    tokens[:, ::3] = c.mask_id
    with torch.no_grad():
        want = forward(tokens)
    assert_parity(name, want, model.engine(tokens), pymdm.load(tmp_path / "m", dtype="bfloat16").engine(tokens))


@pytest.mark.parametrize("name", NAMES)
def test_both_doors_give_the_same_tokens(tmp_path, name):
    settings, state, forward = cases()[name]
    model = pymdm.load(p.write(tmp_path / "m", settings, state))
    options = dict(length=12, num_samples=4, seed=5, sampler=FirstHitting())
    native = pymdm.sample(model, **options)
    banned = model.banned
    door = pymdm.sample(forward, mask_id=model.config.mask_id, banned_tokens=banned, **options)
    assert torch.equal(native.tokens, door.tokens) and torch.equal(native.rank, door.rank)
    drawn = set(native.tokens.flatten().tolist())
    assert model.config.mask_id not in drawn and not drawn & set(banned)


@pytest.mark.parametrize("name", ["sedd", "mdlm"])
def test_networks_that_see_sigma(tmp_path, name):
    """Logits over a range of times, and the tokens of both doors; sedd's own scores differ by a constant of the row."""
    state = p.dit(7, 41, 32, 2, 12, norm_bias=False, ada=True)
    settings = p.SEDD if name == "sedd" else {**p.MDLM, "time_conditioning": True}
    model = pymdm.load(p.write(tmp_path / "m", settings, state))

    def forward(tokens, times):
        sigma = -torch.log1p(-(1 - 1e-3) * times)
        logits = p.dit_forward(state, tokens, 2, 4, sigma.float())
        return logits - torch.log(torch.expm1(sigma))[:, None, None].float() if name == "sedd" else logits

    tokens = torch.randint(0, 41, (5, 11), generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.001, 0.3, 0.6, 0.99, 1.0], dtype=torch.float64)
    with torch.no_grad():
        want, got = forward(tokens, times), model.engine(tokens, times)
    half = pymdm.load(tmp_path / "m", dtype="bfloat16").engine(tokens, times)
    want, got, half = (x - x.mean(-1, keepdim=True) for x in (want, got, half))
    assert_parity(name, want, got, half)
    assert (
        float((got[:1] - (x := model.engine(tokens[:1], times[4:])) + x.mean(-1, keepdim=True)).abs().max()) > 0.1
    )  # the time matters
    options = dict(length=12, num_samples=4, seed=5)
    native = pymdm.sample(model, **options)
    door = pymdm.sample(forward, mask_id=40, time_conditioned=True, banned_tokens=model.banned, **options)
    assert torch.equal(native.tokens, door.tokens)
    if name == "sedd":
        p.write(tmp_path / "g", {**settings, "noise": {"type": "geometric"}}, state)
        with pytest.raises(ValueError, match="geometric"):
            pymdm.load(tmp_path / "g")


def test_logit_shift_of_a_callable():
    """The callable's own logits plus logit_shift=True are the shifted model."""
    table = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))

    def plain(tokens):  # the answer at l depends on l and on the token there
        return table[tokens] + torch.arange(tokens.shape[1])[None, :, None] * table[0]

    def shifted(tokens):
        logits = plain(tokens)
        return torch.cat([logits[:, :1], logits[:, :-1]], 1)

    options = dict(mask_id=8, length=10, num_samples=8, seed=3)
    a = pymdm.sample(plain, logit_shift=True, **options)
    b = pymdm.sample(shifted, **options)
    c = pymdm.sample(plain, **options)
    assert torch.equal(a.tokens, b.tokens) and not torch.equal(a.tokens, c.tokens)
    rows = lambda tokens, rows: plain(tokens).flatten(0, 1)[rows]  # noqa: E731
    assert torch.equal(pymdm.sample(rows, chosen_rows=True, logit_shift=True, **options).tokens, a.tokens)
