"""One style of figures, as SVG or PNG (matplotlib; callers leave the figures out where it is missing)."""

from __future__ import annotations

import io
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


def available() -> bool:
    """Whether figures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def axes(width: float = 5.5, height: float = 4.0) -> tuple[Any, Any]:
    """A figure of this size in inches and its axes, to be made within `styled()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def styled() -> Any:
    """A context in which figures have the style."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def png(figure: Any, dpi: int = 110) -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def svg(figure: Any) -> str:
    """The figure without the XML head, whose addresses a self-contained page does not want."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
