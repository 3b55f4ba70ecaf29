"""Pictures say what they show: dots, words that do not touch, a legend for every mark; the check finds where they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.pictures import faults

from experiments.twins_report import picture as training_picture
from pymdm.bench import common, report
from pymdm.evaluate.pictures import picture as evaluation_picture
from pymdm.report import figure

pytest.importorskip("matplotlib")
ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "bench" / "results").glob("*.json"))


def test_the_check_finds_what_is_wrong():
    with figure.styled():
        picture, axes = figure.axes(3, 2)
        axes.bar([1, 2], [1, 10], log=True)
        assert faults(picture) == ["0: bars on a logarithmic axis"]
        picture, axes = figure.axes(3, 2)
        axes.plot([1, 2], [1, 2])
        axes.plot([1, 2], [2, 1], color="black")
        axes.text(1, 1, "one")
        axes.text(1.01, 1, "two")
        assert len(found := faults(picture)) == 2 and "touches" in found[0] and "without a legend" in found[1]
        picture, axes = figure.axes(2, 2)
        axes.semilogx([30, 400], [1, 2])  # matplotlib's own ticks of so short an axis: 3 x 10^1, 4 x 10^1, 6 x 10^1
        assert any("touches" in fault for fault in faults(picture))


def test_points_are_named_where_nothing_is_covered():
    points = [(0.0, 0.0), (0.01, 0.02), (0.02, 0.0), (0.0, 0.03), (1.0, 1.0)]
    with figure.styled():
        picture, axes = figure.axes(3, 2.5)
        axes.plot(*zip(*points, strict=True), "o")
        for x, y in points:
            axes.annotate("128", (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
        assert any("touches" in fault for fault in faults(picture))
        picture, axes = figure.axes(3, 2.5)
        axes.plot(*zip(*points, strict=True), "o")
        figure.name_points(axes, [(x, y, "128") for x, y in points])
        assert faults(picture) == [] and [text.get_text() for text in axes.texts] == ["128"] * 5
        figure.name_points(axes, [])


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_of_every_committed_measurement(path):
    from matplotlib.figure import Figure

    result = report.read_json(path)
    with figure.styled():
        picture = Figure()
        (common.case_plot(result["case"]) or report.plot_rows)(result, picture)
        assert faults(picture) == []


def test_of_the_committed_evaluation_and_trainings():
    with figure.styled():
        assert faults(evaluation_picture(json.loads((ROOT / "docs" / "evaluation.json").read_text()))) == []
    runs = [json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "training").glob("*.json"))]
    runs = [run for run in runs if "group" in run]
    assert {run["group"] for run in runs} == {"enwik8", "bundled", "variants"}
    with figure.styled():
        assert faults(training_picture(runs)) == []
