"""Files of a result, comparisons of two, and the pages made from them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.command_line import run
from helpers.fake_bench import fake_case

import pymdm
from pymdm.bench import common, docs, report, timing
from pymdm.bench.compare import compare
from pymdm.bench.rows import row, value_text
from pymdm.environment import environment

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def test_files_of_a_result(tmp_path, capsys):
    out = tmp_path / "new"
    options = ["--size", "4", "--json", str(out / "a.json"), f"--png={out / 'a.png'}", "--out", str(out), "--check"]
    assert common.main(fake_case(3.0), options) == 0
    result = report.read_json(out / "a.json")
    assert tuple(result) == report.KEYS and result == report.read_json(out / "fake.json")
    assert result["command"] == "pymdm bench fake --size 4"  # what measures it again, and nothing else
    assert result["settings"] == {"size": 4} and result["passed"] and result["notes"] == ["a note"]
    first = result["rows"][0]
    assert (first["value"], first["rounds"], first["mark"], first["passed"]) == (3.0, 5, 2.0, True)
    for name in ("a.png", "fake.png"):
        assert (out / name).read_bytes().startswith(PNG)
    capsys.readouterr()
    assert common.main(fake_case(3.0), ["--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == result["rows"]


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        common.main(fake_case(float("nan")), ["--json", str(tmp_path / "a.json")])
    assert not (tmp_path / "a.json").exists()


def test_a_missing_matplotlib_is_said_before_measuring(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    case = fake_case(3.0)
    case.run = lambda args: pytest.fail("measured")
    with pytest.raises(ValueError, match=r"pip install matplotlib"):
        common.main(case, ["--png", str(tmp_path / "a.png")])
    assert common.main(fake_case(3.0), ["--out", str(tmp_path)]) == 0  # the numbers are kept
    assert (tmp_path / "fake.json").exists() and not (tmp_path / "fake.png").exists()


def test_compare_finds_what_changed(tmp_path, capsys):
    files = []
    for i, value in enumerate((3.0, 2.9, 1.0)):
        files.append(tmp_path / f"{i}.json")
        common.main(fake_case(value), ["--json", str(files[-1])])
    before, near, far = (report.read_json(f) for f in files)
    same = compare(before, near)
    assert same["rows"][0]["ratio"] == pytest.approx(2.9 / 3) and same["rows"][0]["apart"] is False
    assert not same["lost"] and not same["differ"]
    worse = compare(before, far)
    assert worse["rows"][0]["apart"] is True and worse["lost"]
    assert worse["rows"][1]["apart"] is None  # never repeated: nothing can be said
    assert not compare(far, before)["lost"]
    moved = compare(before, far | {"environment": far["environment"] | {"processor": "another"}})
    assert any("processor" in line for line in moved["differ"])

    capsys.readouterr()
    assert run("bench", "compare", files[0], files[2]).exit_code == 0
    lost = run("bench", "compare", files[0], files[2], "--check")
    assert lost.exit_code == 1 and "LOST" in lost.stdout
    assert run("bench", "compare", files[0], files[1], "--check").exit_code == 0


def test_compare_refuses_what_is_not_comparable(tmp_path):
    good, other, text = tmp_path / "good.json", tmp_path / "other.json", tmp_path / "text.json"
    common.main(fake_case(3.0), ["--json", str(good)])
    other.write_text(json.dumps(report.read_json(good) | {"case": "else"}))
    text.write_text("{}")
    for bad in (other, text, tmp_path / "missing.json"):
        result = run("bench", "compare", good, bad)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "Traceback" not in result.stderr


def test_the_record_names_machine_and_commit():
    e = environment()
    assert e["pymdm"] == pymdm.__version__ and e["threads"] >= 1 and e["cores"] >= 1
    assert isinstance(e["features"], list) and e["processor"]
    if e["commit"] is not None:
        assert int(e["commit"].rstrip("+"), 16) >= 0
    assert json.loads(json.dumps(e)) == e


def test_the_page_is_made_from_results(tmp_path):
    folder, page = tmp_path / "bench" / "results", tmp_path / "docs" / "b.md"
    missing = run("bench", "docs", folder, "--page", page)
    assert missing.exit_code == 2 and missing.stderr.count("\n") == 1
    words = ["--rows", 4, "--vocab", 99, "--rounds", 2, "--threads", 1, "--out", folder]
    assert run("bench", "choose", *words).exit_code == 0
    options = ["bench", "docs", folder, "--page", page]
    assert run(*options, "--check").exit_code == 1 and not page.exists()
    assert run(*options, "--pictures").exit_code == 0
    result = report.read_json(folder / "choose.json")
    text = page.read_text()
    for words in (result["command"], result["environment"]["processor"], "![", "../bench/results/choose.png"):
        assert words in text
    for r in result["rows"]:
        assert f"| {r['subject']} | {r['measure']} | {value_text(r)} |" in text
    short = text[text.index("## In short") : text.index("## choose")]
    for r in result["rows"]:
        assert (f"{r['subject']}, {r['measure']}: {value_text(r)}" in short) == r["headline"]
    assert run(*options, "--check").exit_code == 0
    result["rows"][0]["value"] *= 2
    report.write_json(result, folder / "choose.json")
    assert run(*options, "--check").exit_code == 1


@pytest.mark.skipif(not (ROOT / "bench" / "results").exists(), reason="needs the tree")
def test_the_committed_page_is_what_the_results_say():
    folder, page = ROOT / "bench" / "results", ROOT / "docs" / "benchmarks.md"
    assert page.read_text() == docs.benchmarks(folder, page)


def test_pictures_are_dots_with_intervals_and_a_line_of_equal_ratios():
    """No bar, whose length would mean nothing on a logarithmic axis; every mark of the picture is in its legend."""
    figures = pytest.importorskip("matplotlib.figure")
    times = [row("a", f"form {i}", timing.Spread(10.0**i, 0.9 * 10**i, 1.1 * 10**i, 5), "s") for i in range(3)]
    ratios = [row("a", "ratio", timing.Spread(v, v * 0.9, v * 1.1, 5), "x", mark=2.0) for v in (3.0, 1.5)]
    figure = figures.Figure()
    report.plot_rows({"rows": [*ratios, *times]}, figure)
    ratio, seconds = figure.axes
    assert not ratio.patches and not seconds.patches
    words = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in (ratio, seconds)]
    assert sorted(words[0]) == ["1: equal", "mark", "median, quartiles", "the same, mark missed"]
    assert words[1] == ["median, quartiles"]
    assert (ratio.get_xscale(), seconds.get_xscale()) == ("linear", "log") and ratio.get_xlim()[0] == 0
    assert seconds.get_xlabel() == "s, logarithmic axis" and ratio.get_xlabel() == "ratio"
