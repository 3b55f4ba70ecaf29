"""The scripts for a card, walked on the CPU: everything but Triton, graphs, the sanitizer and the clock."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.device_networks import HAVE_CUDA

from pymdm._native import C
from pymdm.bench import gpu, gpu_choose, gpu_small, gpu_step

ROOT = Path(__file__).resolve().parents[2]
SIZE = "--layers 2 --width 16 --heads 2 --length 6 --vocab 40 --vocabs 300 --rows 3 --batch 2 --against 1 3 --rounds 1"
TINY = [*SIZE.split(), "--device", "cpu", "--steps", "50"]


def rows_of(path):
    return {(r["subject"], r["measure"]): r for r in json.loads(path.read_text())["rows"]}


def test_the_measurements_run_and_are_written(tmp_path):
    assert gpu.main([*TINY, "--json", str(tmp_path / "gpu.json")]) == 0
    found, rows = json.loads((tmp_path / "gpu.json").read_text()), rows_of(tmp_path / "gpu.json")
    for dtype, mark in (("float32", 1.3), ("bfloat16", 1.6)):
        subject = f"choose, 3 x 300 {dtype}"
        assert rows[subject, "time / reading the logits"]["mark"] == mark
        assert rows[subject, "rows that differ from the CPU's"]["passed"]
    assert (rows["step, B=2", "of the best matrix rate"]["mark"], gpu_step.MATRIX_SHARE[1]) == (0.55, 0.65)
    eager = rows["step, B=1", "eager PyTorch / step"]
    assert (eager["mark"], eager["stretch"]) == (2.3, 3.0)
    assert rows["step, B=1", "host / device time"]["mark"] == 0.1
    for on in ("in", "behind"):
        assert rows["network, L=6", f"off float32, GELU {on} the product"]["passed"]
    for batch in (1, 3):
        ours = rows[f"whole run, B={batch}", "first-hitting"]["value"]
        assert ours == pytest.approx(6 * found["settings"]["median_step_seconds"][str(batch)])
        assert rows[f"whole run, B={batch}", "cached ancestral / first-hitting"]["mark"] is None  # not the paper's size
    assert "failed" not in {measure for _, measure in rows}
    walked = "launched / replayed", "GELU behind the product / in it", "rows that differ from the CPU's"
    assert all(r["value"] > 0 for key, r in rows.items() if key[1] not in walked)
    assert "walked on the CPU" in found["notes"][0]


def test_whole_runs_have_the_marks_of_the_card():
    assert gpu_step.WHOLE == {"H200": {1: 18.0, 64: 50.0}, "H100": {1: 24.0, 64: 50.0}}
    assert gpu_choose.NOISE == {"Triton float32": 1.0, "Triton float64": 5.0}


def test_wrong_tokens_and_failures_are_rows_and_nothing_is_lost(tmp_path, monkeypatch):
    """One token of three differs, the network's step cannot be made: both are missed marks, the rest is measured."""

    def wrong(logits, *at):
        token = C.choose(logits, *at)
        token[1] = (token[1] + 1) % logits.shape[1]
        return token

    def broken(*_, **__):
        raise RuntimeError("out of memory\nand more")

    doors = SimpleNamespace(choose=wrong, choose_into=C.choose_into, choose_scratch=C.choose_scratch)
    monkeypatch.setattr(gpu_choose, "C", doors)
    monkeypatch.setattr(gpu_step, "Step", broken)
    file = tmp_path / "gpu.json"
    assert gpu.main([*TINY, "--parts", "choose", "step", "--json", str(file), "--check"]) == 1
    rows = rows_of(file)
    differ = rows["choose, 3 x 300 float32", "rows that differ from the CPU's"]
    assert differ["value"] == 1 and differ["passed"] is False
    assert rows["choose, 3 x 300 float32", "time / reading the logits"]["value"] > 0
    assert (
        rows["step, B=1", "failed"]["passed"] is False and ("network, L=6", "off float32, GELU in the product") in rows
    )
    assert "step, B=1: RuntimeError: out of memory" in json.loads(file.read_text())["notes"]


def test_the_file_is_written_after_every_piece(tmp_path):
    """A process that is killed in its last piece leaves the others."""
    file = tmp_path / "gpu.json"
    code = (
        "import os, sys; from pymdm.bench import gpu; gpu.torch_rows = lambda *_: os._exit(3); gpu.main(sys.argv[1:])"
    )
    options = [*TINY, "--parts", "choose", "--json", str(file)]
    assert subprocess.run([sys.executable, "-c", code, *options], cwd=ROOT, timeout=300).returncode == 3
    assert ("choose, 3 x 300 bfloat16", "choose") in rows_of(file)


def test_every_kernel_runs_on_small_odd_sizes():
    gpu_small.main("cpu")


@pytest.mark.skipif(HAVE_CUDA, reason="there is a CUDA device")
def test_without_a_card_it_says_so():
    with pytest.raises(ValueError, match="expected a CUDA device, found none"):
        gpu.main([])


def dry_run(script: str, out: Path, **more: str) -> tuple[int, str]:
    """The script's exit code and report where the kernels are walked."""
    env = os.environ | {"PYMDM_GPU_DEVICE": "cpu", "PYTHON": sys.executable, "PYMDM_GPU_OPTIONS": SIZE} | more
    done = subprocess.run(
        ["bash", str(ROOT / "bench" / script), str(out)], env=env, capture_output=True, text=True, timeout=590
    )
    return done.returncode, done.stdout + done.stderr


def test_the_first_script_brings_every_part_home(tmp_path):
    code, said = dry_run("gpu.sh", tmp_path, PYMDM_COMMIT="abc1234")
    assert code == 0, said[-3000:]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["gpu-choose.json", "gpu-profile.txt", "gpu-step.json", "gpu-whole.json", "gpu.txt"]
    report = (tmp_path / "gpu.txt").read_text()
    assert "exit code 0; results in" in report and "skipped" not in report
    assert json.loads((tmp_path / "gpu-step.json").read_text())["environment"]["commit"] == "abc1234"
    profile = (tmp_path / "gpu-profile.txt").read_text()
    assert "step, B=1" in profile and "step, B=2" in profile and "addmm" in profile
    parts = [line.split("] ")[1].split(" (")[0] for line in report.splitlines() if "(at most" in line]
    assert parts == ["every kernel once", "choose", "step", "whole", "profile"]


def test_a_part_without_time_is_skipped_and_one_that_fails_keeps_its_code(tmp_path):
    code, said = dry_run("gpu.sh", tmp_path, PYMDM_GPU_SECONDS="5")
    assert code == 0 and said.count("skipped, no time left") == 5
    code, said = dry_run("gpu.sh", tmp_path, PYMDM_GPU_OPTIONS="--no-such-option")
    assert code == 2 and said.count("exit code 2") == 5  # four parts, and the end; the kernels ran
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.txt"]


def test_the_second_script_tests_and_says_what_is_missing(tmp_path):
    code, said = dry_run("gpu_tests.sh", tmp_path, PYMDM_GPU_TESTS="few_numbers")
    assert code == 0, said[-3000:]
    assert "1 passed" in said or "[100%]" in said
    assert "ncu is not here" in said and "compute-sanitizer is not here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["gpu_tests.txt"]
