"""One self-contained HTML page: its style, its head, and figures inside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; } * { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, "Segoe UI", sans-serif; max-width: 1180px; margin: 0 auto; padding: 1em; color: #222;
  background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.6em; line-height: 1.2; } h2 { font-size: 1.25em; margin: 2em 0 .3em; }
.facts { color: #555; font-size: .85em; list-style: none; padding: 0; }
.verdict { font-size: 1.1em; font-weight: 600; padding: .6em 1em; border-radius: 6px; background: #e6f4ea;
  border-left: 6px solid #2e7d32; }
.verdict.bad { background: #fde8e8; border-left-color: #c62828; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1em; margin-top: 1em; }
figure { margin: 0; } figure svg, figure img { max-width: min(100%, 820px); height: auto; }
figcaption { font-size: .85em; color: #555; } summary { cursor: pointer; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .82em; overflow-wrap: normal; }
th, td { border-bottom: 1px solid #ddd; padding: .25em .6em; text-align: left; vertical-align: top; }
th { background: #f4f4f2; } td { white-space: nowrap; } td.long, td.formula { white-space: normal; min-width: 16em; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.formula { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em; }
tr.bad td { background: #fde8e8; }
"""


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """A whole page that fetches nothing; parts: HTML of the body. style: rules of this page alone."""
    top = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"<head>{top}<title>{html.escape(title)}</title><style>{STYLE}{style}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def facts(lines: Iterable[str]) -> str:
    """A small list of what was run where."""
    return '<ul class="facts">' + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def figures(drawn: Sequence[tuple[str, bytes | str]]) -> str:
    """Figures side by side: (caption, PNG bytes or SVG text) of each."""
    cells = []
    for caption, image in drawn:
        text = html.escape(caption)
        if isinstance(image, bytes):
            data = base64.b64encode(image).decode("ascii")
            image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
        cells.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
    return f'<div class="plots">{"".join(cells)}</div>' if cells else ""
