"""The native network: a `MaskedTransformer`'s forward in C++ on packed weights, on the CPU or a CUDA device."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pymdm._native import C
from pymdm.network.checkpoint import Checkpoint, load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.device import as_device
from pymdm.network.transformer import MaskedTransformer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Engine:
    """A denoiser that, on the CPU, gives the same bits for a row whatever batch, row choice or number of threads computes it.

    Weights and activations are of `dtype`; sums, norms, softmax and the residual stream are float32, logits too. Against
    float64 the relative error of the logits is below 1e-5 in float32, and about 0.5 % in bfloat16.

    Args:
        source: a checkpoint folder's path, a `Checkpoint`, a `MaskedTransformer`, or a state dict (then give `config`),
            in which a list of tensors stands for one that is joined from them by rows.
        config: shapes of a state dict.
        dtype: "float32", or "bfloat16" (about twice as fast; rounds weights and activations to 8 bits).
        device: "cpu", "cuda" or "cuda:1". On a CUDA device matrix products and attention are torch's, and equal bits
            across batches or devices are not promised (docs/cuda.md).

    Attributes:
        config: the `ModelConfig`.
        device: where it runs.
        dtype: "float32" or "bfloat16".
        native: the C++ network, which the samplers call without Python.

    Raises:
        ValueError, TypeError: a source, shape or value that does not fit; the message starts with "engine:".

    Example:
        >>> model = MaskedTransformer(ModelConfig(vocab_size=10, length=8, width=16, layers=1, heads=2))
        >>> Engine(model)(torch.full((2, 8), 10)).shape
        torch.Size([2, 8, 10])
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Checkpoint | MaskedTransformer | Mapping[str, Tensor | list[Tensor]],
        config: ModelConfig | None = None,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
    ) -> None:
        self.dtype = _dtype_name(dtype)
        self.device = as_device(device)
        self.native: C.Engine | C.DeviceEngine
        self.config, weights = _parts(source, config)
        shape = self.config.to_dict()
        if self.device.type == "cpu":
            self.native = C.Engine(shape, weights, self.dtype)
        elif self.config.attention in ("block", "any-order"):
            raise ValueError(
                f"engine: networks of attention {self.config.attention!r} run on the CPU so far, got device {self.device}; "
                "one that sees both ways, as bundled:masked, runs there"
            )
        else:
            self.native = C.DeviceEngine(shape, weights, self.dtype, self.device)

    @torch.no_grad()
    def __call__(
        self, tokens: Tensor, times: Tensor | None = None, rows: Tensor | None = None, rank: Tensor | None = None
    ) -> Tensor:
        """Score tokens.

        Args:
            tokens: int64 [B, L], mask id where the token is unknown.
            times: [B] in [0, 1]; needed where the network is conditioned on time.
            rows: int64 [M], flat indices into B*L of the positions wanted; default all.
            rank: int64 [B, L], of attention "any-order": when each known token became known, 0, 1, ...; -1 where it was
                given; default all were. Entries at masks are not read.

        Returns:
            Logits, float32 [B, L, V], or [M, V] with `rows`, on the engine's device.

        Raises:
            ValueError, TypeError: a shape, dtype, token or row out of range.
        """
        for name, value in (("tokens", tokens), ("times", times), ("rows", rows), ("rank", rank)):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"engine: {name} must be a tensor, got {type(value).__name__}")
        if tokens.dim() != 2:
            raise ValueError(f"engine: tokens must be [B, L], got {list(tokens.shape)}")
        B, L = tokens.shape
        if self.config.conditioning == "time" and times is None:
            raise ValueError(f"engine: this network is conditioned on time; give times [{B}]")
        at = torch.zeros(B) if times is None else times
        if not at.is_floating_point():
            raise ValueError(f"engine: times must be floating-point [{B}], got {at.dtype} {list(at.shape)}")
        wanted = torch.arange(B * L) if rows is None else rows
        offsets = torch.arange(B + 1) * L
        if rank is not None and (self.config.attention != "any-order" or rank.shape != tokens.shape):
            raise ValueError(
                f"engine: rank [B, L] belongs to attention 'any-order', got {list(rank.shape)} with {self.config.attention!r}"
            )
        known = {} if rank is None else {"rank": rank.reshape(-1).cpu()}
        logits = self.native.logits(tokens.reshape(-1).cpu(), offsets, wanted.cpu(), at.double().cpu(), **known)
        return logits.view(B, L, -1) if rows is None else logits

    def __repr__(self) -> str:
        c = self.config
        return (
            f"Engine({self.dtype} on {self.device}, {c.layers} layers x {c.width}, V={c.vocab_size}, length {c.length})"
        )


def _dtype_name(dtype: str | torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"engine: dtype must be float32 or bfloat16, got {dtype}")
    return name


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor; a copy where it does not begin at a multiple of its element's size, as a header of others can say."""
    return tensor if tensor.data_ptr() % tensor.element_size() == 0 else tensor.clone()


def _parts(source: Any, config: ModelConfig | None) -> tuple[ModelConfig, dict[str, Tensor | list[Tensor]]]:
    """Config and weights. The rest is packed into memory of its own; the embedding, which C++ reads in place, is copied.

    A checkpoint's tensors lie in the mapped file, which anyone may overwrite or cut, so that nothing of it is kept. At the
    peak the process holds the packed weights, one copy of the embedding, and of the file what the system maps.
    """
    if isinstance(source, str | os.PathLike):
        source = load_checkpoint(source)
    weights: Mapping[str, Tensor | list[Tensor]]
    if isinstance(source, Checkpoint):
        own, weights = source.config, source.state_dict
    elif isinstance(source, MaskedTransformer):
        own, weights = source.config, source.state_dict()
    elif isinstance(source, Mapping):
        if not isinstance(config, ModelConfig):
            raise TypeError(f"engine: a state dict needs its ModelConfig, got {type(config).__name__}")
        own, weights = config, source
    else:
        raise TypeError(
            "engine: source must be a checkpoint folder, Checkpoint, MaskedTransformer or state dict, "
            f"got {type(source).__name__}"
        )
    if config is not None and config != own:
        raise ValueError("engine: config differs from the one of the source; leave it out")
    tensors: dict[str, Tensor | list[Tensor]] = {}
    for name, value in weights.items():
        for tensor in value if isinstance(value, list) else [value]:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"engine: parameter {name} must be a tensor, got {type(tensor).__name__}")
        parts = [_aligned(t.detach().cpu().contiguous()) for t in (value if isinstance(value, list) else [value])]
        tensors[name] = parts if len(parts) > 1 else parts[0]
    embed = tensors.get("embed.weight")
    if isinstance(embed, Tensor):
        tensors["embed.weight"] = embed.clone()
    return own, tensors
