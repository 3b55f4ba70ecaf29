"""RADD: the DiT of MDLM without a time, with biased LayerNorms. SEDD: with sigma(t). Both in the settings of SEDD's code."""

from __future__ import annotations

from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Shapes
from pymdm.network.layouts.mdlm import dit_parameters, is_dit
from pymdm.network.layouts.settings import Settings, need


def score_settings(settings: Settings) -> tuple[Settings, int]:
    """The network's settings and the mask id of a checkpoint of SEDD's code, whose config.json is its training's."""
    inner = settings.get("model")
    if not isinstance(inner, Mapping):
        raise ValueError("its settings have no model")
    graph = settings.get("graph")
    if not isinstance(graph, Mapping) or graph.get("type") != "absorb":
        raise ValueError(f"it is not an absorbing-state model, graph {graph!r}: it has no mask")
    return inner, need(settings, "tokens")


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    inner, mask = score_settings(settings)
    config = ModelConfig(
        vocab_size=mask + 1,
        mask_id=mask,
        length=need(inner, "length"),
        width=need(inner, "hidden_size"),
        layers=need(inner, "n_blocks"),
        heads=need(inner, "n_heads"),
        norm_bias=True,
    )
    return Layout(config, dit_parameters(config), Conventions("radd"), ignored=(r"rotary_emb\.inv_freq",))


def _sedd(settings: Settings, shapes: Shapes) -> Layout:
    """Its log-scores are logits but for a constant of each row, so the softmax over the tokens is mu."""
    inner, mask = score_settings(settings)
    noise = settings.get("noise")
    if not isinstance(noise, Mapping) or noise.get("type") != "loglinear":
        raise ValueError(f"noise {noise!r} is not computed by the engine, only loglinear")
    config = ModelConfig(
        vocab_size=mask + 1,
        mask_id=mask,
        length=need(inner, "length"),
        width=need(inner, "hidden_size"),
        layers=need(inner, "n_blocks"),
        heads=need(inner, "n_heads"),
        cond_dim=need(inner, "cond_dim"),
        conditioning="time",
        time_input="sigma",
    )
    return Layout(config, dit_parameters(config), Conventions("sedd"), ignored=(r"rotary_emb\.inv_freq",))


SEDD = Family(
    "sedd",
    "huggingface.co/louaaron/sedd-small, sedd-medium; Lou et al., arXiv 2310.16834",
    lambda settings, names: is_dit(names) and "sigma_map.mlp.0.weight" in names and "graph" in settings,
    _sedd,
)
RADD = Family(
    "radd",
    "huggingface.co/JingyangOu/radd-lambda-dce, radd-t-dce; Ou et al., arXiv 2406.03736",
    lambda settings, names: is_dit(names) and "blocks.0.norm1.bias" in names and "graph" in settings,
    _layout,
)
