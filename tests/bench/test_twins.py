"""The twins' script: runs of a group share all but what is compared, and the report holds their numbers."""

import json

import numpy as np
import pytest
import torch

import pymdm
from experiments import twins
from experiments.twins_report import write_report
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer

SMALL = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "length": 16,
    "batch_size": 4,
    "steps": 3,
    "vocab": "char",
    "eval_every": 1,
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    for group in twins.SETS:
        monkeypatch.setitem(twins.SETS, group, SMALL)
    monkeypatch.setattr(twins, "WINDOWS", 6)
    (tmp_path / "text.txt").write_text("".join(f"line {i} says {i * i}.\n\n" for i in range(400)))
    return tmp_path


def test_runs_of_a_group_differ_in_what_is_compared_only():
    for group, runs in twins.RUNS.items():
        recipes = [twins.recipe_of(group, run, None, None).to_dict() for run in runs]
        compared = {key for changes in runs.values() for key in changes}
        assert {k for r in recipes for k in r if r[k] != recipes[0][k]} <= compared


def test_results_and_report(small):
    out = small / "twins"
    for group, run in (("enwik8", "mdm"), ("enwik8", "autoregressive"), ("variants", "count")):
        twins.main(["train", group, run, "--data", str(small / "text.txt"), "--out", str(out)])
    twins.main(["train", "variants", "count, time-conditioned", "--data", str(small / "text.txt"), "--out", str(out)])
    values = json.loads((out / "enwik8-mdm.json").read_text())
    score = values["score"]
    assert values["steps"] == 3 and score["sequences"] == 6
    assert sum(score["per_sequence_bits"]) / sum(score["per_sequence_units"]) == pytest.approx(score["bits"], abs=1e-3)
    assert score["interval95"][0] < score["bits"] < score["interval95"][1]
    write_report(out, small / "docs")
    text = (small / "docs" / "training.md").read_text()
    for name in ("enwik8-mdm", "enwik8-autoregressive", "variants-count"):
        bits = json.loads((small / "docs" / "training" / f"{name}.json").read_text())["score"]["bits"]
        assert f"{bits:.3f} (" in text
    again = twins.record("enwik8", "mdm", out)
    assert json.loads(again.read_text()) == values and "Unfinished" not in text
    config = out / "checkpoints" / "enwik8-mdm" / "config.json"
    config.write_text(config.read_text().replace('"finished": true', '"finished": false'))
    twins.main(["score", "enwik8", "mdm", "--out", str(out)])
    write_report(out, small / "docs")
    assert "**Unfinished**: stopped after 3 of 3 steps" in (small / "docs" / "training.md").read_text()
    assert "was not met" in text and "multinomial diffusion | 1.75" in text
    assert (small / "docs" / "training.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"^twins: no results in"):
        write_report(small / "none", small / "docs")


def test_causal_samples_follow_the_network():
    """A network whose head knows one bias only: every token is drawn from softmax(bias), whatever came before."""
    torch.manual_seed(0)
    model = MaskedTransformer(ModelConfig(3, 8, 16, 1, 2, attention="causal")).eval()
    model.head.weight.data.zero_()
    model.head.bias.data.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    tokens = pymdm.sample(model, num_samples=2500, length=8, seed=3).tokens
    counts = np.bincount(tokens.flatten().numpy(), minlength=3)
    expected = 20_000 * np.array([0.5, 0.3, 0.2])
    assert ((counts - expected) ** 2 / expected).sum() < 41.4  # chi-square, 2 degrees: p = 1e-9
