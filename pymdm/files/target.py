"""What the folder that a command writes may be, decided here and nowhere else.

| `--out` is | what happens |
|---|---|
| missing, or an empty folder | it is made; parents too |
| a folder of this kind, every entry of which we write | it is replaced as a whole |
| a folder with any other entry, or with a link in it | refused; the entry is named |
| a link | the folder that it leads to is meant, by this table; the link stays. A circle is refused |
| `.`, or a folder that holds the current one; a mount point | refused: it cannot be replaced in one step |
| a file | refused |
| somewhere that cannot be written | refused |

A folder on another disk than the current one is like any other: what replaces it is written beside it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pymdm.files.held import machine


@dataclass(frozen=True)
class Kind:
    """A kind of folder that we write.

    Attributes:
        name: as messages call it.
        mark: the JSON file by which such a folder is known; it holds an object.
        keys: of that object: all that must be there. only: whether there may be no others.
        entries: shell patterns of the files in it, as paths from the folder.
    """

    name: str
    mark: str
    keys: frozenset[str]
    only: bool
    entries: tuple[str, ...]

    def holds(self, file: str) -> bool:
        """Whether a file at this path in the folder is one that we write."""
        return any(_match(file.split("/"), pattern.split("/")) for pattern in self.entries)

    def holds_folder(self, folder: str) -> bool:
        """Whether we write files into a folder at this path."""
        parts = folder.split("/")
        return any(_match(parts, p.split("/")[: len(parts)]) for p in self.entries if p.count("/") >= len(parts))


def _match(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


@dataclass(frozen=True)
class Target:
    """A folder that may be written.

    Attributes:
        path: absolute, without links.
        replaces: whether a folder of the same kind is there.
    """

    path: Path
    replaces: bool


def check_target(path: str | os.PathLike[str], kind: Kind, where: str) -> Target:
    """Decide by the table above whether a folder may be written; nothing is left behind.

    Args:
        path: the folder as the user named it.
        kind: what is to be written there.
        where: the operation, with which messages begin.

    Raises:
        ValueError: it may not; the message says why in one line.

    Example:
        >>> kind = Kind("set of notes", "notes.json", frozenset({"notes"}), True, ("notes.json",))
        >>> check_target("notes/new", kind, "write").replaces
        False
    """
    try:
        if Path(path).name == "..":
            raise ValueError(f"{where}: {path} ends with '..'; name the folder itself")
        target = Path(path).resolve()
        here = Path.cwd()
        if target == here or target in here.parents:
            raise ValueError(f"{where}: {path} is the current folder or holds it; name a new folder instead")
        replaces = False
        if os.path.lexists(target):  # a link without end is a link even now
            if not target.is_dir():
                raise ValueError(
                    f"{where}: {path} is {'a circle of links' if target.is_symlink() else 'a file'}, not a folder"
                )
            if target.is_mount():
                raise ValueError(f"{where}: {path} is a mount point, which cannot be replaced; name a folder in it")
            replaces = any(target.iterdir())
            foreign = foreign_entry(target, kind) if replaces else ""
            if foreign:
                raise ValueError(f"{where}: {path} {foreign}; it is left alone, name another folder")
            if not os.access(target, os.W_OK | os.X_OK):
                raise ValueError(f"{where}: cannot write {path}: Permission denied")
        parent = target.parent
        while not parent.exists():
            parent = parent.parent
        tried = tempfile.mkdtemp(prefix=f".{target.name}.{machine()}.", suffix=".writing", dir=parent)
        with contextlib.suppress(FileNotFoundError):  # another writer has swept it away
            os.rmdir(tried)
    except RuntimeError:  # before Python 3.13 what resolve says of a circle
        raise ValueError(f"{where}: {path} is a circle of links, not a folder") from None
    except OSError as error:
        raise ValueError(f"{where}: cannot write {path}: {error.strerror or error}") from None
    return Target(target, replaces)


def foreign_entry(folder: Path, kind: Kind) -> str:
    """What shows that a folder is not, or not only, of this kind; "" where it is."""
    for at, folders, files in os.walk(folder, onerror=_raise):
        for name in sorted(folders + files):
            file = Path(at, name)
            entry = file.relative_to(folder).as_posix()
            if file.is_symlink():
                return f"holds {entry!r}, a link, which no {kind.name} has"
            if file.is_dir():
                if not kind.holds_folder(entry):
                    return f"holds {entry + '/'!r}, which no {kind.name} has"
            elif not kind.holds(entry):
                return f"holds {entry!r}, which no {kind.name} has"
    try:
        found = json.loads((folder / kind.mark).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"is no {kind.name}: it has no {kind.mark}"
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not kind.keys <= found.keys() or (kind.only and found.keys() - kind.keys):
        return f"is no {kind.name} of ours, as its {kind.mark} says"
    return ""


def _raise(error: OSError) -> None:
    raise error
