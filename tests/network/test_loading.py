"""`load` knows what it is given: files, shards, wrappers, averages, and says in one line what is wrong."""

import json

import pytest
import torch
from helpers import published as p
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

import pymdm

TOKENS = torch.tensor([[3, 47, 9, 47, 0, 47]])


@pytest.fixture(scope="module")
def state():
    return p.llada(3, p.LLADA)


@pytest.fixture
def folder(tmp_path, state):
    return p.write(tmp_path / "m", p.LLADA, state)


def logits(path, **options):
    return pymdm.load(path, **options).engine(TOKENS)


def refused(path, *words, **options):
    with pytest.raises(ValueError) as error:
        pymdm.load(path, **options)
    text = str(error.value)
    assert text.startswith("load: ") and "\n" not in text and all(w in text for w in words), text


def test_shards_with_an_index_and_one_file_give_the_same_logits(folder, state, tmp_path):
    want = logits(folder)
    assert torch.equal(logits(folder / "model.safetensors"), want)
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "config.json").write_text(json.dumps(p.LLADA))
    names = sorted(state)
    places = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(names)}
    for file in set(places.values()):
        save_file({n: state[n] for n in names if places[n] == file}, shards / file)
    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert torch.equal(logits(shards), want)
    index.unlink()
    refused(shards, "no index and several files")
    index.write_text(json.dumps({"weight_map": {**places, "x": "gone.safetensors"}}))
    refused(shards, "names gone.safetensors")


def test_config_stands_for_the_missing_one(folder):
    want = logits(folder)
    (folder / "config.json").unlink()
    refused(folder, "its settings have no")
    assert torch.equal(logits(folder, config=p.LLADA), want)
    with pytest.raises(ValueError, match="leave config and tokenizer out"):
        pymdm.load(tokenizer=Tokenizer(models.WordLevel({"a": 0}, "a")))


def test_torch_files_give_tensors_and_nothing_else(tmp_path, state, folder):
    file = tmp_path / "m.pt"
    torch.save({f"module._orig_mod.{n}": t for n, t in state.items()}, file)
    assert torch.equal(logits(file, config=p.LLADA), logits(folder))

    torch.save({"state_dict": state, "hyper": pymdm.FirstHitting()}, file)
    refused(file, "objects besides tensors", "FirstHitting", config=p.LLADA)
    file.write_bytes(b"no such thing")
    refused(file, "cannot read", config=p.LLADA)


def test_averaged_weights_are_chosen(tmp_path):
    raw = p.dit(1, 41, 32, 2, 12, norm_bias=False, ada=True, prefix="backbone.")
    average = p.dit(2, 41, 32, 2, 12, norm_bias=False, ada=True, prefix="backbone.")
    want = pymdm.load(p.write(tmp_path / "a", p.MDLM, average)).engine(TOKENS % 41)
    shadow = [t for n, t in average.items() if not n.endswith("inv_freq")]
    torch.save({"state_dict": raw, "ema": {"decay": 0.999, "shadow_params": shadow}}, tmp_path / "m.ckpt")
    got = pymdm.load(tmp_path / "m.ckpt", config=p.MDLM).engine(TOKENS % 41)
    assert torch.equal(got, want)
    torch.save({"state_dict": raw, "ema": {"shadow_params": shadow[1:]}}, tmp_path / "m.ckpt")
    refused(tmp_path / "m.ckpt", "do not match", config=p.MDLM)


def test_dtype_is_the_files(tmp_path, state):
    half = {n: t.bfloat16() for n, t in state.items()}
    norms = {n: t.float() if "norm" in n or "ln_f" in n else t for n, t in half.items()}
    path = p.write(tmp_path / "half", p.LLADA, norms)
    model = pymdm.load(path)
    assert model.engine.dtype == "bfloat16" and pymdm.load(path, dtype="float32").engine.dtype == "float32"
    whole = p.write(tmp_path / "whole", p.LLADA, {n: t.float() for n, t in half.items()})
    assert torch.equal(logits(path, dtype="float32"), logits(whole))
    sixteen = p.write(tmp_path / "sixteen", p.LLADA, {n: t.half() for n, t in state.items()})
    assert pymdm.load(sixteen).engine.dtype == "float32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("model.transformer.blocks.1.k_proj.weight"), ("missing tensor transformer.blocks.1.k_proj",)),
        (
            lambda s: s.update({"model.transformer.extra": torch.ones(2)}),
            ("unexpected tensor model.transformer.extra",),
        ),
        (
            lambda s: s.update({"model.transformer.ln_f.weight": torch.ones(31)}),
            ("model.transformer.ln_f.weight must have shape [32], got [31]",),
        ),
        (
            lambda s: s["model.transformer.blocks.0.v_proj.weight"].fill_(torch.nan),
            ("blocks.0.v_proj.weight has values",),
        ),
        (lambda s: s["model.transformer.wte.weight"][3, 4:5].fill_(torch.inf), ("wte.weight has values",)),
        (lambda s: s.update({"model.transformer.ln_f.weight": torch.ones(32, dtype=torch.int8)}), ("got int8",)),
    ],
)
def test_a_tensor_at_fault_is_named_with_its_file(tmp_path, change, words):
    state = p.llada(3, p.LLADA)
    change(state)
    path = p.write(tmp_path / "m", p.LLADA, state)
    refused(path, str(path), *words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mask_token_id": None}, ("no mask_token_id",)),
        ({"d_model": "wide"}, ("d_model must be int",)),
        ({"alibi": True}, ("alibi True",)),
        ({"layer_norm_type": "default"}, ("layer_norm_type 'default'",)),
    ],
)
def test_a_setting_at_fault_is_named(tmp_path, state, settings, words):
    refused(p.write(tmp_path / "m", {**p.LLADA, **settings}, state), *words)


def test_known_families_that_are_not_computed_are_refused_by_name(tmp_path, state):
    mdlm = p.dit(1, 41, 32, 2, 12, norm_bias=False, ada=True)
    blocks = {**p.MDLM, "model_type": "bd3lm", "block_size": 4, "cross_attn": False}
    refused(p.write(tmp_path / "b", blocks, mdlm), "cross_attn False")
    for kind, words in (
        ("nemotron_labs_diffusion_vlm", "vision"),
        ("sdar_moe", "mixture"),
        ("llada2_moe", "mixture-of-experts"),
        ("diffusion_gemma", "no mask"),
    ):
        refused(p.write(tmp_path / kind, {"model_type": kind}, {"x": torch.ones(1)}), kind, words)
    refused(p.write(tmp_path / "x", {"model_type": "t5"}, {"x": torch.ones(1)}), "'t5' is not among", "callable")


def test_tied_heads_stored_twice_must_be_the_same(tmp_path):
    settings = {**p.LLADA, "weight_tying": True}
    state = p.llada(3, settings)
    want = logits(p.write(tmp_path / "once", settings, state))
    twice = state | {"model.transformer.ff_out.weight": state["model.transformer.wte.weight"].clone()}
    assert torch.equal(logits(p.write(tmp_path / "twice", settings, twice)), want)
    twice["model.transformer.ff_out.weight"][0, 0] += 1
    refused(p.write(tmp_path / "other", settings, twice), "differs from transformer.wte.weight")


def test_what_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused("nobody/nothing-here", "nobody/nothing-here")
    (tmp_path / "notes.txt").write_text("x")
    refused(tmp_path / "notes.txt", ".safetensors file")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    refused(tmp_path / "cut.safetensors", "cannot read")


def test_weights_are_not_doubled_on_the_way(folder):
    """Converted parameters are views of the mapped file; joined ones are lists of views."""
    from pymdm.network.foreign import convert
    from pymdm.network.source import open_source

    source = open_source(folder)
    places = {t.data_ptr() for _, _, t in source.tensors.values()}
    parts = [t for some in convert(source).weights.values() for t in some]
    assert len(parts) == len(source.tensors) and all(t.data_ptr() in places for t in parts)
    assert load_file(folder / "model.safetensors").keys() == {name for _, name, _ in source.tensors.values()}


class Unknown:
    """Something that torch does not unpickle."""


def test_old_torch_files_and_files_of_the_training_beside_them(tmp_path, state, folder):
    """torch.save before 1.6 wrote no zip; a Trainer leaves training_args.bin beside the weights."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_text((folder / "config.json").read_text())
    torch.save(state, old / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    torch.save({"args": 1}, old / "training_args.bin")
    assert torch.equal(logits(old), logits(folder))
    torch.save({"model": state, "args": Unknown()}, old / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    refused(old, "test_loading.Unknown", "not unpickled", "Pickles")


def test_a_value_of_our_own_folder_that_is_not_finite_is_named(tmp_path):
    """The engine looks at each value once, as it packs it; the message is still the reader's."""
    from pymdm.bundled import bundled_path

    for file in bundled_path().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["blocks.1.out.weight"][3, 2] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"model\.safetensors: tensor blocks\.1\.out\.weight has values that are not finite"
    ):
        pymdm.load(tmp_path)


@pytest.mark.parametrize(
    "switch",
    [{"qk_norm": "head"}, {"head_dim": 6}, {"window": 3, "full_every": 2}, {"shared_layers": True}, {"first_norm": False},
     {"mlp": "geglu"}],
    ids=lambda s: next(iter(s)),
)  # fmt: skip
def test_a_device_names_what_it_does_not_compute(switch):
    from pymdm._native import C

    config = pymdm.ModelConfig(vocab_size=5, length=4, width=8, layers=2, heads=2, **switch)
    weights = pymdm.MaskedTransformer(config).state_dict()
    with pytest.raises(ValueError, match=f"{next(iter(switch))}|geglu.*on the CPU only") as error:
        C.DeviceEngine(config.to_dict(), weights, "float32", torch.device("cpu"))
    assert "\n" not in str(error.value)
