"""The picture of an evaluation."""

from __future__ import annotations

from typing import Any

from pymdm.evaluate.generative import CONTROLS
from pymdm.report.figure import REFERENCE, axes, name_points


def picture(result: dict[str, Any]) -> Any:
    """The information curve, and bits per character over entropy for every judge, as a figure; None without either."""
    curve = (result.get("likelihood") or {}).get("curve")
    judges = list(result["generation"]["judges"]) if "generation" in result else []
    panels = bool(curve) + len(judges)
    if not panels:
        return None
    figure, grid = axes(5.2 * panels, 4.2, panels, squeeze=False)
    places = list(grid[0])
    if curve:
        _curve_panel(places.pop(0), curve, result["likelihood"]["nats_per_token"])
    for ax, judge in zip(places, judges, strict=True):
        _frontier_panel(ax, judge, result["generation"]["generations"])
    return figure


def _curve_panel(ax: Any, curve: dict[str, Any], per_token: float) -> None:
    """What a masked token costs by the share that is masked, with 95% intervals; the bound is the area below."""
    mean = curve["nats_per_masked_token"]
    error = [[m - (e[0] if e[0] is not None else m) for m, e in zip(mean, curve["interval95"], strict=True)]] * 2
    ax.errorbar(curve["masked_share"], mean, yerr=error, marker="o", markersize=3, capsize=2, label="mean, 95%")
    label = f"bound, {per_token:.3f} nats a token: the area"
    ax.axhline(per_token, color=REFERENCE, linestyle="--", linewidth=1, label=label)
    ax.legend()
    ax.set(xlabel="masked share n / L", ylabel="nats per masked token", title="information curve", ylim=(0, None))


def _frontier_panel(ax: Any, judge: str, generations: list[dict[str, Any]]) -> None:
    """One line a temperature, along the NFE, with 95% intervals; held-out text as a star. Controls stay in the table."""
    lines: dict[float, list[tuple[float, float, tuple[float, float], float]]] = {}
    for g in generations:
        x, score = g["entropy"]["mean"], g["judges"][judge]
        y, ends = score["bits_per_char"], score["interval95"]
        around = (max(0.0, y - ends[0]), max(0.0, ends[1] - y)) if None not in ends else (0.0, 0.0)
        if g["sampler"]:
            lines.setdefault(g["sampler"]["temperature"], []).append((x, y, around, g["sampler"]["nfe"]))
        elif g["name"] == CONTROLS[0]:
            ax.errorbar(x, y, yerr=[[around[0]], [around[1]]], fmt="*", color="black", markersize=12, label=CONTROLS[0])
    for temperature, points in sorted(lines.items()):
        error = list(zip(*(p[2] for p in points), strict=True))
        style = {"marker": "o", "markersize": 4, "capsize": 2, "elinewidth": 0.8}
        ax.errorbar([p[0] for p in points], [p[1] for p in points], yerr=error, label=f"T = {temperature:g}", **style)
    ax.set(xlabel="entropy, nats", ylabel="bits per character, 95% intervals", title=f"judge {judge}; numbers: NFE")
    ax.legend()
    name_points(ax, [(x, y, f"{nfe:.0f}") for points in lines.values() for x, y, _, nfe in points])
