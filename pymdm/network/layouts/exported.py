"""What `pymdm export --to transformers` writes: our own names under a config.json of transformers."""

from __future__ import annotations

from collections.abc import Mapping

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Settings, need
from pymdm.network.transformer import parameter_shapes


def _layout(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    config = ModelConfig.from_dict(need(settings, "pymdm", kind=dict))
    return Layout(
        config, {name: [Part(name, shape)] for name, shape in parameter_shapes(config).items()}, Conventions()
    )


EXPORTED = Family(
    "pymdm", "pymdm export --to transformers", lambda settings, names: settings.get("model_type") == "pymdm", _layout
)
