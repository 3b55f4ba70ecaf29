"""A local Hugging Face causal language model, or a GGUF file, as a judge (extras `hf`, and `eval` for GGUF)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pymdm.data.round_trip import kept_characters
from pymdm.evaluate.autoregressive import context_windows
from pymdm.evaluate.judges import Scores, file_sha256, package_of, scores_of

END_OF_TEXT = "<|endoftext|>"
LONGEST = 2048  # tokens of a window, where the model takes more
BATCH_TOKENS = 2048  # in one network call: [2048, V] float32 logits


class HuggingFaceJudge:
    """Next-token likelihood under a causal language model from local files.

    Every token is scored, the first after the model's document separator: <|endoftext|> where it has one, else its
    beginning, else its end token. Texts longer than the window go through overlapping windows.

    Args:
        path: folder with config.json, safetensors and tokenizer, or a .gguf file. Nothing is downloaded or unpickled.
        window: tokens in a window; default the model's length, at most 2,048.
        stride: tokens scored by each further window; default half a window.
        dtype: arithmetic of the network, torch.float32 or torch.bfloat16; losses are float32.

    Raises:
        ValueError: a package is missing, or the model, its tokenizer or such a token.

    Source: Zheng et al., ICLR 2025, section 5 (generative perplexity), scored with every token.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        window: int | None = None,
        stride: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        source = Path(path)
        self._tokenizer, self._model = _load(source, dtype)
        limit = getattr(self._model.config, "max_position_embeddings", None) or LONGEST
        self._window = window or min(int(limit), LONGEST)
        self._stride = stride or max(1, self._window // 2)
        self._start = self._start_token(source)
        self.name = source.stem if source.is_file() else source.name
        files = (
            [source]
            if source.is_file()
            else sorted(p for p in source.iterdir() if p.suffix in (".safetensors", ".bin"))
        )
        self.facts: dict[str, Any] = {
            "kind": "gguf" if source.is_file() else "hugging face",
            "files": {p.name: file_sha256(p) for p in files},
            "package": package_of(files[0]) if files else None,
            "architecture": type(self._model).__name__,
            "dtype": str(dtype).removeprefix("torch."),
            "window": self._window,
            "stride": self._stride,
            "first token after": self._tokenizer.convert_ids_to_tokens(self._start),
        }

    def __call__(self, texts: Sequence[str]) -> Scores:
        rows = [self._tokenizer(t, add_special_tokens=False, verbose=False).input_ids if t else [] for t in texts]
        nats = np.zeros(len(texts))
        for batch in self._batches(rows):
            self._score(rows, batch, nats)
        kept = [kept_characters(t, self._back(row), self._again) for t, row in zip(texts, rows, strict=True)]
        return scores_of(texts, nats, rows, kept)

    def _back(self, row: list[int]) -> str:
        """Text of tokens as they are."""
        return str(self._tokenizer.decode(row, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _again(self, text: str) -> str:
        return self._back(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def _batches(self, rows: list[list[int]]) -> Iterator[list[tuple[int, int, int, int]]]:
        """Windows (text, start, end, first scored), the longest first, in groups of at most BATCH_TOKENS with padding."""
        spans = [(i, *w) for i, row in enumerate(rows) for w in context_windows(len(row), self._window, self._stride)]
        spans.sort(key=lambda s: s[1] - s[2])
        while spans:
            count = max(1, BATCH_TOKENS // (spans[0][2] - spans[0][1]))
            yield spans[:count]
            del spans[:count]

    @torch.no_grad()
    def _score(self, rows: list[list[int]], batch: list[tuple[int, int, int, int]], nats: np.ndarray) -> None:
        """Adds the nats of these windows. Padding stands at the end, where a causal network does not see it."""
        longest = max(end - start for _, start, end, _ in batch)
        inputs = torch.full((len(batch), longest), self._start)
        targets = torch.full((len(batch), longest), -100)  # ignored
        for b, (i, start, end, first) in enumerate(batch):
            ids = torch.tensor(rows[i][start:end])
            inputs[b, 0] = rows[i][start - 1] if start else self._start
            inputs[b, 1 : len(ids)] = ids[:-1]
            targets[b, first - start : len(ids)] = ids[first - start :]
        logits = self._model(input_ids=inputs, use_cache=False).logits
        for b, (i, _, _, _) in enumerate(batch):  # one sequence after the other: float32 [L, V] at a time
            losses = F.cross_entropy(logits[b].float(), targets[b], reduction="none")
            nats[i] += float(losses.double().sum())

    def _start_token(self, source: Path) -> int:
        known = self._tokenizer.get_vocab()
        for token in (known.get(END_OF_TEXT), self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise ValueError(f"judge: the tokenizer of {source} has no token to begin a text with")


def _load(source: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Tokenizer and network of a folder or GGUF file."""
    try:
        import transformers
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise ValueError(
            "judge: a Hugging Face or GGUF judge needs: pip install transformers gguf accelerate"
        ) from None
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    folder = source.parent if source.is_file() else source
    options |= {"gguf_file": source.name} if source.is_file() else {"use_safetensors": True}
    dense = {}
    if source.is_file() and hasattr(transformers, "GgufConfig"):  # version 5 would else look for kernels to fetch
        dense["quantization_config"] = transformers.GgufConfig(dequantize=True)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options, **dense)
    except Exception as error:  # whatever a damaged or unknown model makes the library raise
        raise ValueError(f"judge: cannot load {source} as a causal language model: {error}") from None
    finally:
        logging.set_verbosity(verbosity)
    return tokenizer, model.eval()
