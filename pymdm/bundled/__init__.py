"""The models that come with the package, so that sampling works without training or downloading anything."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FOLDERS = {"bundled:any-order": "any_order", "bundled:masked": "masked"}
# Fewer bits per character than the masked one of its size, and samples that are not worse: docs/kinds.md.
DEFAULT = "bundled:any-order"


def bundled_path(name: str = DEFAULT) -> Path:
    """Folder of a bundled checkpoint.

    Args:
        name: "bundled:any-order", a network that keeps the keys and values of what it has seen; "bundled:masked", one of the
            same size that sees both ways, which every sampler draws from; "bundled": the first.

    Raises:
        ValueError: another name, or this installation has none.

    >>> bundled_path() == bundled_path("bundled:any-order")
    True
    """
    folder = FOLDERS.get(DEFAULT if name == "bundled" else name)
    if folder is None:
        raise ValueError(f"bundled_path: the models in the package are {' and '.join(FOLDERS)}, got {name!r}")
    if not (FOLDER / folder / "model.safetensors").is_file():
        raise ValueError("bundled_path: this installation has no model; train one with pymdm train")
    return FOLDER / folder


def is_bundled(path: str | os.PathLike[str]) -> bool:
    """Whether this is the name of a bundled model, and no file or folder here has that name."""
    return (str(path) == "bundled" or str(path).startswith("bundled:")) and not Path(path).exists()


def folder_of(path: str | os.PathLike[str] | None) -> Path:
    """The folder that a path, the name of a bundled model, or None (the default one) stands for."""
    if path is None:
        return bundled_path()
    return bundled_path(str(path)) if is_bundled(path) else Path(path)


def name_of(path: Path) -> str | None:
    """The name of the bundled model that lies in a folder; None of any other."""
    return next((name for name, folder in FOLDERS.items() if path == FOLDER / folder), None)
