"""Reads the settings of a checkpoint of others: required values, values that the engine computes, token ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymdm.files.read import short

Settings = Mapping[str, Any]


def need(settings: Settings, *keys: str, kind: type = int) -> Any:
    """The first of the keys that the settings have, of that type.

    Raises:
        ValueError: none of them is there, or it is of another type.
    """
    for key in keys:
        value = settings.get(key)
        if value is None:
            continue
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(f"{key} must be {kind.__name__}, got {short(repr(value))}")
        return value
    raise ValueError(f"its settings have no {' or '.join(keys)}")


def only(settings: Settings, **known: Any) -> None:
    """Fails where a setting is there and is not the one that is computed here (a tuple gives several)."""
    for key, value in known.items():
        allowed = value if isinstance(value, tuple) else (value,)
        if key in settings and settings[key] not in allowed:
            raise ValueError(f"{key} {short(repr(settings[key]))} is not computed by the engine, only {allowed[0]!r}")


def ids(settings: Settings, *keys: str) -> tuple[int, ...]:
    """Token ids under these keys, each a number or a list of them."""
    found: list[int] = []
    for key in keys:
        value = settings.get(key)
        found += [v for v in (value if isinstance(value, list) else [value]) if type(v) is int and v not in found]
    return tuple(found)


def transformers_shape(settings: Settings) -> dict[str, Any]:
    """The fields of our config that transformers' models name alike.

    Raises:
        ValueError: one of them is missing or no integer.
    """
    ours = {
        "vocab_size": "vocab_size",
        "mask_id": "mask_token_id",
        "length": "max_position_embeddings",
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "mlp_width": "intermediate_size",
    }
    return {field: need(settings, key) for field, key in ours.items()}
