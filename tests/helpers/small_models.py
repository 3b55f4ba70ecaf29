"""Hypothesis strategies for small models and prompts (needs `hypothesis`, a development dependency)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pymdm.prove.tables import SHAPES, TableModel, random_model

LARGE = 1024

Spec = tuple[int, int, str, bool, int]  # V, L, kind, rare, number


def specs(kinds: tuple[str, ...] = ("consistent", "inconsistent")) -> st.SearchStrategy[Spec]:
    """What a model is made from: shape with at most 4,096 sequences, kind, rare tokens or not, a number."""
    shape, kind = st.sampled_from(SHAPES), st.sampled_from(kinds)
    parts = st.tuples(shape, kind, st.booleans(), st.integers(0, 2**32 - 1))
    return parts.map(lambda p: (p[0][0], p[0][1], p[1], p[2], p[3]))


def build(spec: Spec) -> TableModel:
    """The model of a spec."""
    vocab_size, length, kind, rare, number = spec
    name = f"{kind} V={vocab_size} L={length}{' rare' if rare else ''} #{number}"
    return random_model(vocab_size, length, kind, np.random.default_rng(number), rare=rare, name=name)


def models(kinds: tuple[str, ...] = ("consistent", "inconsistent")) -> st.SearchStrategy[TableModel]:
    """Small models: V 2..5, L 3..6, at most 4,096 sequences; tables from a drawn number, rare tokens in some."""
    return specs(kinds).map(build)


@st.composite
def prompts(draw: Any, model: TableModel) -> np.ndarray:
    """[L] prompts with any set of given tokens that leaves a mask."""
    free = draw(st.sets(st.integers(0, model.length - 1), min_size=1))
    tokens = draw(st.lists(st.integers(0, model.vocab_size - 1), min_size=model.length, max_size=model.length))
    return np.array([model.mask_id if l in free else tokens[l] for l in range(model.length)], dtype=np.int64)


def draw_models(
    count: int, root_seed: int, kinds: tuple[str, ...] = ("consistent", "inconsistent")
) -> list[TableModel]:
    """`count` different models from `models`, the same ones for the same root seed.

    At most a tenth have more than LARGE sequences: samples grow with the cells, and these take half of a proof's time as
    they come.
    """
    found: dict[Spec, None] = {}  # in the order drawn

    @seed(root_seed)
    @settings(max_examples=8 * count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(specs(kinds))
    def collect(spec: Spec) -> None:
        found.setdefault(spec)

    collect()
    large = [spec for spec in found if spec[0] ** spec[1] > LARGE]
    kept = [spec for spec in found if spec not in large[count // 10 :]][:count]
    if len(kept) < count:
        raise RuntimeError(f"draw_models: only {len(kept)} of {count} models were different")
    return [build(spec) for spec in kept]
