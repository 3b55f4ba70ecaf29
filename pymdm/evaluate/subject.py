"""What is evaluated: a checkpoint and a text cut into its sequences; and the facts that make two runs comparable."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymdm.bundled import bundled_path
from pymdm.data.files import read_text, text_suffix
from pymdm.data.packing import pack
from pymdm.data.round_trip import lost_share
from pymdm.data.tokenizer import END_OF_TEXT
from pymdm.evaluate.any_order import BetaTimes
from pymdm.evaluate.autoregressive import Likelihood, evaluate_likelihood
from pymdm.evaluate.bound import Bound, evaluate_bound
from pymdm.evaluate.judges import file_sha256
from pymdm.evaluate.ngram import NGram
from pymdm.evaluate.rule import RuleLikelihood, log_likelihood
from pymdm.evaluate.streams import evaluate_streams
from pymdm.network.checkpoint import WEIGHTS, Checkpoint, load_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine

EMBEDDED = "held-out prose of the running Python"
LOGITS = 1 << 26  # elements of logits in one network call


def sequences(tokens: NDArray[np.int64], length: int, most: int) -> Tensor:
    """int64 [S, L]: at most `most` sequences of one length, evenly spread over a text.

    Raises:
        ValueError: a text of fewer than two.

    >>> sequences(np.arange(10), 3, 2).tolist()
    [[0, 1, 2], [6, 7, 8]]
    """
    row = torch.from_numpy(np.asarray(tokens).astype(np.int64))
    pieces = row[: len(row) // length * length].view(-1, length)
    if len(pieces) < 2:
        raise ValueError(f"evaluate: the text has {len(row)} tokens; two sequences of {length} are needed")
    return pieces[torch.linspace(0, len(pieces) - 1, min(most, len(pieces))).round().long()]


@dataclass(frozen=True)
class Subject:
    """A checkpoint and the tokens it is evaluated on.

    Attributes:
        checkpoint: config, weights, tokenizer.
        text_name: what the text is. note: what a reader must know of it, or "".
        tokens: int64 [T] of the whole text. characters: how many of its characters come back from them.
        lost: share of its characters that do not, which bits per character do not count.
        train_text: what the model learnt from, "" where it is not at hand.
        limit: sequences to take, evenly spread; 0 for all.
        unit: "char", or "byte" where the size is in bytes and a character stands for one.
    """

    checkpoint: Checkpoint
    text_name: str
    tokens: NDArray[np.int64]
    characters: int
    train_text: str = field(repr=False)
    note: str = ""
    limit: int = 0
    unit: str = "char"
    lost: float = 0.0

    @property
    def config(self) -> ModelConfig:
        """Shape of the network."""
        return self.checkpoint.config

    @cached_property
    def pieces(self) -> list[NDArray[np.int64]]:
        """The sequences to evaluate: the text cut at multiples of the network's length; the last may be shorter."""
        L = self.config.length
        starts = range(0, len(self.tokens), L)
        if self.limit and len(starts) > self.limit:
            starts = [starts[int(i)] for i in np.linspace(0, len(starts) - 1, self.limit).round()]  # type: ignore[assignment]
        return [np.asarray(self.tokens[s : s + L]) for s in starts]

    @property
    def whole(self) -> bool:
        """Whether all of the text is evaluated."""
        return sum(map(len, self.pieces)) == len(self.tokens)

    @cached_property
    def evaluated_text(self) -> str:
        """The text of what is evaluated, one sequence after the other."""
        tokenizer = self.checkpoint.tokenizer
        row = self.tokens if self.whole else np.concatenate(self.pieces)
        if self.unit == "byte" and tokenizer.kind == "byte":
            return row.astype(np.uint8).tobytes().decode("latin-1")
        return tokenizer.decode(row).replace(END_OF_TEXT, "")  # as documents are counted

    @property
    def evaluated_characters(self) -> int:
        """Size of what is evaluated; in proportion to the whole where text is lost."""
        if self.whole:
            return self.characters
        if self.lost:
            return round(self.characters * sum(map(len, self.pieces)) / len(self.tokens))
        text = self.evaluated_text
        return len(text.encode()) if self.unit == "byte" and self.checkpoint.tokenizer.kind != "byte" else len(text)

    def batches(self) -> Iterator[Tensor]:
        """The sequences as int64 [b, L] tensors of one length each, b bounded by the size of logits [b, L, V]."""
        for length in sorted({len(p) for p in self.pieces}, reverse=True):
            alike = [p for p in self.pieces if len(p) == length]
            size = max(1, min(16, LOGITS // (length * self.config.vocab_size)))
            for i in range(0, len(alike), size):
                yield torch.from_numpy(np.stack(alike[i : i + size]).astype(np.int64))

    def likelihood(
        self,
        *,
        draws: int = 16,
        exact_counts: bool = False,
        seed: int = 0,
        autocast: bool = False,
        progress: Any = None,
    ) -> Bound | Likelihood:
        """The bound of a masked network, with its curve where it sees both ways; the exact likelihood of an autoregressive one.

        Args:
            draws: rows per sequence (exact_counts: per sequence and count), see `evaluate_bound`.
            seed: of counts, masks and times.
            autocast: bfloat16.
            progress: told the number of rows done.
        """
        model = self.checkpoint.build()
        if self.config.causal:
            return evaluate_likelihood(model, self.batches(), characters=self.evaluated_characters, autocast=autocast)
        if self.config.attention in ("any-order", "block"):
            return evaluate_streams(
                model,
                self.batches(),
                characters=self.evaluated_characters,
                samples=max(2, draws // 2),
                seed=seed,
                autocast=autocast,
                progress=progress,
            )
        return evaluate_bound(
            _time_free(model, self.checkpoint, seed),
            self.batches(),
            self.config.mask_id,
            characters=self.evaluated_characters,
            samples=draws,
            exact_counts=exact_counts,
            seed=seed,
            autocast=autocast,
            curve_bins=min(32 if exact_counts else draws, self.config.length),
            progress=progress,
        )

    def rule_likelihood(self, rule: str, *, dtype: str = "float32", progress: Any = None) -> RuleLikelihood:
        """The exact likelihood under a sampler that picks positions by a rule, see `log_likelihood`."""
        if self.config.attention != "bidirectional":
            raise ValueError(
                f"evaluate: --rule is for networks that see both ways so far, this one's attention is {self.config.attention}"
            )
        return log_likelihood(
            Engine(self.checkpoint, dtype=dtype),
            [piece.tolist() for piece in self.pieces],
            rule=rule,
            characters=self.evaluated_characters,
            progress=progress,
            tokenizer=self.checkpoint.tokenizer,
        )

    def ngram_bits_per_char(self, order: int = 5) -> float:
        """What a plain n-gram of the training text says of the same text; NaN without that text."""
        if not self.train_text:
            return float("nan")
        return float(NGram(self.train_text, order).bits([self.evaluated_text])[0].mean())


def load_subject(
    model: str | os.PathLike[str] | Checkpoint | None = None,
    text: str | os.PathLike[str] | None = None,
    limit: int = 0,
) -> Subject:
    """A checkpoint with its own held-out text, or with any other.

    Args:
        model: checkpoint folder, or a checkpoint; default the model in the package.
        text: UTF-8 file, or folder of text files, to evaluate on instead (zero-shot). Nothing that the checkpoint names is
            opened or downloaded then, so there is no training text to count n-grams on but that of this Python's prose.
        limit: sequences to take, evenly spread; 0 for all.

    Raises:
        ValueError: an unreadable checkpoint or text, or one that the tokenizer cannot spell.

    Example:
        >>> load_subject().config.length
        256
    """
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        checkpoint = load_checkpoint(Path(model) if model is not None else bundled_path())
    recipe = checkpoint.training.get("recipe", {})
    subject = Subject(checkpoint, "", np.zeros(0, dtype=np.int64), 0, "", limit=limit)
    if text is None:
        subject = _own_text(checkpoint, limit)
    elif recipe and recipe.get("held_out") is None and _is_embedded(checkpoint.training):  # this Python's own prose
        subject = replace(subject, train_text=_own_text(checkpoint, limit).train_text)
    if text is not None:
        whole = _read(text)
        tokens, kept = pack(checkpoint.tokenizer, [whole])
        name = Path(text).name
        lost = lost_share([whole], kept, name)
        subject = replace(subject, text_name=name, tokens=tokens, characters=kept, lost=lost)
    if not len(subject.tokens):
        raise ValueError("evaluate: there is no text to evaluate")
    return subject


def _read(source: str | os.PathLike[str]) -> str:
    """All of a text file or folder."""
    from pymdm.data.corpus import LINE_SUFFIXES, load_corpus

    path = Path(source)
    try:
        if path.is_file() and text_suffix(path) not in LINE_SUFFIXES:
            return read_text(path)
        corpus = load_corpus(path)
    except ValueError as error:
        raise ValueError(str(error).replace("corpus:", "evaluate:", 1)) from None
    return corpus.train_text + corpus.held_out_text


def _is_embedded(training: Mapping[str, Any]) -> bool:
    """Whether a model learnt from this Python's prose; a corpus that was in memory has no source either, but a name."""
    return training["recipe"].get("source") is None and training.get("corpus", {}).get("name", "embedded") == "embedded"


def _own_text(checkpoint: Checkpoint, limit: int) -> Subject:
    """The text that was held out when a checkpoint was trained, cut as its recipe says."""
    from pymdm.data.corpus import load_corpus
    from pymdm.data.tokens import encode_corpus, is_data_folder, load_data
    from pymdm.evaluate.ngram import COUNTED

    training = checkpoint.training
    if "recipe" not in training:
        raise ValueError("evaluate: this checkpoint does not say what it was trained on; give a text")
    source, held_out = training["recipe"].get("source"), training["recipe"].get("held_out")
    if source is None and held_out is None and not _is_embedded(training):
        raise ValueError(
            f"evaluate: the text {training['corpus']['name']} was in memory when the model was trained; give one"
        )
    if is_data_folder(source):
        data = load_data(source)
    else:
        data = encode_corpus(load_corpus(source, held_out), checkpoint.tokenizer)
    learnt = training.get("corpus", {}).get("sha256", data.sha256)
    note = "" if learnt == data.sha256 else f"{data.name} is no longer the text that the model was trained on"
    name = EMBEDDED if source is None else f"held-out side of {Path(source).name}"
    whole = len(data.held_out)
    row = np.asarray(data.held_out[: training["recipe"].get("eval_tokens", whole)], dtype=np.int64)
    characters = data.held_out_characters if len(row) == whole else data.characters(row)
    train_text = data.text(data.train[:COUNTED])
    return Subject(checkpoint, name, row, characters, train_text, note, limit, data.unit, data.lost)


def _time_free(model: nn.Module, checkpoint: Checkpoint, seed: int) -> nn.Module:
    """The network as `evaluate_bound` calls it; one that reads the time gets it drawn from its law given the count."""
    if checkpoint.config.conditioning != "time":
        return model
    schedule = checkpoint.training.get("recipe", {}).get("schedule", "linear")
    return BetaTimes(model, checkpoint.config.mask_id, schedule, seed).eval()


def run_facts(subject: Subject, seed: int, command: str = "") -> dict[str, Any]:
    """What was run where: versions, machine, weights' hash, configuration, seed."""
    import pymdm

    path = subject.checkpoint.path
    facts: dict[str, Any] = {
        "command": command,
        "seed": seed,
        "checkpoint": {"name": path.name if path else "", "sha256": file_sha256(path / WEIGHTS) if path else ""},
        "config": subject.config.to_dict(),
        "text": {
            "name": subject.text_name,
            "tokens": len(subject.tokens),
            "characters": subject.characters,
            "unit": subject.unit,
            "lost": subject.lost,
        },
        "versions": {"pymdm": pymdm.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{_processor()}, {torch.get_num_threads()} threads",
        "commit": _commit(),
    }
    if subject.note:
        facts["text"]["note"] = subject.note
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """Commit of the source tree this package runs from, "" where it is installed without one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True
        )
    except OSError:
        return ""
    return done.stdout.strip()


def likelihood_facts(found: Bound | Likelihood, counts: str) -> dict[str, Any]:
    """JSON-ready numbers of a likelihood; intervals are of bits per character."""
    facts: dict[str, Any] = {
        "kind": "bound" if isinstance(found, Bound) else "exact",
        "bits_per_char": found.bits_per_char,
        "nats_per_token": found.nats_per_token,
        "perplexity": found.perplexity,
        "tokens": found.tokens,
        "characters": found.characters,
        "text_interval95": list(found.text_interval),
    }
    if isinstance(found, Bound):
        facts |= {"monte_carlo_interval95": list(found.interval), "draws": found.draws, "counts": counts}
        facts["caveat"] = found.caveat
        facts["curve"] = found.curve.to_dict() if found.curve is not None else None
    if isinstance(found, RuleLikelihood):
        facts |= {"rule": found.rule.rule, "step_maps": [r.tolist() for r in found.rank]}
        facts["log_prob"] = [p.tolist() for p in found.log_prob]
    return facts


def finite(value: Any) -> Any:
    """The same JSON value with null in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
