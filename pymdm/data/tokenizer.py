"""Text <-> token ids: characters, bytes, or byte-pair pieces, each stored as a `tokenizers` JSON file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from pymdm.data.foreign import guarded, neutralise, parse_tokenizer
from pymdm.data.round_trip import kept_characters

KINDS = ("char", "byte", "bpe")
MASK_GLYPH = "░"
END_OF_TEXT = "<|endoftext|>"
GPT2_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
# words with the blank before them, numbers, runs of punctuation, a line end with the indentation after it, blanks
BPE_PATTERN = r" ?[\p{L}_]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\n\s*|\s+"


class Tokenizer:
    """V token ids and the mask, which is id V and stands for no text.

    A tokenizer is checked once, here: truncation, padding, dropout and spaces put before a text are taken out of it, ids
    with holes are refused. How much of a text comes back from its tokens, `kept` measures.

    Args:
        tokenizer: a `tokenizers.Tokenizer`, which is changed; `WrappedTokenizer` copies one that is used elsewhere.
        kind: "char", "byte" or "bpe".
        name: of the tokenizer, in messages.

    Raises:
        ValueError: an unknown kind, or ids that are not 0 .. V-1.

    Example:
        >>> v = Tokenizer.train(["to be or not to be"], kind="char")
        >>> v.decode([*v.encode("be"), v.mask_id])
        'be░'
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, kind: str, name: str = "the tokenizer") -> None:
        if kind not in KINDS:
            raise ValueError(f"tokenizer: kind must be one of {', '.join(KINDS)}, got {kind!r}")
        neutralise(tokenizer, name)
        self.kind = kind
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._characters = tokenizer.get_vocab() if kind == "char" else {}
        self._pieces = {i: c for c, i in self._characters.items()}

    @property
    def mask_id(self) -> int:
        """Id of the mask, V."""
        return self.size

    def add_end_of_text(self) -> int:
        """Id of the token <|endoftext|>, which ends a document; it becomes the last id where there is none yet.

        Raises:
            ValueError: a "char" or "byte" tokenizer, whose tokens are characters or bytes and nothing else.
        """
        if self.kind != "bpe":
            raise ValueError(f"tokenizer: a {self.kind} tokenizer has no end-of-text token; leave it out")
        if self._tokenizer.token_to_id(END_OF_TEXT) is None:
            self._tokenizer.add_special_tokens([END_OF_TEXT])
            self.size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return int(self._tokenizer.token_to_id(END_OF_TEXT) or 0)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises:
            ValueError: a character that a "char" tokenizer does not have, which the message names; a text on which the
                library fails.
        """
        if not isinstance(text, str):
            raise TypeError(f"encode: a text must be a string, got {type(text).__name__}")
        if self.kind != "char":
            return list(guarded("encode", lambda: self._tokenizer.encode(text, add_special_tokens=False)).ids)
        try:
            return [self._characters[c] for c in text]
        except KeyError as error:
            place = text.index(error.args[0])
            raise ValueError(f"encode: unknown character {error.args[0]!r} at position {place}") from None

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for each text, faster for many."""
        if self.kind == "char":
            return [self.encode(t) for t in texts]
        found = guarded("encode", lambda: self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))
        return [e.ids for e in found]

    def kept(self, texts: Sequence[str], rows: Sequence[Sequence[int]] | None = None) -> int:
        """How many characters of some texts come back from their tokens; all of them where nothing is lost.

        Args:
            texts: N of them.
            rows: their tokens, where they are at hand.

        Example:
            >>> Tokenizer.train([], "byte").kept(["Ab ", "\u00e9"])
            4
        """
        if self.kind in ("char", "byte"):
            return sum(map(len, texts))

        def again(piece: str) -> str:
            return self.decode(self.encode(piece))

        found = self.encode_all(texts) if rows is None else rows
        return sum(kept_characters(t, self._decode_run(list(r)), again) for t, r in zip(texts, found, strict=True))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, with "░" for each mask; bytes that are not UTF-8 become the replacement character.

        Raises:
            ValueError: an id outside 0..V.
        """
        text: list[str] = []
        run: list[int] = []
        for i in [*(int(i) for i in ids), self.mask_id]:
            if not 0 <= i <= self.size:
                raise ValueError(f"decode: token ids must be in 0..{self.size}, got {i}")
            if i != self.mask_id:
                run.append(i)
                continue
            if run:
                text.append(self._decode_run(run))
                run = []
            text.append(MASK_GLYPH)
        return "".join(text[:-1])  # the last mask is the sentinel

    def _decode_run(self, ids: list[int]) -> str:
        if self.kind == "char":
            return "".join(self._pieces[i] for i in ids)
        return guarded("decode", lambda: str(self._tokenizer.decode(ids, skip_special_tokens=False)))

    def to_json(self) -> str:
        """The `tokenizer.json` text."""
        return str(self._tokenizer.to_str())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json` (a file path, or a folder that gets one)."""
        target = Path(path)
        if target.is_dir():
            target = target / "tokenizer.json"
        target.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a `tokenizer.json` (or the folder that holds one); any Hugging Face tokenizer file works as "bpe".

        A folder without one may hold GPT-2's two files: vocab.json and merges.txt, or encoder.json and vocab.bpe.

        Raises:
            ValueError, TypeError: missing, not a tokenizer file, or no path.
        """
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"tokenizer: path must be a file or a folder, got {type(path).__name__}")
        source = Path(path)
        if source.is_dir():
            for pieces, merges in GPT2_FILES:
                if (
                    not (source / "tokenizer.json").exists()
                    and (source / pieces).is_file()
                    and (source / merges).is_file()
                ):
                    return cls.from_gpt2(source / pieces, source / merges)
            source = source / "tokenizer.json"
        try:
            text = source.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ValueError(f"tokenizer: no such file: {source}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"tokenizer: cannot read {source}: {error}") from None
        return cls.from_json(text, str(source))

    @classmethod
    def from_gpt2(cls, pieces: str | os.PathLike[str], merges: str | os.PathLike[str]) -> Tokenizer:
        """GPT-2's byte-level BPE from its two files (50,257 ids, the last one <|endoftext|>).

        Args:
            pieces: vocab.json, also called encoder.json.
            merges: merges.txt, also called vocab.bpe.

        Raises:
            ValueError: a file that is missing or not of that kind.
        """
        what = f"tokenizer: {pieces} and {merges} are not GPT-2's files"
        tokenizer = guarded(what, lambda: tokenizers.Tokenizer(models.BPE.from_file(str(pieces), str(merges))))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        if tokenizer.token_to_id(END_OF_TEXT) is not None:
            tokenizer.add_special_tokens([END_OF_TEXT])  # one token, not cut into pieces; its id stays
        return cls(tokenizer, "bpe")

    @classmethod
    def from_json(cls, text: str, name: str = "tokenizer.json") -> Tokenizer:
        """Build from `to_json`'s text.

        Raises:
            ValueError: not a tokenizer file, one that the library cannot use, or ids with holes.
        """
        tokenizer, model = parse_tokenizer(text, name)
        pieces = model.get("vocab")
        if model.get("type") == "WordLevel" and pieces and all(len(piece) == 1 for piece in pieces):
            return cls(tokenizer, "char", name)
        whole = model.get("type") == "BPE" and not model.get("merges") and tokenizer.get_vocab() == _BYTES
        return cls(tokenizer, "byte" if whole else "bpe", name)

    @classmethod
    def train(cls, texts: Iterable[str], kind: str, size: int | None = None) -> Tokenizer:
        """Make a tokenizer from texts.

        Args:
            texts: the training side only.
            kind: "char" (every character seen, in code point order), "byte" (256 ids, any text) or "bpe" (any text).
            size: V; required for "bpe" (at least 256), and the other kinds take none.

        Raises:
            ValueError, TypeError: an unknown kind, a size that does not fit it, or one text in place of several.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise TypeError(f"tokenizer: texts must be a sequence of strings, got {type(texts).__name__}")
        if kind not in KINDS:
            raise ValueError(f"tokenizer: kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if kind == "bpe":
            if size is None or size < 256:
                raise ValueError(f"tokenizer: a bpe tokenizer needs a size of at least 256, got {size}")
            return cls(_train_bpe(texts, size), kind)
        if size is not None:
            raise ValueError(f"tokenizer: a {kind} tokenizer takes no size, got {size}")
        if kind == "byte":
            tokenizer = tokenizers.Tokenizer(models.BPE(vocab=_BYTES, merges=[]))
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            tokenizer.decoder = decoders.ByteLevel()
            return cls(tokenizer, kind)
        characters = sorted(set().union(*map(set, texts)))
        if not characters:
            raise ValueError("tokenizer: the text is empty")
        tokenizer = tokenizers.Tokenizer(
            models.WordLevel({c: i for i, c in enumerate(characters)}, unk_token=characters[0])
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return cls(tokenizer, kind)


def _byte_pieces() -> list[str]:
    """The printable character that the byte-level alphabet uses for each byte 0..255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


_BYTES = {piece: b for b, piece in enumerate(_byte_pieces())}


def _train_bpe(texts: Iterable[str], size: int) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(BPE_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
