"""What a training run is: every choice that, with the text, fixes the result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from pymdm.files.read import of_kind, short
from pymdm.sampling.check import of_types

if TYPE_CHECKING:
    from pymdm.train.objective import Objective

LARGEST_BATCH = 1 << 20  # sequences: their masks are made before any memory is missed
OPTIMIZERS = ("adamw", "muon")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run; on the command line each is an option of `pymdm train`.

    Objectives are defined in `pymdm.train.objective`, the network in `pymdm.ModelConfig`.

    Args:
        source: UTF-8 text file, folder, JSON lines, hf:NAME (a data set of the Hugging Face hub), or a folder made by
            `pymdm data`; default: Python's own documentation, as the running Python has it.
        held_out: text to hold out, a file or a folder, instead of a share by hash.
        init_from: begin with the weights, tokenizer and shape of this checkpoint folder, or of "bundled:masked" or
            "bundled:any-order".
        vocab: "char", "byte" or "bpe".
        vocab_size: number of bpe pieces.
        length: tokens in a sequence.
        width: size of a hidden state.
        layers: transformer blocks.
        heads: attention heads.
        dropout: dropout while training.
        tied_head: score with the embedding's own matrix.
        rope_base: base of the rotary angles.
        neighbours: how sharply heads start on near positions; 0: off.
        batch_size: sequences in a step.
        steps: budget in steps, instead of minutes; the run is then a pure function of settings, text and number of threads.
        minutes: budget in minutes by the clock, which the learning rate then follows.
        lr: peak learning rate of AdamW.
        warmup: share of the budget with a rising rate.
        lr_end: the last learning rate, as a share of the peak.
        optimizer: "muon" (orthogonalised momentum for the blocks' matrices, AdamW for all else) or "adamw".
        muon_lr: peak learning rate of the blocks' matrices with "muon".
        weight_decay: weight decay of the matrices.
        beta2: decay of AdamW's second moments.
        clip: largest norm of the gradient.
        ema: decay of the moving average of the weights, which is what the checkpoint holds.
        objective: "count" (mask counts), "order-agnostic", "continuous" (in time), "autoregressive", "any-order" or "block".
        block_length: positions of a block, with "block".
        schedule: of time: "linear", "cosine" or "geometric".
        draw: counts or times: "low-discrepancy", "stratified" or "independent".
        weight_power: 1: the bound; 0: every masked token alike.
        weights: file with any positive weights w_1..w_L of the mask counts; from Python the numbers themselves.
        conditioning: "none" (time-free), "constant" or "time" (adaLN).
        cond_dim: size of adaLN's conditioning vector.
        accumulate: groups that a batch is split into, to save memory.
        recompute: recompute activations in the backward pass.
        parallel: under torchrun: "ddp" (copies) or "fsdp" (split).
        compile: run the blocks through torch.compile.
        eval_tokens: held-out tokens that the evaluation at the end takes.
        seed: of weights, data order, masks and dropout.
        eval_every: steps between held-out bounds; 0: only at the end.
        save_every: steps between checkpoints; 0: only at the end.
        save_minutes: minutes between checkpoints, whatever the steps, or more where saving takes a twentieth of them; 0: never
            for that reason.
        precision: "auto" (bfloat16 where the processor multiplies it natively), "float32" or "bfloat16".
        device: "auto" (cuda where there is one), "cpu" or "cuda".
        threads: processor threads; 0: torch's choice.

    Raises:
        ValueError, TypeError: a value out of range or of another type; the message names it.
    """

    source: str | None = None
    held_out: str | None = None
    init_from: str | None = None
    vocab: str = "bpe"
    vocab_size: int = 4096
    length: int = 256
    width: int = 256
    layers: int = 6
    heads: int = 4
    dropout: float = 0.0
    tied_head: bool = True
    rope_base: float = 1000.0
    neighbours: float = 12.0
    batch_size: int = 16
    steps: int | None = None
    minutes: float | None = None
    lr: float = 2e-3
    warmup: float = 0.03
    lr_end: float = 0.0
    optimizer: str = "muon"
    muon_lr: float = 0.02
    weight_decay: float = 0.1
    beta2: float = 0.98
    clip: float = 1.0
    ema: float = 0.999
    objective: str = "count"
    block_length: int = 0
    schedule: str = "linear"
    draw: str = "low-discrepancy"
    weight_power: float = 1.0
    weights: tuple[float, ...] | None = None
    conditioning: str = "none"
    cond_dim: int = 128
    accumulate: int = 1
    recompute: bool = False
    parallel: str = "ddp"
    compile: bool = False
    eval_tokens: int = 1_000_000
    seed: int = 0
    eval_every: int = 500
    save_every: int = 500
    save_minutes: float = 5.0
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        # Here, not above: reading the settings, as a help text does, needs no torch.
        import numpy as np

        from pymdm.data.tokenizer import KINDS
        from pymdm.network.config import CONDITIONINGS
        from pymdm.train.loss import DRAWS, count_weights
        from pymdm.train.objective import ATTENTION, OBJECTIVES, SCHEDULES
        from pymdm.train.parallel import PARALLEL

        given = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in of_types(given, get_type_hints(type(self)), "train").items():
            object.__setattr__(self, name, value)
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("train: give either steps or minutes")
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"train: {f.name} must be a finite number, got {value}")
        at_least: dict[str, float] = dict.fromkeys(
            ("length", "width", "layers", "heads", "batch_size", "vocab_size", "cond_dim", "accumulate", "eval_tokens"),
            1,
        )
        at_least |= dict.fromkeys(
            ("seed", "eval_every", "save_every", "save_minutes", "threads", "weight_decay", "neighbours"), 0
        )
        for name, least in (at_least | {"steps": 1}).items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"train: {name} must be at least {least}, got {value}")
        for name in ("batch_size", "accumulate"):
            if getattr(self, name) > LARGEST_BATCH:
                raise ValueError(f"train: {name} must be at most {LARGEST_BATCH}, got {getattr(self, name)}")
        if self.length < 2:
            raise ValueError(f"train: length must be at least 2, got {self.length}")
        for name in ("lr", "muon_lr", "clip", "minutes", "rope_base"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"train: {name} must be positive, got {value}")
        for name in ("dropout", "ema", "beta2", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"train: {name} must be in [0, 1), got {getattr(self, name)}")
        for name in ("lr_end", "weight_power"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"train: {name} must be in [0, 1], got {getattr(self, name)}")
        for name, known in (
            ("vocab", KINDS),
            ("optimizer", OPTIMIZERS),
            ("precision", PRECISIONS),
            ("draw", DRAWS),
            ("objective", OBJECTIVES),
            ("schedule", SCHEDULES),
            ("conditioning", CONDITIONINGS),
            ("parallel", PARALLEL),
            ("device", DEVICES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"train: {name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.vocab == "bpe" and self.vocab_size < 256:
            raise ValueError(f"train: vocab_size must be at least 256 for bpe, got {self.vocab_size}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"train: width / heads must be a whole even number, got width {self.width} and heads {self.heads}"
            )

        if self.weights is not None:
            count_weights(np.ones(1, np.int64), self.length, 1.0, self.weights)
        if self.batch_size % self.accumulate:
            raise ValueError(f"train: accumulate must divide batch_size {self.batch_size}, got {self.accumulate}")
        if self.objective in ATTENTION and self.conditioning == "time":
            raise ValueError(f"train: the {self.objective} objective has no time to condition on")
        if not 0 <= self.block_length <= self.length or (self.objective == "block") != (self.block_length > 0):
            raise ValueError(
                "train: block_length must be in 1..length with the block objective, which needs it, and 0 with any other; got "
                f"{self.block_length} with {self.objective}"
            )
        self.make_objective()

    def make_objective(self) -> Objective:
        """How noise is drawn."""
        from pymdm.train.objective import Objective

        return Objective(self.objective, self.draw, self.schedule, self.weight_power, self.weights, self.block_length)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-ready values."""
        return asdict(self) | {"weights": None if self.weights is None else list(self.weights)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Build from `to_dict`'s output.

        Raises:
            ValueError: an unknown key or a value out of range.
        """
        kinds = get_type_hints(cls)
        for key, value in values.items():
            if key not in kinds:
                raise ValueError(f"train: unknown setting {short(repr(key))}")
            if not of_kind(value, kinds[key]):
                raise ValueError(f"train: {key} cannot be {short(repr(value))}")
        return cls(**values)


PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "vocab_size": 8192,
        "length": 128,
        "width": 192,
        "layers": 4,
        "batch_size": 16,
        "lr": 3e-3,
        "muon_lr": 0.03,
        "weight_power": 0.5,
        "ema": 0.98,
        "eval_every": 50,
        "save_every": 0,
        "save_minutes": 0.5,
        "minutes": 1.75,
    },
    "bundled": {
        "vocab_size": 8192,
        "length": 256,
        "width": 256,
        "layers": 4,
        "batch_size": 12,
        "lr": 3e-3,
        "muon_lr": 0.03,
        "weight_power": 0.5,
        "dropout": 0.05,
        "ema": 0.99,
        "eval_every": 250,
        "save_every": 250,
        "minutes": 75.0,
    },
}


def settings(name: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a preset, if one is named, and changes to it give.

    A budget in the changes replaces the preset's; an objective without mask counts, the preset's weights of them.

    Raises:
        ValueError: an unknown name.
    """
    from pymdm.train.objective import WEIGHTED

    if name is not None and name not in PRESETS:
        raise ValueError(f"train: preset must be one of {', '.join(PRESETS)}, got {name!r}")
    found = dict(PRESETS[name]) if name is not None else {}
    if changes.get("init_from") is not None:
        from pymdm.train.initial import initial_settings

        changes = initial_settings(str(changes["init_from"]), changes) | dict(changes)
    if changes.get("steps") is not None:
        found.pop("minutes", None)
    if changes.get("objective", "count") not in WEIGHTED:
        found.pop("weight_power", None)  # of mask counts
    return found | dict(changes)


def preset(name: str, **changes: Any) -> Recipe:
    """A named recipe, with changes.

    Raises:
        ValueError: an unknown name, or a value out of range.
    """
    return Recipe(**settings(name, changes))
