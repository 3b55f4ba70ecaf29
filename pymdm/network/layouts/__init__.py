"""Layouts of published checkpoints, one file a family: key map, switches, source."""

from __future__ import annotations

from collections.abc import Collection

from pymdm.network.layouts.albert import ALBERT
from pymdm.network.layouts.antibody import ABLANG, FAIRSEQ
from pymdm.network.layouts.block_decoder import FAST_DLLM, NEMOTRON, SDAR
from pymdm.network.layouts.decoder import A2D, DREAM, ILLADA
from pymdm.network.layouts.encoder import BERT, ROBERTA
from pymdm.network.layouts.esm import ESM
from pymdm.network.layouts.esmc import ESMC
from pymdm.network.layouts.exported import EXPORTED
from pymdm.network.layouts.family import Conventions, Family, Layout, Part
from pymdm.network.layouts.llada import LLADA
from pymdm.network.layouts.mdlm import MDLM
from pymdm.network.layouts.modernbert import MODERNBERT
from pymdm.network.layouts.radd import RADD, SEDD
from pymdm.network.layouts.refused import CALLABLE, refusal
from pymdm.network.layouts.settings import Settings
from pymdm.network.layouts.smdm import SMDM

FAMILIES = (
    EXPORTED,
    MDLM,
    RADD,
    SEDD,
    LLADA,
    ILLADA,
    DREAM,
    SDAR,
    FAST_DLLM,
    NEMOTRON,
    SMDM,
    BERT,
    ROBERTA,
    ESM,
    ESMC,
    A2D,
    ALBERT,
    MODERNBERT,
    ABLANG,
    FAIRSEQ,
)

__all__ = ["FAMILIES", "Conventions", "Family", "Layout", "Part", "recognise"]


def recognise(settings: Settings, names: Collection[str]) -> Family:
    """The family of a checkpoint with these settings and tensors.

    Raises:
        ValueError: none of ours; the message names it, where it is a known one, and the reason.
    """
    for family in FAMILIES:
        if family.matches(settings, names):
            return family
    reason = refusal(settings, names)
    if reason is None:
        known = ", ".join(family.name for family in FAMILIES)
        first = ", ".join(sorted(names)[:3])
        raise ValueError(f"not a layout of {known} (it has {len(names)} tensors: {first}, ...); {CALLABLE}")
    raise ValueError(reason)
