"""Of the site: the pictures of bench/results and the notebook, which lie outside docs/, are of it; formulas stay formulas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "first_hour.ipynb"
RESULTS = Path(__file__).resolve().parents[1] / "bench" / "results"
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pictures as results/NAME.png, and the notebook as a page."""
    from mkdocs.structure.files import File

    for picture in sorted(RESULTS.glob("*.png")):
        files.append(File.generated(config, f"results/{picture.name}", abs_src_path=str(picture)))
    files.append(File.generated(config, f"{NOTEBOOK.stem}.md", content=notebook_page()))
    return files


def notebook_page() -> str:
    """The cells of the notebook: its text, and its code as blocks."""
    parts = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    where = f"Run it with `jupyter lab examples/{NOTEBOOK.name}`; a test runs it from its first cell to its last."
    return "\n\n".join([*parts[:1], where, *parts[1:]]) + "\n"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to them follow; mu(x)[l][v] is a formula, not a reference."""
    markdown = markdown.replace("../bench/results/", "results/").replace(
        "../examples/first_hour.ipynb", "first_hour.md"
    )
    parts = CODE.split(markdown)
    return "".join(part if i % 2 else part.replace("][", r"]\[") for i, part in enumerate(parts))
