"""The frame of `pymdm bench`: marks, exit codes, clocks."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.command_line import run
from helpers.fake_bench import fake_case
from rich.console import Console

import pymdm
from pymdm.bench import common, gpu, report, timing
from pymdm.bench.cases import CASES, module_name
from pymdm.bench.rows import mark_text, number_text, row, spread_text, verdict_text
from pymdm.environment import OtherWork, environment

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


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


def test_bad_input_is_one_line():
    for words in (["nothing"], ["choose", "--rows", 0], ["choose", "--none"], ["--none"]):
        result = run("bench", *words)
        assert result.exit_code == 2, words
    with pytest.raises(ValueError, match="expected one of choose"):
        module_name("nothing")
    assert (
        run("bench", "choose", "--rows", 0).stderr
        == "pymdm: bench choose: argument --rows: must be at least 1, got 0\n"
    )
    assert module_name("second-order") == module_name("second_order")


def test_options_of_every_kind_reach_the_case(monkeypatch):
    """Numbers, switches, repeated options, and those given before the case."""
    seen = []
    monkeypatch.setattr(common, "main", lambda case, words: seen.append(words) or 0)
    words = ["--vocabs", 3, "--vocabs", 5, "--rows", 2, "--parts", "step", "--quick"]
    assert run("bench", "--check", "gpu", *words).exit_code == 0
    args = common.parse(gpu, seen[0])
    assert (args.vocabs, args.rows, args.parts, args.quick, args.check) == ([3, 5], 2, ["step"], True, True)
    assert (args.layers, args.full) == (12, False)


def test_a_case_runs_as_a_module():
    command = [sys.executable, "-m", "pymdm.bench.gpu", "--rows", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("pymdm: bench gpu: ") and done.stderr.count("\n") == 1


def test_all_cases_run_after_one_another(monkeypatch):
    seen = []

    def fake(command):
        seen.append(command[command.index("bench") + 1 :])
        return subprocess.CompletedProcess(command, int("choose" in command))

    monkeypatch.setattr(subprocess, "run", fake)
    assert run("bench", "--check").exit_code == 1  # one of them missed a mark
    assert [words[0] for words in seen] == list(CASES)
    assert all(words[1:] == ["--quick", "--check"] for words in seen)


def test_the_processor_clock_leaves_waiting_out(monkeypatch):
    """A form that waits: between two readings a second passes, of which the processor worked a tenth."""
    wall, worked = itertools.count(0.0, 1.0), itertools.count(0.0, 0.1)
    clocks = SimpleNamespace(perf_counter=lambda: next(wall), process_time=lambda: next(worked))
    monkeypatch.setattr(timing, "time", clocks)
    case = fake_case(3.0)
    forms = {"wait": lambda: None}
    case.run = lambda args: common.Measured(
        {}, [row("a", "b", timing.spread(timing.interleaved(forms, 3)["wait"]), "s")]
    )

    def found(*words):
        return common.measure(case, ["--threads", "1", *words])[0]["rows"][0]["value"]

    assert found("--clock", "wall") == 1.0 and found("--clock", "cpu") == pytest.approx(0.1)
    with pytest.raises(ValueError, match="--clock cpu needs --threads 1"):
        common.measure(case, ["--threads", "2", "--clock", "cpu"])
    assert found() == 1.0  # the clock is given back
