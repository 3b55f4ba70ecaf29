"""The model card of a checkpoint folder: what the model is, what it learnt from, how well, and the law of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymdm.network.config import ModelConfig

UNITS = {"byte": "byte", "char": "character"}
KINDS = {
    "bidirectional": "A masked diffusion model",
    "causal": "An autoregressive transformer",
    "block": "A block diffusion model",
    "any-order": "An any-order autoregressive model",
}
LAWS = {
    "bidirectional": "",
    "causal": ", token after token from the left",
    "block": ", block after block of {} tokens from the left",
    "any-order": ", in a uniformly random order",
}


def model_card(name: str, config: ModelConfig, kind: str, weights: int, training: Mapping[str, Any]) -> str:
    """Markdown, with the head that model hubs read.

    Args:
        name: of the folder.
        config: shapes. kind: of the tokenizer. weights: how many numbers the network has.
        training: as `config.json` holds it; may be empty.

    Example:
        >>> card = model_card("m", ModelConfig(vocab_size=5, length=8, width=8, layers=1, heads=2), "char", 99, {})
        >>> card.splitlines()[4]
        '# m'
    """
    rows = [
        ("network", f"{weights:,} weights, {config.layers} layers of width {config.width}, {config.heads} heads"),
        ("sequence", f"{config.length} tokens"),
        ("tokenizer", f"{kind}, {config.vocab_size:,} tokens"),
        *_data(training.get("corpus") or {}),
        *_run(training),
        *_scores(training, config),
        ("law of samples", _law(config)),
    ]
    table = "\n".join(f"| {head} | {text} |" for head, text in rows)
    tag = "text-generation" if config.causal else "masked-diffusion"
    return f"""---
library_name: pymdm
tags: [{tag}]
---
# {_cell(name)}

{KINDS[config.attention]} of text, made by [pymdm](https://arxiv.org/abs/2409.02908). All settings are in `config.json`.

| | |
|---|---|
{table}

```python
import pymdm

model = pymdm.load("{_cell(name)}")  # this folder
print(pymdm.sample(model, num_samples=2, seed=1).text[0])
```

It knows nothing but its training text. What it writes need not be true, and it has not been tested for any use.
"""


def _cell(text: str) -> str:
    """Text of others as one cell."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|").replace("`", "'")


def _data(corpus: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "name" not in corpus:
        return []
    unit = UNITS.get(corpus.get("unit", "char"), "character")
    name = "the documentation of a Python installation" if corpus["name"] == "embedded" else _cell(str(corpus["name"]))
    size = f"{corpus.get('train_characters', 0):,} {unit}s to learn from, {corpus.get('held_out_characters', 0):,} held out"
    return [("data", f"{name}: {size}; sha256 {str(corpus.get('sha256', ''))[:16]}")]


def _run(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    recipe = training.get("recipe") or {}
    if "steps" not in training or "objective" not in recipe:
        return []
    state = "" if training.get("finished", True) else ", not finished"
    start = f", begun with {_cell(str(recipe['init_from']))}" if recipe.get("init_from") else ""
    return [("training", f"objective {recipe['objective']}, {training['steps']:,} steps{start}{state}")]


def _scores(training: Mapping[str, Any], config: ModelConfig) -> list[tuple[str, str]]:
    found = training.get("held_out") or {}
    if not isinstance(found.get("bits_per_char"), int | float):
        return []
    unit = UNITS.get((training.get("corpus") or {}).get("unit", "char"), "character")
    ends = found.get("interval95")
    around = f", 95% {ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
    how = "exact" if config.causal else f"upper bound{around}"
    rows = [("held out", f"{found['bits_per_char']:.3f} bits per {unit} ({how})")]
    ngrams = training.get("ngram_bits_per_char") or {}
    if ngrams:
        words = ", ".join(f"order {n}: {bits:.3f}" for n, bits in ngrams.items())
        rows.append(("n-grams on the same text", f"{words} bits per {unit}"))
    return rows


def _law(config: ModelConfig) -> str:
    how = LAWS[config.attention].format(config.block_length)
    return (
        f"exact by default: `FirstHitting()` draws exactly from the model's law{how}; several tokens a call, temperature, "
        "top-k and top-p change it, and the result says so"
    )
