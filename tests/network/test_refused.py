"""Families that the engine does not compute are refused by name, with the reason, in one line."""

import pytest
import torch
from helpers import published as p
from helpers.command_line import run

import pymdm
from pymdm.network.layouts import FAMILIES, recognise

EXPERTS = ["model.embed_tokens.weight", "model.layers.1.mlp.experts.0.gate_proj.weight"]
MIXTURE = "mixture-of-experts layers are not computed by the engine"
NO_MASK = "starts from random tokens and has no mask"
CONVOLUTIONS = "convolutions are not computed by the engine"
CASES = {
    "LLaDA2.0, 2.1": ({"model_type": "llada2_moe"}, EXPERTS, "llada2_moe", MIXTURE),
    "LLaDA2.0 of its training code": ({"model_type": "llada2_moe_veomni"}, EXPERTS, "llada2_moe_veomni", MIXTURE),
    "LLaDA-MoE": ({"model_type": "llada", "architectures": ["LLaDAMoEModel"]}, EXPERTS, "LLaDAMoEModel", MIXTURE),
    "LLaDA-MoE, renamed": ({"model_type": "lladamoe"}, EXPERTS, "lladamoe", MIXTURE),
    "SDAR-30B-A3B": ({"model_type": "sdar_moe"}, EXPERTS, "sdar_moe", MIXTURE),
    "a mixture without settings": ({}, EXPERTS, "this model", MIXTURE),
    "DiffusionGemma": ({"model_type": "diffusion_gemma"}, ["model.decoder.embed_tokens.weight"], "diffusion_gemma", NO_MASK),
    "EvoDiff": ({}, ["module.embedder.layers.0.conv.weight", "embedder.embedder.weight"], "evodiff", CONVOLUTIONS),
    "Qwen3.5 of dllm": ({"model_type": "a2d-qwen3_5"}, ["model.norm.weight"], "'a2d-qwen3_5'", "not among the families"),
}  # fmt: skip

for kind, body in (
    ("bert", "bert.encoder"),
    ("roberta", "encoder"),
    ("albert", "encoder"),
    ("modernbert", "layers"),
    ("esm", "encoder"),
):
    CASES[f"{kind} without a head"] = (
        {"model_type": kind},
        [f"{body}.layer.0.weight"],
        kind,
        "no masked language head",
    )


@pytest.mark.parametrize("name", CASES)
def test_refused_by_name_with_the_reason(name):
    settings, names, word, reason = CASES[name]
    with pytest.raises(ValueError, match=reason) as error:
        recognise(settings, names)
    assert word in str(error.value) and "\n" not in str(error.value)
    assert reason == NO_MASK or "head" in reason or "callable" in str(error.value)  # what samples all the same


def test_both_doors_say_it(tmp_path):
    settings, names, word, reason = CASES["LLaDA-MoE"]
    folder = p.write(tmp_path / "m", settings, {name: torch.zeros(2, 2) for name in names})
    with pytest.raises(ValueError, match=f"load: .*{word}: {reason}"):
        pymdm.load(folder)
    for command in (("info", folder), ("sample", folder)):
        result = run(*command)
        assert result.exit_code == 2 and word in result.stderr and result.stderr.count("\n") == 1


def test_evodiffs_own_file_is_refused_by_name(tmp_path):
    torch.save({"model_state_dict": {"module.embedder.embedder.weight": torch.zeros(2, 2)}}, tmp_path / "oa_dm.pt")
    with pytest.raises(ValueError, match=f"evodiff: {CONVOLUTIONS}"):
        pymdm.load(tmp_path / "oa_dm.pt")


def test_dplm_2_is_not_opened_as_dplm():
    """Its rotary positions begin anew for each kind of token."""
    family = next(f for f in FAMILIES if f.name == "esm2, dplm")
    for kind in ("dplm2_esm", "dplm2_bit_esm"):
        with pytest.raises(ValueError, match=f"dplm_type '{kind}' is not computed"):
            family.layout({"model_type": "esm", "dplm_type": kind, "position_embedding_type": "rotary"}, {})


def test_a_reasoner_with_dreams_model_type_is_not_opened_as_dream(tmp_path):
    """Its blocks and unshifted scores are another network than Dream's; its settings have a block size."""
    folder = p.write(tmp_path / "m", {**p.DREAM, "block_size": 32}, p.decoder(4, p.DREAM, True))
    with pytest.raises(ValueError, match="block-causal in blocks of 32"):
        pymdm.load(folder)
