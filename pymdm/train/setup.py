"""Sets up a run from its recipe: tokenizer, network shape, device and precision; and summarises it at the end."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pymdm.data.corpus import Corpus, load_corpus
from pymdm.data.tokenizer import Tokenizer
from pymdm.data.tokens import TokenData, encode_corpus, is_data_folder, load_data
from pymdm.evaluate.bound import Bound
from pymdm.evaluate.ngram import COUNTED, ngram_bits
from pymdm.network.checkpoint import Checkpoint
from pymdm.network.config import ModelConfig
from pymdm.train.objective import ATTENTION
from pymdm.train.recipe import Recipe
from pymdm.train.state import Numbers

NGRAM_ORDERS = (2, 3, 5)


def model_config(recipe: Recipe, tokenizer: Tokenizer) -> ModelConfig:
    """The network of a recipe, with query and key biases for the heads' start."""
    return ModelConfig(
        vocab_size=tokenizer.size,
        length=recipe.length,
        width=recipe.width,
        layers=recipe.layers,
        heads=recipe.heads,
        qkv_bias=True,
        tied_head=recipe.tied_head,
        rope_base=recipe.rope_base,
        conditioning=recipe.conditioning,
        cond_dim=recipe.cond_dim,
        attention=ATTENTION.get(recipe.objective, "bidirectional"),
        block_length=recipe.block_length,
        dropout=recipe.dropout,
    )


def held_out_summary(bound: Bound) -> dict[str, Any]:
    """The numbers of a bound that are stored with a model."""
    return {
        "bits_per_char": bound.bits.value,
        "interval95": list(bound.bits.interval),
        "nats_per_token": bound.nats_per_token,
        "perplexity": bound.perplexity,
        "tokens": bound.tokens,
        "characters": bound.characters,
        "draws": bound.draws,
    }


def summary(recipe: Recipe, data: TokenData, numbers: Numbers, bound: Bound | None, **facts: object) -> dict[str, Any]:
    """What a run says of itself in config.json, beside the shapes; of a finished one also the held-out bound.

    Args:
        recipe, data, numbers: of the run.
        bound: of the held-out side; none while the run goes on.
        facts: more to be told.
    """
    values: dict[str, Any] = {
        "command": numbers.commands[0] if numbers.commands else "",
        "resumed_with": numbers.commands[1:],
        "recipe": recipe.to_dict(),
        "finished": bound is not None,
        "steps": numbers.step,
        "tokens": numbers.step * recipe.batch_size * recipe.length,
        "seconds": round(numbers.seconds, 1),
        "train_bits_per_char": numbers.bits,
        **facts,
        "corpus": {
            "name": data.name,
            "sha256": data.sha256,
            "unit": data.unit,
            "train_characters": data.train_characters,
            "train_tokens": len(data.train),
            "held_out_characters": data.held_out_characters,
            "held_out_tokens": len(data.held_out),
            "held_out_lost": data.lost,
        },
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if bound is not None:
        values["held_out"] = held_out_summary(bound)
        texts = data.text(data.train[:COUNTED]), data.text(data.held_out[: recipe.eval_tokens])
        values["ngram_bits_per_char"] = {str(k): v for k, v in ngram_bits(*texts, NGRAM_ORDERS).items()}
    return values


def train_tokenizer(recipe: Recipe, corpus: Corpus) -> Tokenizer:
    """The tokenizer of a run: pieces from the training side; characters from both, so that all of it can be scored."""
    documents: Sequence[str] = corpus.train if recipe.vocab == "bpe" else corpus.train + corpus.held_out
    return Tokenizer.train(documents, recipe.vocab, recipe.vocab_size if recipe.vocab == "bpe" else None)


def pick_device(wanted: str) -> str:
    """The device of a run; ValueError when cuda is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("train: device cuda was asked for, but this torch finds none")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def pick_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to multiply in bfloat16: asked for, or "auto" on hardware that does so natively."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


def load_training_data(
    recipe: Recipe,
    corpus: Corpus | TokenData | None = None,
    start: Checkpoint | None = None,
    told: Callable[[str], None] = lambda stage: None,
) -> TokenData:
    """The rows of tokens of a recipe: of the given text, of a data folder, or of the text that `source` names.

    Args:
        recipe: settings.
        corpus: the text or tokens, if they are at hand.
        start: the checkpoint that the run begins with, whose tokenizer is taken.
        told: called with "reading" and "tokenizing" as these begin.

    Raises:
        ValueError: text that is missing, unreadable or too short; tokens of another tokenizer than that of `start`.
    """
    if isinstance(corpus, TokenData):
        return _same_tokenizer(corpus, start, recipe)
    told("reading")
    if corpus is None and is_data_folder(recipe.source):
        if recipe.held_out is not None:
            raise ValueError(f"train: {recipe.source} has a held-out side of its own; leave held_out away")
        return _same_tokenizer(load_data(str(recipe.source)), start, recipe)
    corpus = corpus or load_corpus(recipe.source, recipe.held_out)
    if not corpus.train_text or not corpus.held_out_text:
        pieces = len({*corpus.train, *corpus.held_out})
        raise ValueError(
            f"train: to hold some of it out, {corpus.name} needs 2 different pieces of text, got {pieces} (pieces that are "
            "equal stay together); give more text, or another text to hold out"
        )
    told("tokenizing")
    return encode_corpus(corpus, start.tokenizer if start is not None else train_tokenizer(recipe, corpus))


def _same_tokenizer(data: TokenData, start: Checkpoint | None, recipe: Recipe) -> TokenData:
    """The data, if they are of the tokenizer that the run begins with."""
    if start is not None and data.tokenizer.to_json() != start.tokenizer.to_json():
        raise ValueError(f"train: the tokens of {data.name} are of another tokenizer than that of {recipe.init_from}")
    return data
