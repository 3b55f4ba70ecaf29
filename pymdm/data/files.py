"""Reads text files: compressed or not, with a byte order mark or without, in folders that hold files of other kinds too."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

COMPRESSED = (".gz", ".zst")
MOST_UNPACKED, LEAST_LIMIT = (
    200,
    1 << 28,
)  # bytes that one packed byte of text may stand for; bytes that any file may hold
SHOWN = 3  # names of skipped files that a warning gives


class SkippedFiles(UserWarning):
    """Files of a folder that were not read."""


def text_suffix(path: Path) -> str:
    """The ending that says what a file is, in lower case, without that of its compression.

    >>> text_suffix(Path("notes.JSONL.gz")), text_suffix(Path("notes.txt"))
    ('.jsonl', '.txt')
    """
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def text_files(folder: Path, known: set[str]) -> list[Path]:
    """The files of a folder, at any depth, whose ending is known; a warning names what is left out, but for hidden files.

    Raises:
        ValueError: there is none.
    """
    found: list[Path] = []
    skipped: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            readable = path.suffix.lower() != ".zst" or _zstandard() is not None
            (found if text_suffix(path) in known and readable else skipped).append(path)
    if not found:
        raise ValueError(f"corpus: no .txt, .md, .rst, .text or .jsonl file, plain, .gz or .zst, in {folder}")
    skipped = [p for p in skipped if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    if skipped:
        kinds = ", ".join(f"{n} {kind or 'without ending'}" for kind, n in Counter(p.suffix for p in skipped).items())
        names = ", ".join(str(p.relative_to(folder)) for p in skipped[:SHOWN])
        more = ", ..." if len(skipped) > SHOWN else ""
        need = "; .zst needs the package zstandard" if any(text_suffix(p) in known for p in skipped) else ""
        warnings.warn(SkippedFiles(f"corpus: not read in {folder}: {names}{more} ({kinds}){need}"), stacklevel=3)
    return found


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, unpacked where its ending says so; without byte order mark, line ends as \\n.

    Raises:
        ValueError: missing, unreadable, damaged, not UTF-8, or more than `MOST_UNPACKED` times its size when unpacked; the
            message begins with "corpus:" and names the file.
    """
    try:
        data = _unpacked(path) if path.suffix.lower() in COMPRESSED else path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ValueError(f"corpus: no such file or folder: {path}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"corpus: {path} is not UTF-8 text (byte {error.start})") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"corpus: {path} is damaged: {error}") from None
    except MemoryError:
        raise ValueError(f"corpus: {path} does not fit into memory") from None
    except OSError as error:
        raise ValueError(f"corpus: cannot read {path}: {error.strerror}") from None


def _unpacked(path: Path) -> bytes:
    """A compressed file's content. A few bytes can stand for terabytes, so that it ends where no text would."""
    limit = max(LEAST_LIMIT, MOST_UNPACKED * path.stat().st_size)
    data = bytearray()
    for piece in _gzip_pieces(path) if path.suffix.lower() == ".gz" else _zstandard_pieces(path):
        data += piece
        if len(data) > limit:
            raise ValueError(f"corpus: {path} unpacks to more than {limit:,} bytes; unpack it first if that is right")
    return bytes(data)


def _gzip_pieces(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while piece := file.read(1 << 22):
            yield piece


def _zstandard_pieces(path: Path) -> Iterator[bytes]:
    """The frames of a .zst file, unpacked. 4 KiB of it are at most 128 MiB, 2^17 bytes for 4."""
    library = _zstandard()
    if library is None:
        raise ValueError(f"corpus: {path} needs the package zstandard")
    start, failure = library
    frame = start()
    try:
        with path.open("rb") as file:
            while packed := file.read(1 << 12):
                while packed:
                    if frame.eof:
                        frame = start()
                    yield frame.decompress(packed)
                    packed = frame.unused_data if frame.eof else b""
    except failure as error:
        raise EOFError(str(error)) from None
    if not frame.eof:
        raise EOFError("it ends in the middle")


def _zstandard() -> tuple[Callable[[], Any], type[Exception]] | None:
    """What makes an unpacker of a frame, and its error; None where neither Python (3.14) nor the package zstandard has it."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        try:
            import zstandard
        except ImportError:
            return None
        return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
    return zstd.ZstdDecompressor, zstd.ZstdError
