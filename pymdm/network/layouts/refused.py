"""Known families that the engine does not compute, with the reason; most sample through the callable form."""

from __future__ import annotations

from collections.abc import Collection

from pymdm.files.read import short
from pymdm.network.layouts.settings import Settings

CALLABLE = "load it with its own code and pass it to pymdm.sample as a callable (docs/models.md)"

_EXPERTS = f"mixture-of-experts layers are not computed by the engine; {CALLABLE}"
_NO_MASK = "it starts from random tokens and has no mask, so it is not a masked model"
_TYPES = {
    "nemotron_labs_diffusion_vlm": f"its vision tower is not computed by the engine; {CALLABLE}",
    "llada2_moe": _EXPERTS,
    "llada2_moe_veomni": _EXPERTS,
    "llada_moe": _EXPERTS,
    "lladamoe": _EXPERTS,
    "sdar_moe": _EXPERTS,
    "diffusion_gemma": _NO_MASK,
    "diffusiongemma": _NO_MASK,
}
# The dense layer before the head of masked language models, by their model_type: base models are published without one.
_HEADS = {
    "bert": "cls.predictions.transform.dense.weight",
    "roberta": "lm_head.dense.weight",
    "xlm-roberta": "lm_head.dense.weight",
    "albert": "predictions.dense.weight",
    "modernbert": "head.dense.weight",
    "esm": "lm_head.dense.weight",
}


def refusal(settings: Settings, names: Collection[str]) -> str | None:
    """Why a checkpoint of a known family cannot be computed here; None where it is not one of them."""
    kind = str(settings.get("model_type") or "")
    if kind in _TYPES:
        return f"{kind}: {_TYPES[kind]}"
    if kind in _HEADS and _HEADS[kind] not in names:
        return f"{kind}: it has no masked language head (no tensor {_HEADS[kind]}), so it gives no logits"
    if any(".experts." in name for name in names):  # LLaDA-MoE has LLaDA's model_type
        classes = settings.get("architectures")
        named = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else kind
        return f"{short(named) or 'this model'}: {_EXPERTS}"
    if any(name.startswith("embedder.") or ".sequence_conv" in name for name in names):
        return f"{kind or 'evodiff'}: convolutions are not computed by the engine; {CALLABLE}"
    if kind:
        return f"a model of type {kind!r} is not among the families that the engine computes; {CALLABLE}"
    return None
