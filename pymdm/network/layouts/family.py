"""What a family of published checkpoints is: how its settings and tensors become ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymdm.files.read import short
from pymdm.network.config import ModelConfig

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A tensor of the file, or some of its rows: `count` of them from `first` on; all where count is None.

    `shape` is the whole tensor's; with `padded` the file may hold more rows, which are left out.
    """

    key: str
    shape: tuple[int, ...]
    first: int = 0
    count: int | None = None
    padded: bool = False


@dataclass(frozen=True)
class Conventions:
    """What a model takes for granted beside its logits.

    Attributes:
        family: its name.
        end_of_text: ids after which a text is over; they may be drawn, and decoded text ends there.
        banned: ids known from the settings that are never drawn (the tokenizer's special tokens come on top).
        framed: whether sequences stand between the tokenizer's first and last tokens ([CLS] ... [SEP]).
        note: what a user must know, or "".
    """

    family: str = "pymdm"
    end_of_text: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()
    framed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Layout:
    """One checkpoint of a family: our shapes, and where in the file each of our parameters is.

    Attributes:
        config: our shapes and switches.
        parameters: name of ours -> the parts of the file that are joined by rows.
        conventions: of the model.
        same: pairs of tensors that a file may hold twice (a tied head); the first need not be there.
        added: name of ours -> parts that are added, in float32; a part of one row goes to every row.
        ignored: regular expressions of tensors that are computed anew.
        zeros: name of ours -> shape, where the file has no such parameter and it is zero.
        scaled: name of ours -> factor that its rows are multiplied by, in float32.
    """

    config: ModelConfig
    parameters: dict[str, list[Part]]
    conventions: Conventions
    same: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    added: dict[str, list[Part]] = field(default_factory=dict)
    zeros: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scaled: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A family of checkpoints.

    Attributes:
        name: as in docs/models.md.
        source: where the layout is published.
        matches: (settings, names of the tensors without wrappers) -> whether a checkpoint is one of these.
        layout: (settings, shapes by name) -> `Layout`; raises ValueError for a setting that is not computed here.
    """

    name: str
    source: str
    matches: Callable[[Settings, Collection[str]], bool]
    layout: Callable[[Settings, Mapping[str, tuple[int, ...]]], Layout] = field(repr=False)


def linear(name: str, out: int, into: int, bias: bool = False) -> Callable[[str], dict[str, list[Part]]]:
    """Weight [out, into], and bias, of a layer `name` of the file, for a layer of ours."""

    def ours(target: str) -> dict[str, list[Part]]:
        found = {f"{target}.weight": [Part(f"{name}.weight", (out, into))]}
        return found | ({f"{target}.bias": [Part(f"{name}.bias", (out,))]} if bias else {})

    return ours


def vector(name: str, size: int, bias: bool = False) -> Callable[[str], dict[str, list[Part]]]:
    """A norm's weight [size], and bias, of the file for a norm of ours."""

    def ours(target: str) -> dict[str, list[Part]]:
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{target}.{kind}": [Part(f"{name}.{kind}", (size,))] for kind in kinds}

    return ours


def joined(names: Mapping[str, int], into: int, bias: bool = False) -> Callable[[str], dict[str, list[Part]]]:
    """Layers of the file (name -> outputs) that are one layer of ours, one below the other."""

    def ours(target: str) -> dict[str, list[Part]]:
        found = {f"{target}.weight": [Part(f"{name}.weight", (out, into)) for name, out in names.items()]}
        return found | ({f"{target}.bias": [Part(f"{n}.bias", (o,)) for n, o in names.items()]} if bias else {})

    return ours


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
