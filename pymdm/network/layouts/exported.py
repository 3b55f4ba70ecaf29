"""What `pymdm export --to transformers` writes: our own names under a config.json of transformers."""

from __future__ import annotations

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.family import Conventions, Family, Layout, Part, Shapes
from pymdm.network.layouts.settings import Settings, need
from pymdm.network.transformer import parameter_shapes


def _layout(settings: Settings, shapes: Shapes) -> Layout:
    config = ModelConfig.from_dict(need(settings, "pymdm", kind=dict))
    return Layout(
        config, {name: [Part(name, shape)] for name, shape in parameter_shapes(config).items()}, Conventions()
    )


EXPORTED = Family(
    "pymdm", "pymdm export --to transformers", lambda settings, names: settings.get("model_type") == "pymdm", _layout
)
