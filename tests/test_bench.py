"""The frame of `pymdm bench`: marks, exit codes, files, comparisons; and every case once, at a tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from rich.console import Console
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

import pymdm
from pymdm.bench import common, docs, report, sampling_memory, scaling, speedup, timing
from pymdm.bench.cases import CASES, module_name
from pymdm.bench.compare import compare
from pymdm.bench.environment import OtherWork, environment
from pymdm.bench.network import first_hitting_operations
from pymdm.bench.rows import mark_text, number_text, row, spread_text, value_text, verdict_text
from pymdm.bench.sampling import expected_calls
from pymdm.checkpoint import save_checkpoint
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


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_help_with_an_example(case):
    shown = run("bench", case, "--help")
    assert shown.exit_code == 0 and f"pymdm bench {case}" in shown.stdout and "--check" in shown.stdout
    assert "Example:" in shown.stdout and len(shown.stdout.splitlines()) > 10
    assert case in run("bench", "--help").stdout


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


def test_choose_at_a_tiny_size():
    result = run("bench", "choose", "--rows", 4, "--vocab", 100, "--rounds", 1, "--slow-rounds", 1, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["settings"] == {"rows": 4, "vocab": 100, "dtype": "float32"}
    assert [r["mark"] for r in found["rows"][:4]] == [35.0, 35.0, 0.5, 4.0]


def test_second_order_at_a_tiny_size(tmp_path):
    result = run("bench", "second-order", "--samples", 64, "--models", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = report.read_json(tmp_path / "second_order.json")["rows"]
    assert len(rows) == 3 * 4 * 3 and all(0 < r["value"] <= 1 for r in rows)
    assert (tmp_path / "second_order.png").read_bytes().startswith(PNG)


def test_bfloat16_at_a_tiny_size():
    result = run("bench", "bfloat16", "--texts", 4, "--paths", 3, "--length", 5, "--json", "-")
    assert result.exit_code == 0, result.output
    rows = {(r["subject"], r["measure"]): r["value"] for r in json.loads(result.stdout)["rows"]}
    assert 0 < rows["masked real text", "mean TV of a token"] < rows["masked real text", "worst"] < 0.2
    assert rows["float32 against float64", "worst TV of a token"] < 1e-4
    assert 0 < rows["samples of 5 tokens", "TV of the law of paths"] < 0.1
    assert run("bench", "bfloat16", "--length", 9999).stderr.count("\n") == 1


def test_a_case_runs_as_a_module():
    command = [sys.executable, "-m", "pymdm.bench.choose", "--rows", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("pymdm: bench choose: ") and done.stderr.count("\n") == 1


def tiny(*words):
    sizes = {"layers": 1, "width": 16, "heads": 2, "vocab": 20, "length": 6, "steps": 8}
    return [
        *words,
        *(w for name, value in sizes.items() for w in (f"--{name}", value)),
        "--rounds",
        1,
        "--part",
        8,
        "--threads",
        1,
    ]


def test_speedup_at_a_tiny_size(tmp_path):
    result = run(*tiny("bench", "speedup", "--batch", 2, "--out", tmp_path))
    assert result.exit_code == 0, result.output
    found = report.read_json(tmp_path / "speedup.json")
    assert all(r["mark"] is None for r in found["rows"])  # marks belong to the presets as they are
    value = {(r["subject"], r["measure"]): r["value"] for r in found["rows"]}
    whole = {subject: v for (subject, measure), v in value.items() if measure == "whole run"}
    cached = whole["ancestral, PyTorch, cached float64 noise"]
    t1 = value["PyTorch", "t1: network call and log-softmax, all positions"]
    t2 = value["PyTorch", "t2: step with float64 noise"]
    assert cached == pytest.approx(expected_calls(8, 12) * t1 + 8 * t2)
    assert whole["ancestral, PyTorch, uncached float64 noise"] == pytest.approx(8 * (t1 + t2))
    best = value["speedup", "cached ancestral / first-hitting bfloat16"]
    assert best == pytest.approx(cached / whole["first-hitting, engine bfloat16"])
    parts = [v for (subject, _), v in value.items() if subject.startswith("from ")]
    assert len(parts) == 3 and best == pytest.approx(parts[0] * parts[1] * parts[2])
    assert (tmp_path / "speedup.png").read_bytes().startswith(PNG)


def test_speedup_marks_its_presets(monkeypatch):
    monkeypatch.setitem(speedup.PRESETS, "small", dict(zip(speedup.SIZES, (1, 16, 2, 20, 6, 8, 1), strict=True)))
    for mark, code in ((1e9, 1), (1e-9, 0)):
        monkeypatch.setitem(speedup.MARKS, "small", mark)
        result = run("bench", "speedup", "--rounds", 1, "--part", 1, "--threads", 1, "--check", "--json", "-")
        assert result.exit_code == code, result.output
        marked = [r for r in json.loads(result.stdout)["rows"] if r["mark"] is not None]
        assert [(r["measure"], r["mark"]) for r in marked] == [("cached ancestral / first-hitting bfloat16", mark)]


def test_speedup_of_a_checkpoint(tmp_path):
    config = pymdm.ModelConfig(vocab_size=20, length=6, width=16, layers=1, heads=2)
    model = pymdm.MaskedTransformer(config)
    vocabulary = pymdm.Vocabulary.train(["abcdefghijklmnopqrst"], "char")
    save_checkpoint(tmp_path / "m", config, model.state_dict(), vocabulary, {}, None)
    options = ["bench", "speedup", "--model", tmp_path / "m", "--rounds", 1, "--part", 1, "--steps", 4, "--threads", 1]
    result = run(*options, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["settings"]
    assert (found["vocab"], found["length"], found["steps"], found["model"]) == (20, 6, 4, str(tmp_path / "m"))
    for more in (["--length", 7], ["--width", 32], ["--device", "cuda:99"]):
        bad = run(*options, *more)
        assert bad.exit_code == 2 and bad.stderr.startswith("pymdm: bench speedup: ") and bad.stderr.count("\n") == 1


def test_expected_calls_are_the_papers():
    assert [round(expected_calls(10_000, 1024 * b)) for b in (1, 8, 64)] == [973, 5592, 9986]


def test_scaling_at_a_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "BASE", dict(zip(scaling.BASE, (1, 16, 2, 20, 6, 8, 1), strict=True)))
    monkeypatch.setattr(scaling, "AXES", {"length": (3, 6), "vocab": (10, 20), "batch": (1, 2), "steps": (4, 8)})
    result = run("bench", "scaling", "--rounds", 1, "--threads", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = report.read_json(tmp_path / "scaling.json")["rows"]
    assert {"base", "L = 3", "V = 10", "B = 2", "N = 4", "threads = 1"} <= {r["subject"] for r in rows}
    counted = [r["value"] for r in rows if r["measure"] == "counted / expected"]
    assert len(counted) == 2 and all(abs(v - 1) < 0.2 for v in counted)
    assert (tmp_path / "scaling.png").read_bytes().startswith(PNG)


def test_the_line_is_found_where_there_is_one():
    rows = [[1.0, float(x), float(y)] for x in (1, 5, 20) for y in (2, 3)]
    seconds = [2.0 + 3.0 * x + 0.5 * y for _, x, y in rows]
    assert scaling.fit(rows, seconds) == pytest.approx([2.0, 3.0, 0.5])


def test_operations_of_a_call_are_those_of_its_matrices():
    """Counted by torch's own counter on the PyTorch module, which also scores one row and skips the rest of the last block."""
    for options in ({}, {"kv_heads": 1, "mlp": "swiglu", "mlp_width": 24}):
        config = pymdm.ModelConfig(vocab_size=20, length=6, width=16, layers=3, heads=2, **options)
        model = pymdm.MaskedTransformer(config).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(torch.full((1, 6), 20), rows=torch.tensor([2]))
        # the module makes queries and scores of all positions in its last block, the engine of the row alone
        D = config.width
        spared = 5 * (2 * D * D + 4 * 6 * D)
        assert counter.get_total_flops() - spared == first_hitting_operations(config, 6)


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


def test_memory_of_sampling_at_a_tiny_size():
    size = {"layers": 1, "width": 16, "heads": 2, "vocab": 20_000, "length": 64, "steps": 8, "batch": 1}
    found = [sampling_memory.measured(form, size, 2) for form in ("engine float32", "PyTorch, float64 noise")]
    engine, plain = (f["peak"] - f["before"] for f in found)
    V, L, D = size["vocab"], size["length"], size["width"]
    assert plain > 3 * 8 * L * V  # at least three arrays [L, V] of float64 at once
    assert plain > 4 * engine
    assert all(f["weights"] >= 2 * 4 * V * D and f["peak"] > f["weights"] for f in found)


def test_all_cases_run_after_one_another(monkeypatch):
    seen = []

    def fake(command):
        seen.append(command[command.index("bench") + 1 :])
        return subprocess.CompletedProcess(command, int("choose" in command))

    monkeypatch.setattr(subprocess, "run", fake)
    assert run("bench", "--check").exit_code == 1  # one of them missed a mark
    assert [words[0] for words in seen] == list(CASES)
    assert all(words[1:] == ["--quick", "--check"] for words in seen)


def test_speedup_where_the_engine_cannot_run():
    """On a device only the PyTorch network takes part, and carries the speedup."""
    runs = {"cached float64": [8.0], "uncached float64": [16.0], "cached float32": [6.0], "PyTorch": [2.0]}
    runs["cached float64, one logarithm"] = [7.0]
    found = {(r["subject"], r["measure"]): r["value"] for r in speedup.ratio_rows(runs, {}, None)}
    assert found["speedup", "cached ancestral / first-hitting PyTorch"] == 4.0
    assert found["speedup", "uncached ancestral / first-hitting PyTorch"] == 8.0
    assert found["from the sampler", "cached ancestral / first-hitting"] == 4.0


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
