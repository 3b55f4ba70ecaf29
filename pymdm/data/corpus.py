"""Text to train on: the prose of the running Python by default, or any UTF-8 file or folder.

A corpus is a list of documents, each already assigned to the training or the held-out side. The assignment is a hash,
so it does not depend on the order of files, and two documents with the same text are always on the same side.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import re
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymdm.data.files import read_text, text_files, text_suffix
from pymdm.data.hub import hugging_face_documents

SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "pydoc_data"}
TEXT_SUFFIXES = {".txt", ".md", ".rst", ".text"}
LINE_SUFFIXES = {".jsonl", ".ndjson"}  # one JSON object a line, each a document
FIELD = "text"  # its key, and the column of a Hugging Face data set
HUGGING_FACE = "hf:"
EMBEDDED_HELD_OUT = 0.05  # share of the embedded documents held out
TEXT_HELD_OUT = 0.1  # share of a user's text held out
TOPIC_CHUNK = 1500  # characters after which a long reference topic becomes a new document


@dataclass(frozen=True)
class Corpus:
    """Documents for training and documents held out, in a fixed order; each ends with its own separator.

    Attributes:
        name: where it came from.
        train, held_out: documents; joining them gives the two texts.
        sha256: hash of both texts.
    """

    name: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def train_text(self) -> str:
        """The training side as one string."""
        return "".join(self.train)

    @property
    def held_out_text(self) -> str:
        """The held-out side as one string."""
        return "".join(self.held_out)

    @property
    def sha256(self) -> str:
        """Hash of the two sides, to recognise the same corpus again."""
        digest = hashlib.sha256(self.train_text.encode())
        digest.update(b"\0")
        digest.update(self.held_out_text.encode())
        return digest.hexdigest()


def load_corpus(source: str | os.PathLike[str] | None = None, held_out: str | os.PathLike[str] | None = None) -> Corpus:
    """The corpus of a text file or folder, or the embedded default when no source is given.

    Args:
        source: what to train on.
        held_out: a text file or folder to hold out; default a share of the source, by hash.

    Raises:
        ValueError: a source is missing, unreadable, empty or not UTF-8.
    """
    corpus = embedded_corpus() if source is None else text_corpus(source)
    if held_out is None:
        return corpus
    return Corpus(corpus.name, *(c.train + c.held_out for c in (corpus, text_corpus(held_out))))


def hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64


# ---- the embedded default ---------------------------------------------------------------------------------------


def embedded_corpus() -> Corpus:
    """The prose of the running Python: its reference (`pydoc_data.topics`) and the standard library's docstrings.

    Paragraphs that look like code or tables are left out, wrapped lines are joined, and a paragraph seen before
    (up to case, digits and spacing) is dropped, so nothing held out has been trained on word for word.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    seen: set[str] = set()
    for name, text in _embedded_documents():
        kept = []
        for paragraph in prose_paragraphs(text):
            key = re.sub(r"[\W\d_]+", " ", paragraph.lower())
            if key not in seen:
                seen.add(key)
                kept.append(paragraph)
        if kept:  # by name, so that a reworded document keeps its side in another Python version
            sides[hash_fraction(name) < EMBEDDED_HELD_OUT].append("\n".join(kept) + "\n\n")
    if not sides[0] or not sides[1]:
        raise ValueError("corpus: this Python has no documentation to train on; give a text file instead")
    return Corpus("embedded", tuple(sides[0]), tuple(sides[1]))


def prose_paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a docstring or reference topic that read as prose, each on one line."""
    for block in re.split(r"\n\s*\n", textwrap.dedent(text.expandtabs())):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if any(line.startswith((">>>", "...", "$ ", "% ")) for line in lines):
            continue
        lines = [line for line in lines if not re.fullmatch(r"[^\w\s]{3,}", line)]  # rules under headings
        paragraph = re.sub(r"\s+", " ", " ".join(lines))
        letters = sum(c.isalpha() or c == " " for c in paragraph)
        words = len(re.findall(r"[A-Za-z]{2,}", paragraph))
        if words >= 4 and letters >= 0.85 * len(paragraph) and paragraph.isascii() and paragraph.isprintable():
            yield paragraph


def _embedded_documents() -> Iterator[tuple[str, str]]:
    """(name, text) of every reference topic chunk and docstring, in a fixed order."""
    from pydoc_data import topics

    for name in sorted(topics.topics):
        chunk: list[str] = []
        count = 0
        for paragraph in re.split(r"\n\s*\n", topics.topics[name]):
            chunk.append(paragraph)
            if sum(map(len, chunk)) >= TOPIC_CHUNK:
                yield f"topic:{name}:{count}", "\n\n".join(chunk)
                chunk, count = [], count + 1
        yield f"topic:{name}:{count}", "\n\n".join(chunk)
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in _python_files(root):
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        module = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        yield from _docstrings(tree, module)


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
        yield from (Path(folder) / f for f in sorted(files) if f.endswith(".py"))


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield name, inspect.cleandoc(text)
    for child in ast.iter_child_nodes(node):
        label = getattr(child, "name", None)
        yield from _docstrings(child, f"{name}.{label}" if isinstance(label, str) else name)


# ---- a user's own text ------------------------------------------------------------------------------------------


def text_corpus(source: str | os.PathLike[str]) -> Corpus:
    """Any text source, split by hash: plain text is cut at blank lines into documents, other kinds have theirs.

    Args:
        source: a UTF-8 text file; JSON lines (.jsonl, the key "text"); either of them compressed (.gz, .zst); a folder with
            .txt, .md, .rst, .text and .jsonl files; or hf:NAME[:CONFIG][@SPLIT] of a Hugging Face data set (needs
            `datasets`).

    Raises:
        ValueError: missing, unreadable, empty or not UTF-8; the message names the file. Files of a folder that are of
            another kind are named in a warning.
    """
    if str(source).startswith(HUGGING_FACE):
        documents = hugging_face_documents(str(source).removeprefix(HUGGING_FACE), FIELD)
        return Corpus(str(source), *split_documents(_not_empty(documents, str(source)), TEXT_HELD_OUT))
    path = Path(source)
    files = text_files(path, TEXT_SUFFIXES | LINE_SUFFIXES) if path.is_dir() else [path]
    texts = {p: read_text(p) for p in files}
    lines = {p for p in files if text_suffix(p) in LINE_SUFFIXES}
    size = min(4096, max(64, sum(map(len, texts.values())) // 256))
    documents = []
    for p, text in texts.items():
        documents += json_lines(text, p) if p in lines else cut_documents(text, size)
    return Corpus(str(path), *split_documents(_not_empty(documents, str(path)), TEXT_HELD_OUT))


def _not_empty(documents: list[str], name: str) -> list[str]:
    if not any(d.strip() for d in documents):
        raise ValueError(f"corpus: {name} is empty")
    return documents


def json_lines(text: str, path: Path) -> list[str]:
    """The documents of JSON lines: the string under "text" of each object; blank lines are skipped.

    Raises:
        ValueError: a line that is not such an object; the message names it.
    """
    documents = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)[FIELD]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            document = None
        if not isinstance(document, str):
            raise ValueError(f'corpus: line {number} of {path} is not a JSON object with a string "{FIELD}"')
        documents.append(document)
    return documents


def cut_documents(text: str, size: int) -> list[str]:
    """Pieces of at least `size` characters whose join is the text; cut at blank lines or line ends if possible."""
    pieces, start = [], 0
    while len(text) - start > 2 * size:
        window = text[start + size : start + 2 * size]
        blank, line = window.find("\n\n"), window.find("\n")
        end = start + size + (blank + 2 if blank >= 0 else line + 1)  # without any line end: cut right there
        pieces.append(text[start:end])
        start = end
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def split_documents(documents: list[str], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(train, held out): the documents of smallest hash are held out until they make up `share` of the characters."""
    copies = Counter(documents)
    wanted = share * sum(map(len, documents))
    chosen: set[str] = set()
    held = 0
    for document in sorted(copies, key=hash_fraction):
        if held >= wanted:
            break
        chosen.add(document)
        held += len(document) * copies[document]
    return tuple(d for d in documents if d not in chosen), tuple(d for d in documents if d in chosen)
