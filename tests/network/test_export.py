"""What `pymdm export` writes opens elsewhere and here, with the same logits."""

import pytest
import torch
from helpers import published
from helpers.command_line import run
from helpers.engine_networks import random_network

import pymdm
from pymdm.network.checkpoint import save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.export import export

SHAPE = dict(length=16, width=24, layers=2, heads=2)
WORDS = pymdm.Tokenizer.train(["abcdefgh "], "char")
VARIANTS = {
    "plain": {},
    "llama": dict(norm="rmsnorm", mlp="swiglu", tied_head=True, kv_heads=1, logit_shift=True, norm_bias=True),
    "encoder": dict(mlp="gelu_erf", post_norm=True, positions="learned", embed_norm=True, head_transform=True),
    "constant": dict(conditioning="constant", cond_dim=8),
    "time": dict(conditioning="time", cond_dim=8, time_input="sigma", attention="causal"),
}
SIGMA = dict(conditioning="time", cond_dim=8, time_input="sigma")


def checkpoint(tmp_path, dtype=torch.float32, **options):
    """A folder of ours with weights of that type, and the same weights as a float32 network."""
    config = ModelConfig(vocab_size=WORDS.size, **SHAPE, **options)
    state = {name: value.to(dtype) for name, value in random_network(config, 3).state_dict().items()}
    network = save_checkpoint(tmp_path / "ours", config, state, WORDS).build()
    tokens = torch.randint(0, WORDS.size + 1, (3, 11), generator=torch.Generator().manual_seed(1))
    return network, tokens


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_opens_it(tmp_path, variant):
    transformers = pytest.importorskip("transformers")
    network, tokens = checkpoint(tmp_path, **VARIANTS[variant])
    out = tmp_path / "out"
    assert run("export", tmp_path / "ours", "--out", out).exit_code == 0
    model = transformers.AutoModelForMaskedLM.from_pretrained(out, trust_remote_code=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert tokenizer.mask_token_id == WORDS.mask_id and tokenizer("abc")["input_ids"] == WORDS.encode("abc")
    times = torch.tensor([0.2, 0.7, 1.0])
    timed = variant == "time"
    with torch.no_grad():
        want = network(tokens, times) if timed else network(tokens)
        got = model(input_ids=tokens, **({"time": times} if timed else {})).logits
        assert float((got - want).abs().max()) < 1e-5 * float(want.abs().max())
        if not timed:  # padding behind the attention mask changes nothing
            known = torch.ones(3, 13, dtype=torch.int64)
            known[:, 11:] = 0
            padded = model(input_ids=torch.cat([tokens, tokens[:, :2]], 1), attention_mask=known).logits[:, :11]
            assert float((padded - want).abs().max()) < 1e-5 * float(want.abs().max())
    back = pymdm.load(out)
    assert torch.equal(back.engine(tokens, times), pymdm.load(tmp_path / "ours").engine(tokens, times))
    assert run("export", tmp_path / "ours", "--out", out).exit_code == 0  # an earlier export is replaced


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_half_precision_open_too(tmp_path, variant, dtype):
    """As transformers opens them by default, in their own type, and in float32: the bundled weights are bfloat16."""
    transformers = pytest.importorskip("transformers")
    network, tokens = checkpoint(tmp_path, dtype, **VARIANTS[variant])
    export(tmp_path / "ours", tmp_path / "out")
    times = {"time": torch.tensor([0.2, 0.7, 1.0])} if variant == "time" else {}
    with torch.no_grad():
        want = network(tokens, *times.values())
        for options, bound in (({}, 5e-2), ({"dtype": torch.float32}, 1e-5)):
            model = transformers.AutoModelForMaskedLM.from_pretrained(
                tmp_path / "out", trust_remote_code=True, **options
            )
            assert next(model.parameters()).dtype == options.get("dtype", dtype)
            got = model(input_ids=tokens, **times).logits
            assert got.dtype == torch.float32 and float((got - want).abs().max()) < bound * float(want.abs().max())


def test_the_bundled_model_goes_there_and_back(tmp_path):
    transformers = pytest.importorskip("transformers")
    assert run("export", "bundled:masked", "--out", tmp_path / "out").exit_code == 0
    options = dict(infill="Return the [MASK:4] of the class.", num_samples=2, seed=1)
    ours, back = (
        pymdm.sample(pymdm.load("bundled:masked"), **options),
        pymdm.sample(pymdm.load(tmp_path / "out"), **options),
    )
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", trust_remote_code=True, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)
    door = pymdm.sample(model, tokenizer=tokenizer, **options)
    assert door.text == ours.text and door.tokens.tolist() == ours.tokens.tolist()
    in_float32 = pymdm.sample(pymdm.load(tmp_path / "out", dtype="float32"), **options)
    assert in_float32.tokens.tolist() == ours.tokens.tolist() and back.law == "exact"


@pytest.mark.parametrize("variant", ["plain", "constant", "sigma"])
def test_mdlms_layout_has_the_same_law(tmp_path, variant):
    network, tokens = checkpoint(tmp_path, **(SIGMA if variant == "sigma" else VARIANTS[variant]))
    times = (torch.tensor([0.2, 0.7, 1.0]),) if variant == "sigma" else ()
    assert run("export", tmp_path / "ours", "--out", tmp_path / "out", "--to", "mdlm").exit_code == 0
    model = pymdm.load(tmp_path / "out")
    assert model.conventions.family == "mdlm" and model.config.mask_id == WORDS.mask_id
    with torch.no_grad():
        want = network(tokens, *times)
    got = model.engine(tokens, *times)[..., :-1]  # their network scores the mask too
    assert float((got - want).abs().max()) < 1e-5 * float(want.abs().max())
    options = dict(length=12, num_samples=3, seed=2)
    ours, theirs = pymdm.sample(pymdm.load(tmp_path / "ours"), **options), pymdm.sample(model, **options)
    assert torch.equal(ours.tokens, theirs.tokens) and ours.text == theirs.text


def test_what_cannot_be_exported_is_one_line(tmp_path):
    checkpoint(tmp_path, **VARIANTS["llama"])
    for arguments, words in (
        (("--to", "mdlm"), "MDLM's layout has"),
        (("--to", "gguf"), "the form must be one of transformers, mdlm"),
    ):
        out = run("export", tmp_path / "ours", "--out", tmp_path / "out", *arguments)
        assert out.exit_code == 2 and words in out.stderr and not (tmp_path / "out").exists()
    for switches, words in (
        ({"attention": "any-order"}, "attention 'any-order'"),
        ({"attention": "block", "block_length": 4}, "attention 'block'"),
        ({"yarn": 4.0, "yarn_length": 8}, "yarn"),
    ):
        folder = tmp_path / switches.get("attention", "yarn")
        checkpoint(folder, **switches)
        with pytest.raises(ValueError, match=f"^export: .*{words}"):
            export(folder / "ours", tmp_path / "out")
    theirs = published.write(tmp_path / "theirs", published.LLADA, published.llada(3, published.LLADA))
    for command in (("export", theirs, "--out", tmp_path / "out"), ("evaluate", theirs, "--text", __file__)):
        out = run(*command)
        assert out.exit_code == 2 and out.stderr.count("\n") == 1
        assert "is a published checkpoint (llada), and this needs one trained here; pymdm.load and" in out.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert run("export", tmp_path / "ours", "--out", tmp_path / "mine").exit_code == 2
    assert (tmp_path / "mine" / "thesis.txt").exists()
