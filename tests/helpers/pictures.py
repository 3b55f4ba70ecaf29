"""What is wrong with a picture: bars on logarithmic axes, words that cover each other, marks that no legend names."""

from __future__ import annotations

from itertools import combinations
from typing import Any

SHARED = 1.0  # square pixels that two words may share


def faults(figure: Any) -> list[str]:
    """Everything that is wrong with a matplotlib figure, in words; [] where nothing is."""
    from matplotlib.container import BarContainer

    figure.draw_without_rendering()
    found = []
    for i, axes in enumerate(figure.axes):
        name = axes.get_title() or axes.get_xlabel() or str(i)
        if "log" in (axes.get_xscale(), axes.get_yscale()) and any(
            isinstance(c, BarContainer) for c in axes.containers
        ):
            found.append(f"{name}: bars on a logarithmic axis")
        words = [text for axis in (axes.xaxis, axes.yaxis) for text in _ticks(axis)] + list(axes.texts)
        for a, b in combinations(words, 2):
            if a.get_text() and b.get_text() and _shared(a.get_window_extent(), b.get_window_extent()) > SHARED:
                found.append(f"{name}: {a.get_text()!r} touches {b.get_text()!r}")
        named = _named(axes) | (_named(figure.axes[0]) if i else set())
        kinds = {_kind(line) for line in axes.lines if _seen(line)}
        if len(kinds) > 1 and not kinds <= named:
            found.append(f"{name}: a mark without a legend, {sorted(kinds - named)}")
    return found


def watched(monkeypatch: Any) -> list[list[str]]:
    """A list that gets the faults of every figure that `pymdm.report.figure` makes an image or a file of from now on."""
    from pymdm.report import figure

    found: list[list[str]] = []

    def watch(make: Any) -> Any:
        def made(drawn: Any, *arguments: Any, **options: Any) -> Any:
            found.append(faults(drawn))
            return make(drawn, *arguments, **options)

        return made

    for name in ("png", "svg", "save"):
        monkeypatch.setattr(figure, name, watch(getattr(figure, name)))
    return found


def _ticks(axis: Any) -> list[Any]:
    """Labels of the ticks that are within the axis."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_visible()]


def _kind(line: Any) -> str:
    """A line's colour: caps and bars of an interval have that of their point."""
    from matplotlib.colors import to_hex

    return str(to_hex(line.get_color()))


def _seen(line: Any) -> bool:
    drawn = line.get_marker() != "None" or line.get_linestyle() != "None"
    return bool(line.get_visible() and len(line.get_xdata()) and drawn)


def _named(axes: Any) -> set[str]:
    """Colours of the entries of a legend."""
    from matplotlib.lines import Line2D

    legend = axes.get_legend()
    return {_kind(line) for line in legend.findobj(Line2D)} if legend is not None else set()


def _shared(a: Any, b: Any) -> float:
    return max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
