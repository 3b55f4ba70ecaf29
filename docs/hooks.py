"""Of the site: the pictures of bench/results, which lie outside docs/, become files of it; formulas stay formulas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "bench" / "results"
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pictures as results/NAME.png."""
    from mkdocs.structure.files import File

    for picture in sorted(RESULTS.glob("*.png")):
        files.append(File.generated(config, f"results/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to them follow; mu(x)[l][v] is a formula, not a reference."""
    parts = CODE.split(markdown.replace("../bench/results/", "results/"))
    return "".join(part if i % 2 else part.replace("][", r"]\[") for i, part in enumerate(parts))
