"""Judges: models that say how likely a text is, for generative perplexity.

A judge is called with texts and returns `Scores`: nats, tokens and characters of each text, every text scored on its own
and none left out. Bits per character compare judges with different tokens; perplexity per token does not.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pymdm.evaluate.autoregressive import causal_losses, context_windows
from pymdm.evaluate.intervals import ratio_bits
from pymdm.evaluate.ngram import NGram
from pymdm.network.checkpoint import CONFIG, WEIGHTS, load_checkpoint
from pymdm.report.bits import Bits

NGRAM_ORDER = 5
BREAK = "\n\n"  # what an n-gram takes to stand before a text


@dataclass(frozen=True)
class Scores:
    """What a judge says of N texts.

    Attributes:
        nats: -log p of each text, float64 [N].
        tokens: the judge's own tokens that were scored, int64 [N].
        characters: of each text, int64 [N], as many as come back from the judge's tokens.
        lost: share of all characters that do not come back.
    """

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    lost: float = 0.0

    @property
    def perplexity(self) -> float:
        """exp of the nats per token, all texts together; NaN without a token."""
        return math.exp(float(self.nats.sum()) / int(self.tokens.sum())) if self.tokens.sum() else math.nan

    @property
    def bits(self) -> Bits:
        """Bits a character, all texts together, NaN without a character; its interval is over texts drawn like these."""
        return ratio_bits(self.nats, self.characters)

    def to_dict(self) -> dict[str, Any]:
        """The summaries and the lists, as JSON-ready values."""
        return {
            "bits_per_char": self.bits.value,
            "interval95": list(self.bits.interval),
            "perplexity": self.perplexity,
            "nats": self.nats.tolist(),
            "tokens": self.tokens.tolist(),
            "characters": self.characters.tolist(),
            "lost": self.lost,
        }


class Judge(Protocol):
    """Texts -> `Scores`. `name` heads its column; `facts` says which model it is, so that numbers can be compared."""

    name: str
    facts: dict[str, Any]

    def __call__(self, texts: Sequence[str]) -> Scores:
        """Scores every text."""


class NGramJudge:
    """A character n-gram counted on the training text (see `NGram`); small, always there, the same for all samples.

    Args:
        train: text to count on, best the one the judged model learnt from.
        order: k, with k - 1 characters of context; each text begins after a blank line.

    Example:
        >>> NGramJudge("the cat sat. " * 9)(["the cat", "zq"]).characters.tolist()
        [7, 2]
    """

    def __init__(self, train: str, order: int = NGRAM_ORDER) -> None:
        self._model = NGram(train, order)
        self.name = f"{order}-gram"
        digest = hashlib.sha256(train.encode()).hexdigest()
        self.facts: dict[str, Any] = {"kind": "ngram", "order": order, "characters": len(train), "text_sha256": digest}

    def __call__(self, texts: Sequence[str]) -> Scores:
        nats = [float(b.sum()) * math.log(2) for b in self._model.bits(texts, context=BREAK)]
        sizes = np.array([len(t) for t in texts], dtype=np.int64)
        return Scores(np.array(nats, dtype=np.float64), sizes, sizes)


class CheckpointJudge:
    """An autoregressive checkpoint of our own (`ModelConfig.causal`), exact; longer texts in overlapping windows.

    Args:
        path: checkpoint folder.
        stride: tokens scored by each further window; default half the network's length.

    Raises:
        ValueError: an unreadable checkpoint, or one that is not causal; when called, a text its tokenizer cannot spell.
    """

    def __init__(self, path: str | os.PathLike[str], stride: int | None = None) -> None:
        checkpoint = load_checkpoint(path)
        if not checkpoint.config.causal:
            raise ValueError(f"judge: {path} is not autoregressive (causal), so it gives no likelihood to judge by")
        self._model, self._tokenizer = checkpoint.build(), checkpoint.tokenizer
        self._stride = stride or max(1, checkpoint.config.length // 2)
        self.name = Path(path).name
        self.facts: dict[str, Any] = {"kind": "checkpoint", "sha256": file_sha256(Path(path) / WEIGHTS)}
        self.facts |= {"window": checkpoint.config.length, "stride": self._stride}

    def __call__(self, texts: Sequence[str]) -> Scores:
        rows = self._tokenizer.encode_all(texts)
        nats = np.zeros(len(texts))
        for i, row in enumerate(rows):
            for start, end, first in context_windows(len(row), self._model.config.length, self._stride):
                losses = causal_losses(self._model, torch.tensor([row[start:end]]))[0]
                nats[i] += float(losses[first - start :].double().sum())
        kept = [self._tokenizer.kept([t], [r]) for t, r in zip(texts, rows, strict=True)]
        return scores_of(texts, nats, rows, kept)


def scores_of(
    texts: Sequence[str], nats: NDArray[np.float64], rows: Sequence[Sequence[int]], kept: Sequence[int]
) -> Scores:
    """What a judge says of texts whose tokens are `rows`, of each of which `kept` characters come back from them."""
    total = sum(map(len, texts))
    lost = (total - sum(kept)) / total if total else 0.0
    return Scores(nats, np.array([len(r) for r in rows], np.int64), np.array(kept, np.int64), lost)


def load_judge(what: str, train_text: str = "", dtype: str = "float32") -> Judge:
    """The judge of a name: "ngram" or "ngram:K", a checkpoint folder, a Hugging Face folder, or a .gguf file.

    Args:
        what: as above; folders and files are local, nothing is downloaded.
        train_text: what an n-gram counts.
        dtype: "float32" or "bfloat16", arithmetic of a Hugging Face or GGUF judge.

    Raises:
        ValueError: nothing that can judge under this name, or a package that is missing.

    Example:
        >>> load_judge("ngram:3", "some text").name
        '3-gram'
    """
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in kinds:
        raise ValueError(f"judge: dtype must be float32 or bfloat16, got {dtype!r}")
    kind, _, order = what.partition(":")
    if kind == "ngram" and (not order or order.isdigit()):
        if not train_text:
            raise ValueError("judge: an n-gram judge needs a training text to count")
        return NGramJudge(train_text, int(order) if order else NGRAM_ORDER)
    path = Path(what)
    if path.is_file() and path.suffix.lower() == ".gguf":
        from pymdm.evaluate.hugging_face import HuggingFaceJudge

        return HuggingFaceJudge(path, dtype=kinds[dtype])
    if path.is_dir() and (path / CONFIG).is_file():
        if '"model_type"' in (path / CONFIG).read_text(encoding="utf-8", errors="replace"):
            from pymdm.evaluate.hugging_face import HuggingFaceJudge

            return HuggingFaceJudge(path, dtype=kinds[dtype])
        return CheckpointJudge(path)
    raise ValueError(
        f"judge: expected ngram, ngram:K, a checkpoint folder, a Hugging Face folder or a .gguf file, got {what!r}"
    )


def package_of(path: Path) -> str | None:
    """Name and version of the Python package that a file lies in, installed or unpacked; None for any other file.

    >>> import numpy
    >>> (package_of(Path(numpy.__file__)) or "").split()[0]
    'numpy'
    """
    path = path.resolve()
    for root in path.parents[1:4]:
        inside = path.relative_to(root).as_posix()
        for found in metadata.distributions(path=[str(root)]):
            if any(file.as_posix() == inside for file in found.files or ()):
                return f"{found.metadata['Name']} {found.version}"
    return None


def describe_judge(name: str, facts: dict[str, Any]) -> str:
    """One sentence: what a judge is, and how to get the same one.

    >>> describe_judge("5-gram", {"kind": "ngram", "order": 5, "characters": 10, "text_sha256": "ab" * 32})
    '5-gram: interpolated Witten-Bell over 5 characters, counted on 10 of training text (sha256 abababababababab)'
    """
    kind = facts["kind"]
    if kind == "ngram":
        digest = f"sha256 {facts['text_sha256'][:16]}"
        size = f"counted on {facts['characters']:,} of training text ({digest})"
        return f"{name}: interpolated Witten-Bell over {facts['order']} characters, {size}"
    if kind == "checkpoint":
        window = f"windows of {facts['window']} tokens, {facts['stride']} apart"
        return f"{name}: an autoregressive checkpoint of pymdm, weights sha256 {facts['sha256'][:16]}, {window}"
    files = ", ".join(f"{file} (sha256 {digest[:16]})" for file, digest in facts["files"].items())
    origin = f" from the Python package {facts['package']}" if facts.get("package") else ""
    window = f"windows of at most {facts['window']:,} tokens, the first token after {facts['first token after']}"
    return f"{name}: {facts['architecture']}, {files}{origin}, {facts['dtype']}, {window}"


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
