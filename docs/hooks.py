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
    """The cells of the notebook: its text, its code as blocks, and the outputs that are stored in it."""
    parts = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += map(_shown, cell.get("outputs", ()))
    where = f"This page is the notebook `examples/{NOTEBOOK.name}`; `jupyter lab examples/{NOTEBOOK.name}` runs it."
    return "\n\n".join([*parts[:1], where, *parts[1:]]) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """An output of a cell: HTML as it is, which may hold no blank line, and text as a block."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        return re.sub(r"\n\s*\n", "\n", "".join(data["text/html"]))
    return "```text\n" + "".join(data["text/plain"]).rstrip("\n") + "\n```"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to them follow; mu(x)[l][v] is a formula, not a reference."""
    markdown = markdown.replace("../bench/results/", "results/").replace(
        "../examples/first_hour.ipynb", "first_hour.md"
    )
    parts = CODE.split(markdown)
    return "".join(part if i % 2 else part.replace("][", r"]\[") for i, part in enumerate(parts))
