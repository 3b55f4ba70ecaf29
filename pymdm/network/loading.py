"""Models ready to sample: from a checkpoint folder, the bundled models, a module, or a callable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pymdm._native import C
from pymdm.bundled import folder_of, name_of
from pymdm.data.chat import Messages, read_chat_template, render
from pymdm.data.folder_tokenizer import open_tokenizer, read_tokenizer
from pymdm.data.tokenizer import Tokenizer
from pymdm.data.wrapped import WrappedTokenizer, as_tokenizer, first_free
from pymdm.files.replace import last_written
from pymdm.network.checkpoint import CONFIG, TOKENIZER, Checkpoint, load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.device import as_device
from pymdm.network.engine import Engine
from pymdm.network.foreign import Converted, convert
from pymdm.network.hugging_face import HuggingFaceNetwork, is_hugging_face
from pymdm.network.layouts import Conventions
from pymdm.network.source import TORCH, from_hub, open_source, read_json
from pymdm.network.transformer import MaskedTransformer

_FOREIGN = ("model_type", "architectures", "graph", "n_embd", "arch", "n_heads", "hidden_size")  # in settings of others
Frame = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded model, from `pymdm.load` or `pymdm.train`; `pymdm.sample` and `pymdm.evaluate` take it.

    Attributes:
        engine: the compiled network.
        config: its shape.
        tokenizer: text <-> ids; None where none came with it.
        training: how it was trained, with the bits per character of held-out text in `training["held_out"]`.
        path: the folder or file it came from; empty in memory.
        conventions: of its family: end of text, tokens never drawn, frame, what a user must know.
        checkpoint: the weights of a model that was just trained, else None.
    """

    engine: Engine
    config: ModelConfig
    tokenizer: Any
    training: dict[str, Any]
    path: Path
    conventions: Conventions = field(default_factory=Conventions)
    checkpoint: Checkpoint | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        found = self.training.get("held_out", {}).get("bits_per_char")
        held = "" if found is None else f"; held out {found:.3f} bits/char"
        note = f",\n      note: {self.conventions.note}" if self.conventions.note else ""
        return f"Model({self.name}, {self.conventions.family}{held},\n      {self.engine!r}{note})"

    @property
    def name(self) -> str:
        """The folder or file it came from, the name of a bundled model, or that it is in memory only."""
        return "in memory" if self.path == Path() else name_of(self.path) or str(self.path)

    @property
    def banned(self) -> tuple[int, ...]:
        """Ids that are not drawn unless asked for: special tokens, and rows that stand for nothing."""
        own = {*self.conventions.banned, *getattr(self.tokenizer, "banned", ())} - set(self.conventions.end_of_text)
        return tuple(sorted(i for i in own if i < self.config.vocab_size))

    def chat(self, messages: Messages) -> list[int]:
        """Tokens of a conversation up to where the answer begins, by the model's own chat template: a prompt for `sample`.

        Args:
            messages: a user's text, or messages with "role" and "content".

        Raises:
            ValueError: a model without a template or a tokenizer, or messages that the template refuses.
        """
        found = read_chat_template(self.path) if self.path.is_dir() else None
        if found is None or self.tokenizer is None:
            raise ValueError(f"chat: {self.path} has no chat template; give the prompt as text")
        tokens: list[int] = self.tokenizer.encode(render(*found, messages))
        return tokens

    def answer(self, sample: Any) -> str:
        """The answer in a `Sample` whose prompt `chat` gave: its text from the first drawn token to the end of the turn."""
        tokens: list[int] = sample.tokens.tolist()
        row = tokens[first_free(tokens, sample.rank.tolist(), self.config.mask_id) :]
        ends = {*self.conventions.end_of_text, *getattr(self.tokenizer, "turn_ends", ())}
        return str(self.tokenizer.decode(row[: next((n for n, i in enumerate(row) if i in ends), len(row))]))

    @property
    def frame(self) -> Frame:
        """Ids before and after every sequence."""
        return getattr(self.tokenizer, "frame", ((), ())) if self.conventions.framed else ((), ())


def model_of(checkpoint: Checkpoint, dtype: str | None = None, device: str = "cpu") -> Model:
    """A checkpoint in memory as a model that `pymdm.sample` takes; arguments and errors as of `load`."""
    engine = Engine(checkpoint, dtype=dtype or "float32", device=device)
    path = checkpoint.path if checkpoint.path is not None else Path()
    return Model(engine, checkpoint.config, checkpoint.tokenizer, checkpoint.training, path, checkpoint=checkpoint)


@dataclass(frozen=True)
class Network:
    """What `sample` needs to know of whatever it was given.

    `length` is the longest sequence, None if unknown; `sees_time` whether the network is known to be conditioned on time;
    `schedule` that of the times it was trained with then, None if unknown.
    """

    engine: C.Engine | C.DeviceEngine | None
    callable: Callable[..., Any] | None
    mask_id: int | None
    vocab_size: int | None
    length: int | None
    tokenizer: Any | None
    banned: tuple[int, ...] = ()
    frame: Frame = ((), ())
    framed: bool = False  # whether the frame of a tokenizer that is given belongs to its sequences
    ends: tuple[int, ...] = ()  # ids that end a text, for a tokenizer that is given
    sees_time: bool = False
    schedule: str | None = None
    config: ModelConfig | None = None  # of a network of ours


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    dtype: str | None = None,
    device: str = "cpu",
    config: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
) -> Model:
    """Loads a model into the compiled engine, whatever family of docs/models.md it is of.

    Args:
        path: a folder of ours (`model.safetensors`, `config.json`, `tokenizer.json`); a Hugging Face folder, in one file
            or shards; a .safetensors file; a torch or Lightning file, whose averaged weights are taken and from which
            nothing but tensors is unpickled; the id of a model on the Hugging Face hub; "bundled:masked" or
            "bundled:any-order", the models in the package, of which None is the second.
        dtype: arithmetic of matrix products, "float32" or "bfloat16" (faster where the processor has it, half the
            memory). Default "float32" for folders of ours; for others "bfloat16" where the file's weights are.
        device: "cpu", "cuda" or "cuda:1".
        config: stands for the config.json of a checkpoint of others that has none beside it.
        tokenizer: for a checkpoint of others that has none: a `Tokenizer`, a tokenizer of `tokenizers` or `transformers`, or
            the folder or tokenizer.json that holds one.

    Returns:
        `Model`, which `pymdm.sample` takes.

    Raises:
        ValueError, TypeError: a path that is none; a family that the engine does not compute; a missing file or setting; a
            tensor that is missing, unknown, misshapen, of another dtype or not finite, by name and file; a device that is
            not there.

    >>> load().config.mask_id == load().tokenizer.size
    True
    """
    if not isinstance(path, str | os.PathLike | None):
        raise TypeError(f"load: path must be a folder, a file or the id of a model, got {type(path).__name__}")
    if path is None or not is_foreign(path, config):
        if tokenizer is not None or config is not None:
            raise ValueError(
                "load: a checkpoint of ours has its own config and tokenizer; leave config and tokenizer out"
            )
        checkpoint = load_checkpoint(folder_of(path), values=False)
        try:
            engine = Engine(checkpoint, dtype=dtype or "float32", device=device)
        except ValueError as error:
            if "not finite" in str(error):
                load_checkpoint(folder_of(path))  # says which tensor of which file
            raise
        return Model(
            engine, checkpoint.config, checkpoint.tokenizer, checkpoint.training, last_written(folder_of(path))
        )
    converted, tokenizer = opened(path, config, tokenizer)
    source = converted.source
    try:
        engine = Engine(converted.weights, converted.config, dtype=dtype or converted.dtype, device=device)
    except ValueError as error:
        named = converted.name_not_finite() if "not finite" in str(error) else None
        raise ValueError(named or f"load: {source.path}: {error}") from None
    training = {"family": converted.conventions.family, "settings": source.settings}
    return Model(engine, converted.config, tokenizer, training, source.path, converted.conventions)


def opened(
    path: str | os.PathLike[str], config: Mapping[str, Any] | None = None, tokenizer: Any = None
) -> tuple[Converted, Tokenizer | WrappedTokenizer | None]:
    """A checkpoint of others in our terms, its values not yet read, and its tokenizer; arguments as of `load`."""
    source = open_source(Path(path) if Path(path).exists() else from_hub(str(path)), config)
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = open_tokenizer(tokenizer)
    found = tokenizer if tokenizer is not None else read_tokenizer(source.folder)
    ours = found is None or isinstance(found, Tokenizer)
    if not ours and source.settings.get("mask_token_id") is None:  # BERT's settings do not name it
        mask = WrappedTokenizer(found).mask_id
        source.settings.update({} if mask is None else {"mask_token_id": mask})
    converted = convert(source)
    if not ours:
        conventions = converted.conventions
        found = WrappedTokenizer(found, converted.config.mask_id, conventions.end_of_text)
        never = tuple(i for piece in conventions.never if (i := found.id_of(piece)) is not None)
        if never:
            converted = replace(converted, conventions=replace(conventions, banned=(*conventions.banned, *never)))
    return converted, found


def is_foreign(path: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> bool:
    """Whether this is a checkpoint of others: a file, a hub id, or a folder whose config.json is not of our form."""
    folder = last_written(path)
    if config is not None or folder.is_file():
        return True
    if not folder.is_dir():
        return "/" in str(path) and not Path(path).is_absolute()
    if not (folder / CONFIG).is_file():
        return (
            any(p.suffix in (".safetensors", *TORCH) for p in folder.iterdir()) and not (folder / TOKENIZER).is_file()
        )
    try:
        settings = read_json(folder / CONFIG)
    except ValueError:
        return False  # the reader of our own says what is wrong
    return any(key in settings for key in _FOREIGN)


def resolve(model: Any, dtype: str | None = None, device: str | None = None) -> Network:
    """Turns what a user passes as a model into a `Network`. `device` None is the CPU, or where the model already is."""
    if isinstance(model, str | os.PathLike):
        model = load(model, dtype=dtype, device=device or "cpu")
    if is_hugging_face(model):
        hub = HuggingFaceNetwork(model)
        if device is not None:
            raise ValueError(
                "sample: device is for models this call loads itself; move the model with model.to(device)"
            )
        return Network(
            None, hub, hub.mask_id, hub.vocab_size, hub.length, None, hub.banned, framed=hub.framed, ends=hub.ends
        )
    if isinstance(model, Checkpoint):
        model = model_of(model, dtype, device or "cpu")
    if isinstance(model, MaskedTransformer):
        model = Engine(model, dtype=dtype or "float32", device=device or "cpu")
    if isinstance(model, Model | Engine):
        engine = model.engine if isinstance(model, Model) else model
        if device is not None and as_device(device) != engine.device:
            raise ValueError(f"sample: the model is on {engine.device}, got device {device!r}; load it there instead")
        config = engine.config
        if config.attention != "bidirectional" and isinstance(engine.native, C.DeviceEngine):
            raise ValueError(f"sample: networks of attention {config.attention!r} are sampled on the CPU so far")
        sees_time = config.conditioning == "time"
        recipe = model.training.get("recipe", {}) if isinstance(model, Model) else {}
        schedule = recipe.get("schedule") if sees_time else None
        network = Network(
            engine.native, None, config.mask_id, config.vocab_size, config.length, None, sees_time=sees_time,
            schedule=schedule, config=config,
        )  # fmt: skip
        if isinstance(model, Engine):
            return network
        return replace(network, tokenizer=model.tokenizer, banned=model.banned, frame=model.frame)
    if callable(model):
        return Network(None, model, None, None, None, None)
    raise TypeError(f"sample: model must be a loaded model, a path or a callable, got {type(model).__name__}")


def with_tokenizer(network: Network, tokenizer: Any, mask_id: int | None) -> Network:
    """The network with the tokenizer that a user gave, in the form that prompts and results use, and what it bans."""
    given = as_tokenizer(tokenizer, mask_id if mask_id is not None else network.mask_id, network.ends)
    if given is None:
        return network
    banned = getattr(given, "banned", ())
    if network.vocab_size is not None:
        banned = tuple(i for i in banned if i < network.vocab_size)
    frame = given.frame if network.framed and isinstance(given, WrappedTokenizer) else network.frame
    mask = network.mask_id
    if mask is None and isinstance(network.callable, HuggingFaceNetwork):
        mask = given.mask_id
    banned = tuple(sorted({*network.banned, *banned} - {mask, *network.ends}))
    return replace(network, tokenizer=given, frame=frame, mask_id=mask, banned=banned)
