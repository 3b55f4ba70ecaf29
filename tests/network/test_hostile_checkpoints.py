"""Checkpoints that are made to harm: sizes without weights, nests, other kinds of values. Each is one line, at once."""

import json
import tracemalloc

import pytest
import torch
from helpers.command_line import run
from safetensors.torch import save_file

import pymdm
from pymdm.data.tokenizer import Tokenizer
from pymdm.network.checkpoint import load_checkpoint, save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer, parameter_shapes

LETTERS = Tokenizer.train(["abcdefgh"], "char")
CONFIG = ModelConfig(vocab_size=8, length=6, width=8, layers=2, heads=2)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model", CONFIG, MaskedTransformer(CONFIG).state_dict(), LETTERS, {"recipe": {}})
    return tmp_path / "model"


def rewrite(folder, part, change):
    content = json.loads((folder / "config.json").read_text())
    content[part] = content[part] | change
    (folder / "config.json").write_text(json.dumps(content))


SIZES = {
    "layers": (10_000, "missing tensor blocks.2."),
    "length": (2**27, "length must be at most 1048576, got 134217728"),
    "mask_id": (2**23, r"embed.weight must have shape \[8388609, 8\], got \[9, 8\]"),
    "vocab_size": (2**40, "vocab_size must be at most 16777216"),
    "width": (2**19, "embed_dim must be the width"),
    "mlp_width": (2**24, r"mlp_in.weight must have shape \[16777216, 8\]"),
    "norm_eps": (10**400, r"norm_eps must be at most 2\^53, got 1000"),
    "heads": (10**400, "heads must be at most 1048576, got 1000"),
    "conditioning": ("x" * 10**6, "conditioning must be one of none, constant, time, got 'xxx"),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_held_against_the_file_before_anything_is_made(folder, name):
    value, message = SIZES[name]
    rewrite(folder, "model", {name: value})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            load_checkpoint(folder)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20 and len(str(caught.value)) < 400
    finally:
        tracemalloc.stop()


def test_shapes_of_many_layers_build_one_block():
    wanted = {n: tuple(p.shape) for n, p in MaskedTransformer(CONFIG).state_dict().items()}
    assert parameter_shapes(CONFIG) == wanted and list(parameter_shapes(CONFIG)) == list(wanted)
    many = ModelConfig(**(CONFIG.to_dict() | {"layers": 4096}))
    a_block = sum(n.startswith("blocks.0.") for n in wanted)
    assert len(parameter_shapes(many)) == len(wanted) + 4094 * a_block
    assert sum(n.startswith("blocks.4095.") for n in parameter_shapes(many)) == a_block


@pytest.mark.parametrize("text", ["[" * 100_000, '{"model":' * 50_000, "[1]", "1", '{"model": 3}', '{"training": []}'])
def test_settings_that_are_none(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"^load_checkpoint: .*config.json"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"recipe": []}, "recipe must be an object, got list"),
        ({"recipe": None}, "recipe must be an object, got NoneType"),
        ({"corpus": "x"}, "corpus must be an object, got str"),
        ({"held_out": 1.5}, "held_out must be an object, got float"),
        ({"recipe": {"schedule": ["linear"]}}, "schedule of recipe cannot be of type list"),
        ({"recipe": {"objective": {}}}, "objective of recipe cannot be of type dict"),
        ({"recipe": {"source": 3}}, "source of recipe cannot be of type int"),
        ({"recipe": {"eval_tokens": "9"}}, "eval_tokens of recipe cannot be of type str"),
        ({"corpus": {"sha256": None}}, "sha256 of corpus cannot be of type NoneType"),
    ],
)
def test_training_facts_of_another_kind_are_named(folder, training, message):
    """`"recipe": []` made every sample fail with an AttributeError."""
    rewrite(folder, "training", training)
    with pytest.raises(ValueError, match=rf"^load_checkpoint: .*config.json: {message}"):
        pymdm.load(folder)
    result = run("sample", folder)
    assert result.exit_code == 2 and result.stderr.startswith("pymdm: load_checkpoint: ")


def test_a_dtype_that_we_do_not_know_is_named(folder):
    state = {n: t.to(torch.float8_e4m3fn) for n, t in MaskedTransformer(CONFIG).state_dict().items()}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"tensor \S+ must be float32, bfloat16 or float16, got F8_E4M3"):
        load_checkpoint(folder)
