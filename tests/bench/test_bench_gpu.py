"""The script for a card, walked on the CPU: everything but Triton, graphs and the clock."""

import json
import subprocess
from pathlib import Path

import pytest
from helpers.device_networks import HAVE_CUDA

from pymdm.bench import gpu, gpu_small

ROOT = Path(__file__).resolve().parents[2]
TINY = "--layers 2 --width 16 --heads 2 --length 6 --vocab 40 --vocabs 300 --rows 3 --batch 2 --against 1 3 --rounds 1"


def test_the_measurements_run_and_are_written(tmp_path):
    options = [*TINY.split(), "--device", "cpu", "--steps", "50", "--json", str(tmp_path / "gpu.json")]
    assert gpu.main(options) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    rows = {(r["subject"], r["measure"]): r for r in found["rows"]}
    assert rows["choose, 3 x 300 float32", "time / reading the logits"]["mark"] == 1.3
    assert rows["step, B=2", "of the best matrix rate"]["mark"] == 0.6
    assert rows["step, B=1", "eager PyTorch / step"]["mark"] == 3.0
    for batch in (1, 3):
        ours = rows[f"whole run, B={batch}", "first-hitting"]["value"]
        assert ours == pytest.approx(6 * found["settings"]["median_step_seconds"][str(batch)])
        assert rows[f"whole run, B={batch}", "cached ancestral / first-hitting"]["mark"] is None  # not the paper's size
    assert all(r["value"] > 0 for r in found["rows"]) and "walked on the CPU" in found["notes"][0]


def test_every_kernel_runs_on_small_odd_sizes():
    gpu_small.main("cpu")


@pytest.mark.skipif(HAVE_CUDA, reason="there is a CUDA device")
def test_without_a_card_it_says_so():
    with pytest.raises(ValueError, match="expected a CUDA device, found none"):
        gpu.main([])


def test_the_shell_script_parses():
    subprocess.run(["bash", "-n", str(ROOT / "bench" / "gpu.sh")], check=True)
