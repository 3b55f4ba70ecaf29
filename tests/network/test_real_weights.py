"""Published weights, where their packages are: rxnmapper 0.4.3, antiberty 0.1.3, sapiens 1.0.5.

They are looked for as installed packages (which are not imported) and in the folder PYMDM_REAL_WEIGHTS, into which
`pip download --no-deps NAME==VERSION` and `unzip` have put them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch

import pymdm
from pymdm.data.letters import read_letters

transformers = pytest.importorskip("transformers", reason="the independent implementation is transformers'")
HEAVY = "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"


def package(name: str, inside: str) -> Path:
    """A folder or file inside an unpacked or installed package."""
    places = [Path(os.environ["PYMDM_REAL_WEIGHTS"])] if "PYMDM_REAL_WEIGHTS" in os.environ else []
    spec = importlib.util.find_spec(name)
    places += [Path(p).parent for p in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        for found in (place / name / inside, place / name / name / inside):
            if found.exists():
                return found
    pytest.skip(f"{name} is neither installed nor in PYMDM_REAL_WEIGHTS")


def check(loaded, reference, text: str, hidden: int, least: float) -> None:
    """Logits of a real sequence with one mask are the reference's, and the true token there is likely."""
    ids = torch.tensor([[*loaded.frame[0], *loaded.tokenizer.encode(text), *loaded.frame[1]]])
    true, ids[0, hidden] = int(ids[0, hidden]), loaded.config.mask_id
    with torch.no_grad():
        want = reference(input_ids=ids).logits
    got = loaded.engine(ids)
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5
    assert float(got[0, hidden].softmax(-1)[true]) > least


def test_rxnmapper():
    folder = package("rxnmapper", "models/transformers/albert_heads_8_uspto_all_1310k")
    loaded = pymdm.load(folder)
    reference = transformers.AlbertForMaskedLM.from_pretrained(folder).eval()
    check(loaded, reference, "CC(=O)O.OCC>>CC(=O)OCC.O", 5, 0.5)
    out = pymdm.sample(loaded, infill="CC(=O)O.OCC>>CC(=O)[MASK:3].O", num_samples=2, seed=1)
    assert all(text.startswith("CC(=O)O.OCC>>CC(=O)") and text.endswith(".O") for text in out.text)


def test_antiberty():
    folder = package("antiberty", "trained_models/AntiBERTy_md_smooth")
    loaded = pymdm.load(folder, tokenizer=read_letters(folder.parent))
    reference = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    check(loaded, reference, HEAVY, 10, 0.5)


def test_sapiens(tmp_path):
    """fairseq's file pickles its settings: refused by name; its tensors alone open, with those settings as config.json."""
    file = package("sapiens", "models/v1/checkpoint_vh.pt")
    with pytest.raises(ValueError, match=r"argparse\.Namespace.*not unpickled.*Pickles"):
        pymdm.load(file, config={"arch": "roberta_small"})
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(file, map_location="cpu", weights_only=True)
    torch.save(content["model"], tmp_path / "model.pt")
    plain = {k: v for k, v in vars(content["args"]).items() if isinstance(v, int | float | str | bool | None)}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    (tmp_path / "dict.txt").write_bytes((file.parent / "dict.txt").read_bytes())
    loaded = pymdm.load(tmp_path)
    assert loaded.training["family"] == "fairseq" and loaded.config.length == 144 and loaded.config.mask_id == 24
    check(loaded, roberta(content["model"], loaded.config), HEAVY, 10, 0.5)
    out = pymdm.sample(loaded, infill=HEAVY[:30] + "[MASK:4]" + HEAVY[34:], num_samples=2, seed=1)
    assert all(len(text) == len(HEAVY) for text in out.text)


def roberta(state, c):
    """transformers' RoBERTa with fairseq's tensors."""
    config = transformers.RobertaConfig(
        vocab_size=c.vocab_size, hidden_size=c.width, num_hidden_layers=c.layers, num_attention_heads=c.heads,
        intermediate_size=c.mlp_width, max_position_embeddings=c.length + 2, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1,
    )  # fmt: skip
    model = transformers.RobertaForMaskedLM(config).eval()
    body, names = "decoder.sentence_encoder", {"lm_head.bias": "decoder.lm_head.bias"}
    parts = {"self_attn.q_proj": "attention.self.query", "self_attn.k_proj": "attention.self.key",
             "self_attn.v_proj": "attention.self.value", "self_attn.out_proj": "attention.output.dense",
             "self_attn_layer_norm": "attention.output.LayerNorm", "fc1": "intermediate.dense", "fc2": "output.dense",
             "final_layer_norm": "output.LayerNorm"}  # fmt: skip
    for kind in ("weight", "bias"):
        for theirs, ours in parts.items():
            for i in range(c.layers):
                names[f"roberta.encoder.layer.{i}.{ours}.{kind}"] = f"{body}.layers.{i}.{theirs}.{kind}"
        names[f"roberta.embeddings.LayerNorm.{kind}"] = f"{body}.emb_layer_norm.{kind}"
        names[f"lm_head.dense.{kind}"] = f"decoder.lm_head.dense.{kind}"
        names[f"lm_head.layer_norm.{kind}"] = f"decoder.lm_head.layer_norm.{kind}"
    names["roberta.embeddings.word_embeddings.weight"] = f"{body}.embed_tokens.weight"
    names["roberta.embeddings.position_embeddings.weight"] = f"{body}.embed_positions.weight"
    missing = model.load_state_dict({ours: state[theirs] for ours, theirs in names.items()}, strict=False).missing_keys
    with torch.no_grad():
        model.roberta.embeddings.token_type_embeddings.weight.zero_()
    assert set(missing) <= {
        "roberta.embeddings.token_type_embeddings.weight", "lm_head.decoder.weight", "lm_head.decoder.bias",
    }  # fmt: skip
    return model
