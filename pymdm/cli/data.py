"""`pymdm data`: text to memory-mapped tokens, once, for many training runs."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pymdm.cli.screen import say

EXAMPLE = """\b
Example: pymdm data notes/ --out tokens --vocab-size 2048 && pymdm train tokens
Example: pymdm data enwik8 --out enwik8-bytes --split 90000000,5000000,5000000"""


def data(
    source: Annotated[
        str | None,
        typer.Argument(
            help="UTF-8 text file, folder, JSON lines (.jsonl), each perhaps .gz or .zst, or hf:NAME of a Hugging Face "
            "data set; default: Python's own documentation, as the running Python has it."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("tokens"),
    vocab: Annotated[str, typer.Option(help="char, byte or bpe, made from the training side.")] = "bpe",
    vocab_size: Annotated[int, typer.Option(help="Number of bpe pieces.")] = 4096,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Take this one instead: tokenizer.json, or a folder with it or with GPT-2's two files."),
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="Text to hold out, instead of a share by hash.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Sizes in bytes: cut one file, as raw bytes, in this order.")
    ] = None,
    end_of_text: Annotated[
        bool | None, typer.Option(help="Put <|endoftext|> after each document; default with bpe and tokenizers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Encode text once into memory-mapped token arrays that `pymdm train` reads in place of text."""
    from pymdm.data.prepare import prepare, prepare_bytes
    from pymdm.data.tokenizer import Tokenizer

    command = shlex.join(["pymdm", *sys.argv[1:]])
    if split is not None:
        if source is None:
            raise ValueError("data: split needs a file to cut")
        try:
            sizes = tuple(int(part) for part in split.split(","))
        except ValueError:
            raise ValueError(f"data: split must be whole numbers like 90000000,5000000,5000000, got {split}") from None
        written = prepare_bytes(source, out, sizes, command)
    else:
        chosen = Tokenizer.load(tokenizer) if tokenizer is not None else vocab
        size = vocab_size if tokenizer is None and vocab == "bpe" else None
        end = chosen not in ("char", "byte") if end_of_text is None else end_of_text
        written = prepare(source, out, chosen, size, held_out, end, command)
    sizes_of = {"train": len(written.train), "held_out": len(written.held_out), "test": len(written.test)}
    if as_json:
        print(json.dumps({"data": str(out), "vocab_size": written.tokenizer.size, "tokens": sizes_of}))
        return
    text = ", ".join(f"{count:,} {side.replace('_', ' ')}" for side, count in sizes_of.items() if count)
    say(f"wrote {out}: {text} tokens of {written.tokenizer.size:,} kinds")
    left_out = Path(source).stat().st_size - sum(sizes_of.values()) if split is not None and source is not None else 0
    if left_out:
        say(f"the last {left_out:,} bytes of {source} are on no side")


data.__doc__ = f"{data.__doc__}\n\n{EXAMPLE}"
