"""Checkpoints: what is written is read, damage is named, and a crash at any point loses nothing."""

import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

import pymdm.files.replace as replace
import pymdm.network.checkpoint as checkpoint
from pymdm.data.tokenizer import Tokenizer
from pymdm.network.checkpoint import load_checkpoint, save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer

LETTERS = Tokenizer.train(["abcdefgh"], "char")
CONFIG = ModelConfig(vocab_size=8, length=6, width=8, layers=1, heads=2, qkv_bias=True)


def state(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return {k: v.to(dtype) for k, v in MaskedTransformer(CONFIG).state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "model", CONFIG, state(), LETTERS, {"note": "first"})
    return tmp_path / "model"


def only(folder):
    """Nothing but the checkpoint lies beside it."""
    return os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_round_trip(tmp_path, dtype):
    written = save_checkpoint(tmp_path / "a" / "b", CONFIG, state(3, dtype), LETTERS, {"steps": 7})
    read = load_checkpoint(tmp_path / "a" / "b")
    assert (read.config, read.training, read.tokenizer.to_json()) == (CONFIG, {"steps": 7}, LETTERS.to_json())
    assert read.state_dict.keys() == written.state_dict.keys()
    assert all(torch.equal(read.state_dict[k], v) and v.dtype == dtype for k, v in written.state_dict.items())
    assert sorted(os.listdir(tmp_path / "a" / "b")) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_built_network_is_the_saved_one(folder):
    torch.manual_seed(0)
    model = MaskedTransformer(CONFIG).eval()
    tokens = torch.tensor([[0, 8, 2, 7]])
    built = load_checkpoint(folder).build()
    assert not built.training and torch.equal(built(tokens), model(tokens))


def rewrite_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def set_value(tensors, value):
    tensors["blocks.0.out.weight"][1, 2] = value


def rename(tensors):
    tensors["blocks.1.out.weight"] = tensors["blocks.0.out.weight"].clone()


TENSOR_DAMAGE = {
    "missing": (lambda t: t.pop("norm_final.weight"), "missing tensor norm_final.weight"),
    "misshapen": (lambda t: t.update({"head.bias": torch.zeros(9)}), r"head.bias must have shape \[8\], got \[9\]"),
    "transposed": (
        lambda t: t.update({"head.weight": torch.zeros(64).view(8, 8, 1)}),
        r"head.weight must have shape \[8, 8\], got \[8, 8, 1\]",
    ),
    "integer": (lambda t: t.update({"head.bias": torch.zeros(8, dtype=torch.int32)}), "head.bias must be .*got int32"),
    "double": (lambda t: t.update({"head.bias": torch.zeros(8).double()}), "head.bias must be .*got float64"),
    "mixed": (lambda t: t.update({"head.bias": torch.zeros(8).bfloat16()}), "share one dtype, got bfloat16, float32"),
    "nan": (lambda t: set_value(t, float("nan")), "blocks.0.out.weight has values that are not finite"),
    "inf": (lambda t: set_value(t, float("inf")), "blocks.0.out.weight has values that are not finite"),
    "unexpected": (rename, "unexpected tensor blocks.1.out.weight"),
}


@pytest.mark.parametrize("kind", TENSOR_DAMAGE)
def test_each_tensor_damage_is_named(folder, kind):
    change, message = TENSOR_DAMAGE[kind]
    rewrite_tensors(folder, change)
    with pytest.raises(ValueError, match=f"^load_checkpoint: .*{message}"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_missing_and_cut_files_are_named(folder, name):
    whole = (folder / name).read_bytes()
    for part in (b"", whole[:5], whole[: len(whole) // 2], whole[:-3]):
        (folder / name).write_bytes(part)
        with pytest.raises(ValueError, match=name):
            load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"^load_checkpoint: .* has no {name}"):
        load_checkpoint(folder)


def test_missing_folder_and_bad_config(folder):
    with pytest.raises(ValueError, match=r"^load_checkpoint: no such folder"):
        load_checkpoint(folder / "none")
    meta = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"heads": 3}, "kv_heads must divide heads"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"vocab_size": 9, "mask_id": 9}, "tokenizer.json has 8 tokens, but config.json says 9"),
        ({"width": 16}, "embed_dim must be the width"),
        ({"layers": 2}, "missing tensor blocks.1"),
    ):
        (folder / "config.json").write_text(json.dumps(meta | {"model": meta["model"] | change}))
        with pytest.raises(ValueError, match=message):
            load_checkpoint(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"is not an object"):
        load_checkpoint(folder)


def test_saving_refuses_bad_weights_and_leaves_the_old_checkpoint(folder):
    bad = state(1)
    bad["head.bias"][0] = float("nan")
    with pytest.raises(ValueError, match=r"^save_checkpoint: tensor head.bias has values that are not finite"):
        save_checkpoint(folder, CONFIG, bad, LETTERS)
    assert load_checkpoint(folder).training == {"note": "first"} and only(folder)


def test_foreign_files_and_folders_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    for name, message in (
        ("file", "is a file"),
        ("full", "holds 'letter.txt', which no checkpoint has"),
        ("file/below", "cannot write"),
    ):
        with pytest.raises(ValueError, match=f"^save_checkpoint: .*{message}"):
            save_checkpoint(tmp_path / name, CONFIG, state(), LETTERS)
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path / "full") == ["letter.txt"]
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


@pytest.mark.parametrize("swap", [True, False], ids=["exchange", "two-renames"])
def test_overwriting_replaces_everything(folder, monkeypatch, swap):
    if not swap:
        monkeypatch.setattr(replace, "_exchange", lambda a, b: False)
    save_checkpoint(folder, CONFIG, state(5), LETTERS, {"note": "second"}, {"training_state.json": "{}"})
    assert (folder / "training_state.json").is_file()
    save_checkpoint(folder, CONFIG, state(6), LETTERS, {"note": "third"})
    read = load_checkpoint(folder)
    assert read.training == {"note": "third"} and torch.equal(read.state_dict["head.weight"], state(6)["head.weight"])
    assert not (folder / "training_state.json").exists() and only(folder)


@pytest.mark.parametrize("stage", ["save_file", "_sync", "_put"])
def test_a_full_disk_keeps_the_old_checkpoint(folder, monkeypatch, stage):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint if stage == "save_file" else replace, stage, fail)
    with pytest.raises(ValueError, match=r"^save_checkpoint: cannot write .*No space left on device"):
        save_checkpoint(folder, CONFIG, state(1), LETTERS)
    assert load_checkpoint(folder).training == {"note": "first"} and only(folder)


def test_killed_between_the_two_renames(folder):
    os.rename(folder, replace._previous(folder))
    assert load_checkpoint(folder).training == {"note": "first"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_any_moment_leaves_a_whole_checkpoint(folder):
    versions = [state(0), state(1)]
    save_checkpoint(folder, CONFIG, versions[0], LETTERS, {"version": 0})
    for round_ in range(12):
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:  # writes in turn until it is killed
            number = round_
            while True:
                number += 1
                save_checkpoint(folder, CONFIG, versions[number % 2], LETTERS, {"version": number % 2})
                os.write(tell, b".")
        assert os.read(ready, 1) == b"."  # it has written at least once
        time.sleep(0.005 * round_)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(tell)
        read = load_checkpoint(folder)
        version = read.training["version"]
        assert all(torch.equal(read.state_dict[k], v) for k, v in versions[version].items())
    save_checkpoint(folder, CONFIG, versions[0], LETTERS)
    assert only(folder)  # and what the killed writers left behind is gone
