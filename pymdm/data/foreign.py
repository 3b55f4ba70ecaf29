"""Reads tokenizers of others, without running their code, so that decoding gives the encoded text; each is checked once.

What a tokenizer does to length (truncation, padding), to chance (dropout) and to spaces at the front of a text is taken
out of it; ids with holes are refused. What it does to the text itself is measured (`pymdm.data.round_trip`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tokenizers import Tokenizer

from pymdm.files.read import reason

Result = TypeVar("Result")
PROBE = "The Quick fox, it's 12345!\n\n\tdef f(x):  # " + "".join(map(chr, range(256))) + " \u6771\u4eac \U0001f642\n"
LARGEST_ID = 1 << 24
_stderr = threading.Lock()


def parse_tokenizer(text: str, name: str) -> tuple[Tokenizer, dict[str, Any]]:
    """A tokenizer file's content, as the library reads it and as JSON; it has encoded and decoded a text by then.

    Raises:
        ValueError: not such a file, or one on which the library fails, panics or would ask for absurd memory.
    """
    try:
        content = json.loads(text)
        model = content["model"]
        _check_charsmaps(content)
        with _quiet():
            tokenizer = Tokenizer.from_str(text)
            check_largest(tokenizer)
            with contextlib.suppress(Exception):  # such as a word it does not have: only a panic condemns it here
                tokenizer.decode(tokenizer.encode(PROBE, add_special_tokens=False).ids, skip_special_tokens=False)
        return tokenizer, model
    except BaseException as error:  # tokenizers raises bare Exception; a panic of Rust is a BaseException
        raise _one_line(f"tokenizer: {name} is not a tokenizer file", error) from None


def guarded(what: str, call: Callable[[], Result]) -> Result:
    """A call of the library whose failures, panics of Rust too, become one ValueError that begins with `what`."""
    try:
        return call()
    except BaseException as error:
        raise _one_line(what, error) from None


def neutralise(tokenizer: Tokenizer, name: str) -> None:
    """`even_out`, for a tokenizer that becomes a `pymdm.Tokenizer`.

    Raises:
        ValueError: ids that are not 0 .. V-1.
    """
    even_out(tokenizer)
    check_ids(tokenizer, name)


def even_out(tokenizer: Tokenizer) -> None:
    """Takes out, in place, what changes a text's length or adds to it: truncation, padding, dropout, spaces at its front."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):
        tokenizer.model.dropout = None
    prepends = False
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        component = getattr(tokenizer, part)
        if component is None:
            continue
        state = json.loads(component.__getstate__())
        if part == "normalizer":
            prepends = "Prepend" in _types(state)
        fresh = _without_prefix(state, strip=prepends and part == "decoder")
        if fresh is None:
            setattr(tokenizer, part, None)
        elif fresh != state:
            component.__setstate__(json.dumps(fresh).encode())
            setattr(tokenizer, part, component)


def check_largest(tokenizer: Tokenizer) -> None:
    """The library lists every hole between the ids when it writes a tokenizer: 2^31 of them end the process.

    Raises:
        ValueError: an id of 2^24 or more.
    """
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= LARGEST_ID:
        raise ValueError(f"ids must be below {LARGEST_ID}, got {largest}")


def check_ids(tokenizer: Tokenizer, name: str) -> None:
    """Whether the ids are 0 .. V-1, each once.

    Raises:
        ValueError: a hole, or one id for two pieces; the message names it.
    """
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if not ids:
        raise ValueError(f"tokenizer: {name} has no tokens")
    wrong = next((i for i, found in enumerate(ids) if i != found), None)
    if wrong is not None:
        fault = f"two pieces have id {ids[wrong]}" if ids[wrong] < wrong else f"no piece has id {wrong}"
        raise ValueError(
            f"tokenizer: the ids of {name} must be 0..{len(ids) - 1}, one a piece; {fault}, the largest is {ids[-1]}"
        )


def _types(state: Any) -> set[str]:
    """Names of a component and those within it."""
    inner = [state] + [p for key in ("normalizers", "pretokenizers", "decoders") for p in state.get(key, ())]
    return {str(p.get("type")) for p in inner}


def _without_prefix(state: dict[str, Any], strip: bool) -> dict[str, Any] | None:
    """A component that puts no space before a text; a decoder that takes none away. None where nothing is left of it."""
    kind = state.get("type")
    for key in ("normalizers", "pretokenizers", "decoders"):
        if key in state:
            parts = [p for p in (_without_prefix(part, strip) for part in state[key]) if p is not None]
            return {**state, key: parts} if parts else None
    if kind == "Prepend" or (strip and kind == "Strip" and state.get("content") == " " and state.get("start")):
        return None
    if kind == "Metaspace":
        return {**state, "prepend_scheme": "never"}
    return {**state, "add_prefix_space": False} if state.get("add_prefix_space") else state


def _check_charsmaps(content: Any) -> None:
    """A SentencePiece map begins with the size of its tables in bytes: the library allocates that before it reads them."""
    waiting = [content]
    while waiting:
        here = waiting.pop()
        waiting += here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()
        coded = here.get("precompiled_charsmap") if isinstance(here, dict) else None
        if coded is not None:
            try:
                data = base64.b64decode(coded, validate=True)
            except (binascii.Error, TypeError, ValueError):
                raise ValueError("precompiled_charsmap is not base64") from None
            if len(data) < 4 or int.from_bytes(data[:4], "little") > len(data) - 4:
                raise ValueError(f"precompiled_charsmap announces more than its {len(data)} bytes")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No writing to the process's stderr: Rust reports a panic there, many lines long, before Python hears of it."""
    with _stderr:
        try:
            kept = os.dup(2)
        except OSError:  # there is none
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def _one_line(what: str, error: BaseException) -> BaseException:
    """The ValueError to raise; interrupts of the user stay what they are."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return error
    return ValueError(f"{what}: {reason(error)}")
