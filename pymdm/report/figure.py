"""One style of figures, as SVG or PNG (matplotlib; callers leave the figures out where it is missing)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pymdm",
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
REFERENCE = "0.35"  # grey of reference lines
DPI = 110
KINDS = (".png", ".svg", ".pdf")  # of files


def available() -> bool:
    """Whether figures can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def require(command: str, path: str | os.PathLike[str] | None = None) -> None:
    """Checks, before anything is measured, that figures can be drawn, and into this file.

    Raises:
        ValueError: matplotlib is missing, the file's name has another ending, or its folder is not there; the message begins
            with the command's name.
    """
    if not available():
        raise ValueError(f"{command}: pictures need matplotlib: pip install matplotlib")
    if path is None:
        return
    file = Path(path).absolute()
    if file.suffix.lower() not in KINDS:
        raise ValueError(f"{command}: a picture is a file of kind {', '.join(KINDS)}, got {path}")
    if not file.parent.is_dir():
        raise ValueError(f"{command}: there is no folder {file.parent}")


def axes(width: float = 5.5, height: float = 4.0, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of this size in inches and its axes, of several columns an array of them, to be made within `styled()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, **options)


@contextlib.contextmanager
def drawing(
    path: str | os.PathLike[str], command: str, width: float = 5.5, height: float = 4.0, **options: Any
) -> Iterator[Any]:
    """Axes in the style; what was drawn on them is written when the context ends, as PNG or SVG by the file's name.

    Args:
        path: file to write. command: whose figure it is, for the error.
        width, height: in inches. options: as of `axes`, such as columns.

    Raises:
        ValueError: matplotlib is missing.
    """
    require(command)
    with styled():
        figure, drawn = axes(width, height, **options)
        yield drawn
        save(figure, path)


def save(figure: Any, path: str | os.PathLike[str], **options: Any) -> None:
    """Writes a figure as PNG or SVG by the file's name; options are matplotlib's."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, **options)


def styled() -> Any:
    """A context in which figures have the style."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def ticks_at(axis: Any, values: Iterable[float]) -> None:
    """Ticks of a logarithmic axis (`axes.xaxis`) at these values alone, in plain digits, without those that would touch."""
    from matplotlib.ticker import NullFormatter, NullLocator

    kept: list[float] = []
    ends = sorted(set(values))
    for value in ends:
        if not kept or value >= kept[-1] * (ends[-1] / ends[0]) ** 0.12:
            kept.append(value)
    axis.set_ticks(kept, [f"{value:,g}" for value in kept])
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def name_points(axes: Any, points: Iterable[tuple[float, float, str]], size: float = 7) -> None:
    """Writes a word beside each point (x, y, word), where it covers no other word and no other point; all else is drawn before.

    Of places around the point, near ones first, the first that is free is taken, else the one that covers least.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    points, figure = list(points), axes.figure
    figure.draw_without_rendering()  # the layout, which places the points on the page
    at = axes.transData.transform([point[:2] for point in points]) if points else []
    dot = 4 * figure.dpi / 72
    taken = [Bbox.from_bounds(x - dot / 2, y - dot / 2, dot, dot) for x, y in at]
    legend = axes.get_legend()
    taken += [legend.get_window_extent()] if legend is not None else []
    around = ((5, 3), (5, -9), (-5, 3), (-5, -9), (0, 6), (0, -12))  # points; 1/72 inch
    places = [(x * far, y * far) for far in (1, 1.8, 2.6, 3.4, 4.2) for x, y in around]
    for x, y, word in points:
        style = {"fontsize": size, "in_layout": False, "path_effects": [withStroke(linewidth=2, foreground="white")]}
        best: tuple[float, tuple[float, float], Any] | None = None
        for place in places:
            side = "left" if place[0] > 0 else "right" if place[0] < 0 else "center"
            text = axes.annotate(word, (x, y), xytext=place, textcoords="offset points", ha=side, **style)
            box = text.get_window_extent()
            covered = sum(_shared(box, other) for other in taken)
            inside = (
                axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
            )
            covered += 0 if inside else box.width * box.height
            text.remove()
            if best is None or covered < best[0]:
                best = covered, place, side
            if not covered:
                break
        assert best is not None
        text = axes.annotate(word, (x, y), xytext=best[1], textcoords="offset points", ha=best[2], **style)
        taken.append(text.get_window_extent())


def _shared(a: Any, b: Any) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))


def png(figure: Any) -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def svg(figure: Any) -> str:
    """The figure without the XML head, whose addresses a self-contained page does not want."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
