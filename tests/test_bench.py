"""The frame of `pymdm bench`: marks, exit codes, files, comparisons."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console
from typer.testing import CliRunner

import pymdm
from pymdm.bench import common, docs, report, timing
from pymdm.bench.cases import CASES, module_name
from pymdm.bench.compare import compare
from pymdm.bench.environment import OtherWork, environment
from pymdm.bench.rows import mark_text, number_text, row, spread_text, value_text, verdict_text
from pymdm.cli import app

ROOT = Path(__file__).resolve().parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fake_case(value, mark=2.0):
    """A case that measures nothing: one row with a mark, one without."""
    case = ModuleType("pymdm.bench.fake", "A fake case.")
    case.EXAMPLE = "pymdm bench fake --size 3"
    case.QUICK = {"size": 1}
    case.FULL = {"size": 100}
    case.add_arguments = lambda parser: parser.add_argument("--size", type=common.at_least(1), default=10)
    case.run = lambda args: common.Measured(
        {"size": args.size},
        [
            row("a", "ratio", timing.Spread(value, value * 0.9, value * 1.1, 5), "x", mark=mark),
            row("a", "time", 2.5, "s"),
        ],
        ["a note"],
    )
    return case


@pytest.mark.parametrize(
    ("value", "least", "stretch", "verdict"),
    [
        (2.0, True, None, "pass"),
        (1.99, True, None, "MISS"),
        (2.0, False, None, "pass"),
        (2.01, False, None, "MISS"),
        (3.5, True, 3.0, "pass, and 3.00x"),
        (0.9, False, 1.0, "pass, and 1.00x"),
        (2.5, True, 3.0, "pass"),
    ],
)
def test_marks_bind_in_their_direction(value, least, stretch, verdict):
    r = row("a", "b", value, "x", mark=2.0, least=least, stretch=stretch)
    assert verdict_text(r) == verdict and r["passed"] is (verdict != "MISS")
    assert mark_text(r) == f"at {'least' if least else 'most'} 2.00x"


def test_a_row_without_a_mark_has_no_verdict():
    r = row("a", "b", 1.0)
    assert r["passed"] is None and verdict_text(r) == mark_text(r) == spread_text(r) == ""
    assert common.Measured({}, [r]).passed


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0144, "s", "14.4 ms"),
        (1.0, "s", "1.00 s"),
        (18554.2, "s", "18,554 s"),
        (19.7e-6, "s", "19.7 us"),
        (80.6, "x", "80.6x"),
        (0.0123, "%", "1.23%"),
        (392.0, "GFLOP/s", "392 GFLOP/s"),
        (0.0, "", "0"),
        (0.0466, "", "0.0466"),
        (1.234e-6, "", "1.23e-06"),
        (0.00123, "", "0.00123"),
    ],
)
def test_numbers_read_well(value, unit, text):
    assert number_text(value, unit) == text


def test_rounds_are_interleaved_after_untimed_calls(monkeypatch):
    called, clock = [], [0.0]
    cost = {"short": 0.01, "long": 1.0}

    def form(name):
        called.append(name)
        clock[0] += cost[name]

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    seconds = timing.interleaved({n: lambda n=n: form(n) for n in cost}, {"short": 3, "long": 2})
    # one call of each; then short calls in pairs, the second timed, long ones alone
    assert called == ["short", "long"] + ["short", "short", "long"] * 2 + ["short", "short"]
    assert seconds["short"] == pytest.approx([0.01] * 3) and seconds["long"] == pytest.approx([1.0] * 2)
    with pytest.raises(ValueError, match="bench: rounds must be at least 1, got 0"):
        timing.interleaved({"a": lambda: None}, 0)


def test_medians_and_ratios():
    s = timing.spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (s.low, s.value, s.high, s.rounds) == (2.0, 3.0, 4.0, 5)
    # every round was twice as slow as the one before, for both forms: their ratio is sure all the same
    assert timing.ratio([3.0, 6.0, 12.0], [1.0, 2.0, 4.0]) == timing.Spread(3.0, 3.0, 3.0, 3)
    assert timing.ratio([3.0, 6.0, 12.0], [2.0, 2.0]).rounds == 2


@pytest.mark.parametrize(("value", "check", "code"), [(3.0, True, 0), (1.0, True, 1), (1.0, False, 0)])
def test_exit_code_says_whether_a_mark_was_missed(value, check, code, capsys):
    assert common.main(fake_case(value), ["--check"] * check) == code
    shown = capsys.readouterr().out
    assert ("MISS" in shown) is (value < 2) and "a note" in shown and "pymdm bench fake" in shown


def test_presets_yield_to_given_options():
    assert [common.parse(fake_case(1), a).size for a in ([], ["--quick"], ["--full"])] == [10, 1, 100]
    assert common.parse(fake_case(1), ["--quick", "--size", "7"]).size == 7
    for bad in (["--quick", "--full"], ["--size", "0"], ["--size", "x"], ["--none"]):
        with pytest.raises(ValueError, match=r"^bench fake: ") as caught:
            common.parse(fake_case(1), bad)
        assert "\n" not in str(caught.value)


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
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    case = fake_case(3.0)
    case.run = lambda args: pytest.fail("measured")
    with pytest.raises(ValueError, match=r"pip install 'pymdm\[plot\]'"):
        common.main(case, ["--png", str(tmp_path / "a.png")])
    assert common.main(fake_case(3.0), ["--out", str(tmp_path)]) == 0  # the numbers are kept
    assert (tmp_path / "fake.json").exists() and not (tmp_path / "fake.png").exists()


def test_threads_are_given_back():
    before = pymdm._native.C.num_threads()
    seen = []
    case = fake_case(3.0)
    measured = case.run

    def spy(args):
        seen.append((pymdm._native.C.num_threads(), environment()["threads"]))
        return measured(args)

    case.run = spy
    common.measure(case, ["--threads", "1"])
    assert seen == [(1, 1)] and pymdm._native.C.num_threads() == before


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
    assert lost.exit_code == 1 and "mark LOST" in lost.stdout
    assert run("bench", "compare", files[0], files[1], "--check").exit_code == 0


def test_compare_refuses_what_is_not_comparable(tmp_path):
    good, other, text = tmp_path / "good.json", tmp_path / "other.json", tmp_path / "text.json"
    common.main(fake_case(3.0), ["--json", str(good)])
    other.write_text(json.dumps(report.read_json(good) | {"case": "else"}))
    text.write_text("{}")
    for bad in (other, text, tmp_path / "missing.json"):
        result = run("bench", "compare", good, bad)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "Traceback" not in result.stderr


def test_other_work_is_told_from_own(monkeypatch):
    # all processors, idle, own: of 20 s, 4 were idle and 10 our own
    moments = iter([(100.0, 50.0, 7.0), (120.0, 54.0, 17.0)])
    monkeypatch.setattr(OtherWork, "_seconds", staticmethod(lambda: next(moments)))
    assert OtherWork().share() == pytest.approx(6 / 20)
    monkeypatch.setattr(OtherWork, "_seconds", staticmethod(lambda: None))
    assert OtherWork().share() is None


def test_a_busy_machine_is_named(capsys):
    result, _ = common.measure(fake_case(3.0), [])
    for share, warned in ((0.02, False), (0.5, True), (None, False)):
        result["environment"]["other_work"] = share
        report.show(result, Console(width=160))
        assert ("The machine was busy" in capsys.readouterr().out) is warned
    report.show(
        result | {"timed": False, "environment": result["environment"] | {"other_work": 0.5}}, Console(width=160)
    )
    assert "busy" not in capsys.readouterr().out


def test_the_record_names_machine_and_commit():
    e = environment()
    assert e["pymdm"] == pymdm.__version__ and e["threads"] >= 1 and e["cores"] >= 1
    assert isinstance(e["features"], list) and e["processor"]
    if e["commit"] is not None:
        assert int(e["commit"].rstrip("+"), 16) >= 0
    assert json.loads(json.dumps(e)) == e


def test_bad_input_is_one_line():
    for words in (["nothing"], ["choose", "--rows", 0], ["choose", "--none"], ["--none"]):
        result = run("bench", *words)
        assert result.exit_code == 2, words
    assert "expected one of choose" in run("bench", "nothing").stderr
    assert (
        run("bench", "choose", "--rows", 0).stderr
        == "pymdm: bench choose: argument --rows: must be at least 1, got 0\n"
    )
    assert module_name("second-order") == module_name("second_order")


def test_a_case_runs_as_a_module():
    command = [sys.executable, "-m", "pymdm.bench.choose", "--rows", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("pymdm: bench choose: ") and done.stderr.count("\n") == 1


def test_the_page_and_the_readme_are_made_from_results(tmp_path):
    folder, page, readme = tmp_path / "bench" / "results", tmp_path / "docs" / "b.md", tmp_path / "README.md"
    missing = run("bench", "docs", folder, "--page", page)
    assert missing.exit_code == 2 and missing.stderr.count("\n") == 1
    words = ["--rows", 4, "--vocab", 99, "--rounds", 2, "--threads", 1, "--out", folder]
    assert run("bench", "choose", *words).exit_code == 0
    readme.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    options = ["bench", "docs", folder, "--page", page, "--readme", readme]
    assert run(*options, "--check").exit_code == 1 and not page.exists()
    assert run(*options, "--pictures").exit_code == 0
    result = report.read_json(folder / "choose.json")
    text = page.read_text()
    for words in (result["command"], result["environment"]["processor"], "![", "../bench/results/choose.png"):
        assert words in text
    for r in result["rows"]:
        assert f"| {r['subject']} | {r['measure']} | {value_text(r)} |" in text
    assert value_text(result["rows"][0]) in readme.read_text() and "old" not in readme.read_text()
    assert readme.read_text().startswith("before\n") and readme.read_text().endswith("after\n")
    assert run(*options, "--check").exit_code == 0
    result["rows"][0]["value"] *= 2
    report.write_json(result, folder / "choose.json")
    assert run(*options, "--check").exit_code == 1
    readme.write_text("no block")
    assert run(*options).exit_code == 2


@pytest.mark.skipif(not (ROOT / "bench" / "results").exists(), reason="needs the tree")
def test_the_committed_page_is_what_the_results_say():
    folder, page = ROOT / "bench" / "results", ROOT / "docs" / "benchmarks.md"
    assert page.read_text() == docs.benchmarks(folder, page)
    text = (ROOT / "README.md").read_text()
    assert text == docs.with_headlines(text, docs.headlines(folder))


def test_all_cases_run_after_one_another(monkeypatch):
    seen = []

    def fake(command):
        seen.append(command[command.index("bench") + 1 :])
        return subprocess.CompletedProcess(command, int("choose" in command))

    monkeypatch.setattr(subprocess, "run", fake)
    assert run("bench", "--check").exit_code == 1  # one of them missed a mark
    assert [words[0] for words in seen] == list(CASES)
    assert all(words[1:] == ["--quick", "--check"] for words in seen)


def test_the_processor_clock_leaves_waiting_out():
    wait = {"wait": lambda: time.sleep(0.02)}
    case = fake_case(3.0)
    case.run = lambda args: common.Measured(
        {}, [row("a", "b", timing.spread(timing.interleaved(wait, 3)["wait"]), "s")]
    )
    found = [
        common.measure(case, ["--threads", "1", "--clock", clock])[0]["rows"][0]["value"] for clock in ("wall", "cpu")
    ]
    assert found[0] >= 0.02 > 0.01 > found[1]
    with pytest.raises(ValueError, match="--clock cpu needs --threads 1"):
        common.measure(case, ["--threads", "2", "--clock", "cpu"])
    assert common.measure(case, ["--threads", "1"])[0]["rows"][0]["value"] >= 0.02  # the clock is given back
