"""Reads files of others, or refuses them in one short line, however they are damaged."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any, get_args, get_origin

LONGEST = 300  # characters of a reason
LARGEST_CONFIG = 1 << 26  # bytes of a config.json


def reason(error: BaseException) -> str:
    """Why something failed, on one line of at most `LONGEST` characters.

    >>> reason(ValueError("expected a map,\\n  got 3"))
    'expected a map, got 3'
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return short(str(error) or type(error).__name__)


def short(text: str) -> str:
    """Text of others on one line of at most `LONGEST` characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def of_kind(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of an annotated type: a list stands for a tuple, a whole number for a float.

    >>> of_kind([1, 2.5], tuple[float, ...] | None), of_kind(True, int), of_kind(None, float | None)
    (True, False, True)
    """
    parts = get_args(kind)
    if get_origin(kind) in (list, tuple):
        return isinstance(value, list | tuple) and all(of_kind(v, parts[0]) for v in value)
    if parts:
        return any(of_kind(value, part) for part in parts)
    if kind is float:
        return type(value) in (int, float) and not abs(value) >= 2**63
    return type(value) is kind and (kind is not int or abs(value) < 2**64)


def read_json(file: str | os.PathLike[str], where: str, largest: int | None = None) -> Any:
    """The content of a JSON file.

    Args:
        file: its path.
        where: the operation, with which messages begin.
        largest: bytes that it may have; None is no limit.

    Raises:
        ValueError: it cannot be read, is no JSON, too large, or nested too deeply; one line that names the file.
    """
    try:
        path = Path(file)
        if largest is not None and path.stat().st_size > largest:
            raise ValueError(f"it is larger than {largest} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: cannot read {os.fspath(file)}: {reason(error)}") from None


def check_archive(file: Path, operation: str) -> bool:
    """Whether a file is an archive as torch writes them, without compression: a packed byte could stand for any number.

    Raises:
        ValueError: an archive that cannot be read, or one with a compressed entry; the message begins with the operation.
    """
    if not zipfile.is_zipfile(file):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            packed = next((e.filename for e in archive.infolist() if e.compress_type != zipfile.ZIP_STORED), None)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{operation}: cannot read {file}: {reason(error)}") from None
    if packed is not None:
        raise ValueError(f"{operation}: {file} is not as torch writes it: its entry {packed!r} is compressed")
    return True
