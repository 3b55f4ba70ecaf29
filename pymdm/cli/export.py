"""`pymdm export`: a checkpoint for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an earlier export there is replaced.")],
    to: Annotated[str, typer.Option(help="transformers, or mdlm for networks of MDLM's kind.")] = "transformers",
) -> None:
    """Write a checkpoint as a folder that transformers opens (trust_remote_code=True), or in MDLM's layout.

    Example: pymdm export runs/mine --out exported --to transformers
    """
    from pymdm.network.export import export as write

    print(write(model, out, to))
