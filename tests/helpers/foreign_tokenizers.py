"""Tokenizers as others make them: that truncate, lower-case, lose words, put spaces before a text, or are damaged."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = "The quick Brown fox jumps over the lazy dog. And the dog sleeps, 12 times; the end.\n" * 40


def byte_bpe(prefix: bool = False, size: int = 300) -> Tokenizer:
    """Byte-level BPE, lossless; with `prefix` a space is put before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def word_pieces(lower: bool = False, letters: str = "abcdefghijklmnopqrstuvwxyz") -> Tokenizer:
    """WordPiece of single letters with [UNK]; words of anything else are unknown."""
    vocabulary = {"[UNK]": 0, ".": 1, ",": 2}
    for letter in letters:
        vocabulary[letter] = len(vocabulary)
        vocabulary["##" + letter] = len(vocabulary)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def spaced_bpe() -> Tokenizer:
    """As SentencePiece files are converted: a space is put before every text, and taken away again."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=120, show_progress=False))
    return tokenizer


def metaspace_bpe() -> Tokenizer:
    """The same by a pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=120, show_progress=False))
    return tokenizer


def file(**changes: object) -> str:
    """A tokenizer.json of words a and b with some keys changed."""
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    whole |= {"pre_tokenizer": None, "post_processor": None, "decoder": None}
    whole |= {"model": {"type": "WordLevel", "vocab": {"a": 0, "bc": 1}, "unk_token": "a"}}
    return json.dumps(whole | changes)
