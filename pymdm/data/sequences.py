"""Files of proteins and molecules: FASTA, and SMILES one a line; holes are [MASK] or [MASK:n] as in every prompt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pymdm.files.read import reason

FASTA = (".fasta", ".fa", ".faa")
SMILES = (".smi", ".smiles")
FORMATS = ("text", "fasta", "smiles")
WIDTH = 60  # residues of a line


class Record(NamedTuple):
    """One sequence of a file, and its name, "" where it has none."""

    name: str
    sequence: str


def read_records(path: Path, where: str = "prompt-file") -> list[Record]:
    """The sequences of a FASTA file, of a SMILES file (a name may follow behind a space), or the lines of another one.

    Args:
        path: the file; its suffix tells its form.
        where: what messages begin with.

    Raises:
        ValueError: a file that cannot be read, holds none, or has text before FASTA's first ">".
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: cannot read {path}: {reason(error)}") from None
    kind = path.suffix.lower()
    if kind in FASTA:
        records = _fasta(path, lines, where)
    elif kind in SMILES:
        records = [Record(" ".join(rest), first) for first, *rest in (line.split() for line in lines if line.strip())]
    else:
        records = [Record("", line) for line in lines if line.strip()]
    if not records:
        raise ValueError(f"{where}: {path} holds no sequence")
    return records


def _fasta(path: Path, lines: list[str], where: str) -> list[Record]:
    names: list[str] = []
    parts: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith(">"):
            names.append(text[1:].strip())
            parts.append([])
        elif text and not text.startswith(";"):  # an old form of comment
            if not parts:
                raise ValueError(f"{where}: {path}, line {number}: a sequence before the first line with >")
            parts[-1].append("".join(text.split()))
    records = [Record(name, "".join(part)) for name, part in zip(names, parts, strict=True)]
    for record in records:
        if not record.sequence:
            raise ValueError(f"{where}: {path}: {record.name or 'a record'} has no sequence")
    return records


def written(records: Iterable[Record], form: str) -> str:
    """Sequences as a file's text: "fasta" in lines of 60, "smiles" one a line with its name, "text" one a line.

    Spaces that a tokenizer puts between residues or symbols are left out of the first two.

    >>> print(written([Record("a", "M K T")], "fasta"), end="")
    >a
    MKT
    """
    lines: list[str] = []
    for name, sequence in records:
        plain = sequence if form == "text" else "".join(sequence.split())
        if form == "fasta":
            lines += [f">{name}", *(plain[i : i + WIDTH] for i in range(0, len(plain), WIDTH))]
        else:
            lines.append(f"{plain} {name}".rstrip() if form == "smiles" else plain)
    return "".join(f"{line}\n" for line in lines)
