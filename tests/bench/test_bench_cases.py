"""Every case of `pymdm bench` once, at a tiny size, and what they compute from what they measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.command_line import run
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import pymdm
from pymdm.bench import report, sampling_memory, scaling, speedup
from pymdm.bench.cases import CASES
from pymdm.bench.network import first_hitting_operations
from pymdm.bench.sampling import expected_calls
from pymdm.network.checkpoint import save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_help_with_an_example(case):
    shown = run("bench", case, "--help")
    assert shown.exit_code == 0 and f"pymdm bench {case}" in shown.stdout and "--check" in shown.stdout
    assert "Example:" in shown.stdout and len(shown.stdout.splitlines()) > 10
    assert case in run("bench", "--help").stdout


def test_choose_at_a_tiny_size():
    result = run("bench", "choose", "--rows", 4, "--vocab", 100, "--rounds", 1, "--slow-rounds", 1, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["settings"] == {"rows": 4, "vocab": 100, "dtype": "float32"}
    assert [r["mark"] for r in found["rows"][:4]] == [35.0, 35.0, 0.5, 4.0]


def test_models_at_a_tiny_size():
    """Both doors give the same tokens for every family, or the case fails; no mark below its sizes."""
    result = run(
        "bench", "models", "--layers", 2, "--width", 64, "--vocab", 40, "--length", 8, "--rounds", 1,
        "--rate-layers", 1, "--rate-width", 64, "--rate-length", 32, "--json", "-",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert {r["subject"] for r in rows} >= {"mdlm", "llada", "albert", "esmc", "modernbert"} and len(rows) == 33
    assert all(r["value"] > 0 and r["mark"] is None for r in rows)


def test_second_order_at_a_tiny_size(tmp_path):
    result = run("bench", "second-order", "--samples", 64, "--models", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = report.read_json(tmp_path / "second_order.json")["rows"]
    assert len(rows) == 3 * 4 * 3 and all(0 < r["value"] <= 1 for r in rows)
    assert (tmp_path / "second_order.png").read_bytes().startswith(PNG)


def test_cache_at_a_tiny_size():
    """Lookahead changes no token, or the case fails; every form has its row, and marks are for the full size only."""
    size = ["--width", 16, "--layers", 1, "--vocab", 30, "--length", 12, "--blocks", 4, "--lookahead", 3]
    size += [x for n in (8, 12, 16) for x in ("--context", n)]
    result = run("bench", "cache", *size, "--json", "-")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [r["subject"] for r in rows[1:]] == [
        *["any-order, L=12"] * 2, *["causal, L=12"] * 2, *["block of 4, L=12"] * 3, "any-order, lookahead 3",
        *["any-order"] * 4,
    ]  # fmt: skip
    assert all(r["mark"] is None and r["value"] > 0 for r in rows)


def test_memory_at_a_tiny_size():
    """The two losses agree, or the case fails; the mark is for large sizes only."""
    result = run("bench", "memory", "--batch", 1, "--length", 8, "--vocab", 50, "--width", 16, "--json", "-")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [r["subject"] for r in rows] == ["plain", "chunked", "chunked"] and rows[2]["mark"] is None


def test_bfloat16_at_a_tiny_size():
    result = run("bench", "bfloat16", "--texts", 4, "--paths", 3, "--length", 5, "--json", "-")
    assert result.exit_code == 0, result.output
    rows = {(r["subject"], r["measure"]): r["value"] for r in json.loads(result.stdout)["rows"]}
    assert 0 < rows["masked real text", "mean TV of a token"] < rows["masked real text", "worst"] < 0.2
    assert rows["float32 against float64", "worst TV of a token"] < 1e-4
    assert 0 < rows["samples of 5 tokens", "TV of the law of paths"] < 0.1
    assert run("bench", "bfloat16", "--length", 9999).stderr.count("\n") == 1


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
    tokenizer = pymdm.Tokenizer.train(["abcdefghijklmnopqrst"], "char")
    save_checkpoint(tmp_path / "m", config, model.state_dict(), tokenizer, {}, None)
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


def test_memory_of_sampling_at_a_tiny_size():
    size = {"layers": 1, "width": 16, "heads": 2, "vocab": 20_000, "length": 64, "steps": 8, "batch": 1}
    found = [sampling_memory.measured(form, size, 2) for form in ("engine float32", "PyTorch, float64 noise")]
    engine, plain = (f["peak"] - f["before"] for f in found)
    V, L, D = size["vocab"], size["length"], size["width"]
    assert plain > 3 * 8 * L * V  # at least three arrays [L, V] of float64 at once
    assert plain > 4 * engine
    assert all(f["weights"] >= 2 * 4 * V * D and f["peak"] > f["weights"] for f in found)


def test_speedup_where_the_engine_cannot_run():
    """On a device only the PyTorch network takes part, and carries the speedup."""
    runs = {"cached float64": [8.0], "uncached float64": [16.0], "cached float32": [6.0], "PyTorch": [2.0]}
    runs["cached float64, one logarithm"] = [7.0]
    found = {(r["subject"], r["measure"]): r["value"] for r in speedup.ratio_rows(runs, {}, None)}
    assert found["speedup", "cached ancestral / first-hitting PyTorch"] == 4.0
    assert found["speedup", "uncached ancestral / first-hitting PyTorch"] == 8.0
    assert found["from the sampler", "cached ancestral / first-hitting"] == 4.0
