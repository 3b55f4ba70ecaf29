"""A checkpoint of ours for other programs: a folder for transformers, or MDLM's layout where its shapes allow."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from pymdm.data.tokenizer import Tokenizer
from pymdm.files.replace import replace_folder
from pymdm.files.target import Kind, check_target
from pymdm.files.write import cannot_write
from pymdm.network.checkpoint import CONFIG, TOKENIZER, WEIGHTS, Checkpoint, load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.exported import __file__ as _exported
from pymdm.network.layouts.mdlm import dit_parameters

MODELLING, TOKENIZER_CONFIG, MASK = "modeling_pymdm.py", "tokenizer_config.json", "[MASK]"
FORMS = ("transformers", "mdlm")
_ENTRIES = (WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG, MODELLING, "__pycache__/*")
KIND = Kind("exported model", CONFIG, frozenset({"model_type", "exported_by"}), False, _ENTRIES)


def export(model: str | os.PathLike[str], out: str | os.PathLike[str], to: str = "transformers") -> Path:
    """Writes a checkpoint folder of ours in another program's form.

    Args:
        model: the checkpoint.
        out: the folder to write; an earlier export there is replaced.
        to: "transformers": `AutoModelForMaskedLM.from_pretrained(out, trust_remote_code=True)` opens it, with a small modelling
            file beside the weights. "mdlm": MDLM's tensor names and settings, for networks of its kind.

    Returns:
        The folder. `pymdm.load` opens it too.

    Raises:
        ValueError: an unknown form, a checkpoint that is not ours, a network that MDLM's layout has no place for, or a
            folder that may not be replaced.

    Source: of MDLM's layout: Sahoo et al., arXiv 2406.07524.
    """
    if to not in FORMS:
        raise ValueError(f"export: the form must be one of {', '.join(FORMS)}, got {to!r}")
    checkpoint = load_checkpoint(model)
    if checkpoint.config.attention in ("block", "any-order"):
        raise ValueError(f"export: no other program's form has attention {checkpoint.config.attention!r} yet")
    if checkpoint.config.yarn > 1:
        raise ValueError("export: no other program's form has scaled rotary positions (yarn) yet")
    settings, tensors = _transformers(checkpoint) if to == "transformers" else _mdlm(checkpoint)
    target = check_target(out, KIND, "export").path

    def write(folder: Path) -> None:
        save_file({k: t.contiguous() for k, t in tensors.items()}, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(settings | {"exported_by": "pymdm"}, indent=1) + "\n", encoding="utf-8")
        _tokenizer(checkpoint.tokenizer, folder, checkpoint.config.length)
        if to == "transformers":
            shutil.copyfile(Path(_exported).parent / MODELLING, folder / MODELLING)

    try:
        replace_folder(target, KIND, write)
    except (OSError, SafetensorError) as error:
        raise cannot_write(f"export: cannot write {out}", error) from None
    return target


def _transformers(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config = checkpoint.config
    name = MODELLING.removesuffix(".py")
    dtype = next(iter(checkpoint.state_dict.values())).dtype
    settings = {
        "model_type": "pymdm",
        "architectures": ["PymdmForMaskedLM"],
        "auto_map": {"AutoConfig": f"{name}.PymdmConfig", "AutoModelForMaskedLM": f"{name}.PymdmForMaskedLM"},
        "pymdm": config.to_dict(),
        "vocab_size": config.vocab_size,
        "mask_token_id": config.mask_id,
        "tie_word_embeddings": False,  # the modelling file reads the embedding itself where the head is tied
        "dtype": str(dtype).removeprefix("torch."),
    }
    return settings, checkpoint.state_dict


def _mdlm(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """MDLM's network has adaLN and scores the mask too: modulation that does nothing, and a row of zeros, are added."""
    c, D = checkpoint.config, checkpoint.config.width
    wanted = ModelConfig(
        vocab_size=c.vocab_size, length=c.length, width=D, layers=c.layers, heads=c.heads, dropout=c.dropout,
        conditioning=c.conditioning, cond_dim=c.cond_dim, time_input=c.time_input,
    )  # fmt: skip
    for name, value in wanted.to_dict().items():
        if c.to_dict()[name] != value:
            raise ValueError(f"export: MDLM's layout has {name} {value!r}, this network has {c.to_dict()[name]!r}")
    if c.conditioning == "time" and c.time_input != "sigma":
        raise ValueError("export: MDLM's network sees sigma(t), this one t")
    theirs = ModelConfig(
        vocab_size=c.vocab_size + 1, mask_id=c.mask_id, length=c.length, width=D, layers=c.layers, heads=c.heads,
        cond_dim=c.cond_dim, conditioning="constant",
    )  # fmt: skip
    state = dict(checkpoint.state_dict)
    state["head.weight"] = torch.cat([state["head.weight"], state["head.weight"].new_zeros(1, D)])
    state["head.bias"] = torch.cat([state["head.bias"], state["head.bias"].new_zeros(1)])
    tensors = {}
    for name, (part, *_) in dit_parameters(theirs).items():
        tensor = state.get(name)
        if tensor is None:  # adaLN that changes nothing: shift 0, scale 0, gates 1
            tensor = torch.zeros(part.shape, dtype=state["head.bias"].dtype)
            if name.endswith("ada.bias"):
                tensor.view(6, D)[[2, 5]] = 1.0
        tensors[f"backbone.{part.key}"] = tensor
    settings = {
        "model_type": "mdlm",
        "architectures": ["MDLM"],
        "vocab_size": theirs.vocab_size,
        "model_length": c.length,
        "hidden_dim": D,
        "n_blocks": c.layers,
        "n_heads": c.heads,
        "cond_dim": c.cond_dim,
        "dropout": c.dropout,
        "time_conditioning": c.conditioning == "time",
    }
    return settings, tensors


def _tokenizer(tokenizer: Tokenizer, folder: Path, length: int) -> None:
    """The tokenizer with the mask as a token of its own, the id after the last."""
    inner = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    inner.add_special_tokens([MASK])
    inner.save(str(folder / TOKENIZER))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": MASK, "model_max_length": length}
    facts["clean_up_tokenization_spaces"] = False
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
