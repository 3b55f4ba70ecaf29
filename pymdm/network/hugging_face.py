"""A masked language model of `transformers` as it is: evaluation mode, its device, attention masks, frame, special tokens."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from pymdm._native import C
from pymdm.network.layouts.settings import ids

# Classes whose head is one call on hidden states, so that it can be given chosen rows alone.
HEADS = {
    "BertForMaskedLM": "cls",
    "RobertaForMaskedLM": "lm_head",
    "XLMRobertaForMaskedLM": "lm_head",
    "EsmForMaskedLM": "lm_head",
}
OFFSET = ("roberta", "xlm-roberta", "camembert", "esm")  # positions begin after the padding id


def is_hugging_face(model: Any) -> bool:
    """Whether this is a model of `transformers` (without importing it)."""
    return isinstance(model, nn.Module) and hasattr(model, "base_model_prefix") and hasattr(model, "config")


class HuggingFaceNetwork:
    """What the sampling loop calls: score(tokens [b, L], times, rows [m], lengths [b]) -> logits [m, V].

    Args:
        model: a masked language model of `transformers`.
        logit_shift: its logits for position l stand at l - 1.

    Attributes:
        mask_id, vocab_size, length: from its config; None where that does not say.
        framed: whether its sequences stand between its tokenizer's first and last tokens: masked language models of BERT's
            kind do, decoders made into masked models (LLaDA, Dream) do not.
        ends: ids after which a decoder's text is over; they are drawn.
        banned: the other ids of its config that stand for no text.
        pad_id: id that fills shorter sequences of a batch, which its attention mask shuts out; None where the class takes
            no mask, and sequences of one length go together.
    """

    def __init__(self, model: Any, logit_shift: bool = False) -> None:
        self.model, self.logit_shift = model, logit_shift
        config: Any = model.config
        taken = inspect.signature(model.forward).parameters
        self._masks = "attention_mask" in taken
        pad = getattr(config, "pad_token_id", None)
        self.pad_id: int | None = (pad if isinstance(pad, int) else 0) if self._masks else None
        self.mask_id: int | None = getattr(config, "mask_token_id", None)
        self.vocab_size: int | None = getattr(config, "vocab_size", None)
        length = getattr(config, "max_position_embeddings", None)
        if length and getattr(config, "position_embedding_type", None) == "rotary":
            length = None  # no table of positions that could end
        if length and pad is not None and getattr(config, "model_type", "") in OFFSET:
            length -= pad + 1
        self.length: int | None = length
        self.framed = type(model).__name__.endswith(("ForMaskedLM", "ForPreTraining"))
        named = {name: getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep")}
        self.ends = () if self.framed else ids(named, "eos")
        found = {i for i in ids(named, *named) if 0 <= i < (self.vocab_size or 0)}
        self.banned = tuple(sorted(found - set(self.ends)))

    @torch.no_grad()
    def __call__(self, tokens: Tensor, times: Tensor, rows: Tensor, lengths: Tensor | None = None) -> Tensor:
        logits = self._logits(tokens, rows, lengths)
        if torch.isnan(logits).any():
            raise ValueError(
                "sample: the network gave NaN; some (ESM-2) divide by the share of known tokens: give a frame or a prompt"
            )
        return logits if logits.is_cuda and C.cuda_built else logits.cpu()

    def _logits(self, tokens: Tensor, rows: Tensor, lengths: Tensor | None) -> Tensor:
        B, L = tokens.shape
        device = next(self.model.parameters()).device
        if self.logit_shift:
            rows = torch.where(rows % L == 0, rows, rows - 1)
        rows = rows.to(device)
        given: dict[str, Any] = {"input_ids": tokens.to(device)}
        if self._masks:
            known = torch.full((B,), L) if lengths is None else lengths
            given["attention_mask"] = (torch.arange(L) < known[:, None]).long().to(device)
        head = HEADS.get(type(self.model).__name__)
        if head is not None:
            hidden = self.model.base_model(**given)[0]
            return getattr(self.model, head)(hidden.flatten(0, 1)[rows])
        out = self.model(**given)
        logits = getattr(out, "logits", None)
        if logits is None or logits.shape[:2] != tokens.shape:
            got = "none" if logits is None else tuple(logits.shape)
            raise ValueError(
                f"sample: {type(self.model).__name__} must give logits [{B}, {L}, V], got {got}; "
                "use a model with a masked language head"
            )
        return logits.flatten(0, 1)[rows]
