"""Samples of the twins, judged: bits per character under an open n-gram and entropy, beside real held-out text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pymdm
from pymdm.evaluate.judges import NGramJudge
from pymdm.evaluate.metrics import token_entropy
from pymdm.network.checkpoint import load_checkpoint
from pymdm.train import load_corpus

NUMBER = 64


def judge_samples(results: Path, source: str | None = None) -> Path:
    """Sample both twins on the bundled corpus, judge the samples and the held-out text, write RESULTS/bundled-samples.json."""
    corpus = load_corpus(source)
    judge = NGramJudge(corpus.train_text)
    rows: list[dict[str, Any]] = []
    for name in ("mdm", "autoregressive"):
        checkpoint = load_checkpoint(results / "checkpoints" / f"bundled-{name}")
        length = checkpoint.config.length
        drawn = pymdm.sample(checkpoint.build(), num_samples=NUMBER, length=length, seed=1)
        assert isinstance(drawn.tokens, torch.Tensor)
        tokens = drawn.tokens
        law = "exact, left to right" if checkpoint.config.causal else "exact, first-hitting"
        rows.append(judged(name, law, judge, [checkpoint.tokenizer.decode(t) for t in tokens], tokens, length))
    tokenizer = checkpoint.tokenizer
    held_out = tokenizer.encode(corpus.held_out_text)
    starts = np.linspace(0, len(held_out) - length, NUMBER).astype(int)
    real = torch.tensor([held_out[s : s + length] for s in starts])
    rows.append(judged("held-out text", "", judge, [tokenizer.decode(t) for t in real], real, length))
    file = results / "bundled-samples.json"
    file.write_text(json.dumps({"judge": judge.name, "facts": judge.facts, "rows": rows}, indent=1) + "\n")
    return file


def judged(name: str, law: str, judge: NGramJudge, texts: list[str], tokens: Tensor, nfe: int) -> dict[str, Any]:
    scores = judge(texts)
    entropy = [token_entropy(row.tolist()) for row in tokens]
    return {
        "run": name,
        "law": law,
        "nfe": nfe if law else 0,
        "samples": len(texts),
        "bits_per_char": scores.bits.value,
        "interval95": list(scores.bits.interval),
        "entropy_nats": float(np.mean(entropy)),
        "dtype": "float32, noise of 64 bits",
        "first": texts[0],
    }
