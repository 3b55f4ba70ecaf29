"""What a family of published checkpoints is: how its settings and tensors become ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pymdm.network.config import ModelConfig
from pymdm.network.layouts.settings import Settings
from pymdm.network.transformer import parameter_shapes

Shapes = Mapping[str, tuple[int, ...]]  # of the file's tensors, by name
Names = Mapping[str, str | tuple[str, ...]]


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
        never: texts of the tokenizer's pieces that its authors' code never draws.
        framed: whether sequences stand between the tokenizer's first and last tokens ([CLS] ... [SEP]).
        note: what a user must know, or "".
    """

    family: str = "pymdm"
    end_of_text: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()
    never: tuple[str, ...] = ()
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
    layout: Callable[[Settings, Shapes], Layout] = field(repr=False)


def named(config: ModelConfig, names: Names, padded: bool = False) -> dict[str, list[Part]]:
    """The parts of the file for those of our layers that have a name in it.

    Weights and biases are those that a network of this config has, in its shapes.

    Args:
        names: layer of ours -> the file's, or the file's layers that are joined by rows; {} stands for the block's number.
        padded: whether the file's embedding and head may have more rows.

    >>> config = ModelConfig(vocab_size=5, length=4, width=8, layers=1, heads=1, out_bias=True)
    >>> [part.key for parts in named(config, {"blocks.{}.out": "layers.{}.o"}).values() for part in parts]
    ['layers.0.o.weight', 'layers.0.o.bias']
    """
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    found = {}
    for name, (rows, *rest) in parameter_shapes(config).items():
        layer, _, kind = name.rpartition(".")
        number = layer.split(".")[1] if layer.startswith("blocks.") else ""
        theirs = names.get(layer.replace(f"blocks.{number}.", "blocks.{}.") if number else layer)
        if theirs is None:
            continue
        theirs = (theirs,) if isinstance(theirs, str) else theirs
        counts = [rows // len(theirs)] * len(theirs)
        if len(theirs) > 1 and layer.endswith(".qkv"):
            counts = [queries, keys, keys]
        more = padded and layer in ("embed", "head")
        found[name] = [
            Part(f"{one.format(number)}.{kind}", (count, *rest), padded=more)
            for one, count in zip(theirs, counts, strict=True)
        ]
    return found
