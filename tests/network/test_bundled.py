"""The models in the package, by name: which they are, what they claim, and that a name is taken wherever a folder is."""

import pytest
from helpers.command_line import run, run_json

import pymdm
from pymdm.bundled import FOLDERS, bundled_path
from pymdm.network.checkpoint import load_checkpoint


def test_the_default_is_the_any_order_one_and_the_other_sees_both_ways():
    assert [pymdm.load(name).config.attention for name in (None, *FOLDERS)] == [
        "any-order",
        "any-order",
        "bidirectional",
    ]
    assert [pymdm.load(name).name for name in (None, "bundled", *FOLDERS)] == ["bundled:any-order"] * 3 + [
        "bundled:masked"
    ]
    one, other = (load_checkpoint(name) for name in FOLDERS)
    assert one.training["parameters"] == other.training["parameters"]
    assert one.training["corpus"]["sha256"] == other.training["corpus"]["sha256"]
    assert one.training["held_out"]["interval95"][1] < other.training["held_out"]["interval95"][0]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_bits_that_it_claims_are_those_of_its_held_out_text(name):
    """Half of its windows, a few draws: within 4 standard errors of the draws, 0.012 bits, of what the whole text costs."""
    found = run_json("evaluate", name, "--windows", 32, "--draws", 4)
    assert found["run"]["checkpoint"]["name"] == name
    claimed = load_checkpoint(name).training["held_out"]["bits_per_char"]
    assert abs(found["likelihood"]["bits_per_char"] - claimed) < 0.05


def test_a_name_is_taken_wherever_a_folder_is(tmp_path):
    out = pymdm.sample("bundled:masked", length=8, seed=1, sampler=pymdm.Remask(8))
    found = run_json("sample", "bundled:masked", "--length", 8, "--seed", 1, "--sampler", "remask:8")
    assert [sample["text"] for sample in found["samples"]] == out.text
    assert run_json("info", "bundled:any-order")["attention"] == "any-order"
    tuned = pymdm.train(init_from="bundled:masked", steps=1, batch_size=2, eval_tokens=256, out=tmp_path / "tuned")
    assert tuned.config.attention == "bidirectional"


@pytest.mark.parametrize("command", ["sample", "evaluate", "info", "export", "compare", "schedule"])
def test_a_wrong_name_is_one_line_with_the_right_ones(command, tmp_path):
    extra = ["--out", tmp_path / "out"] if command == "export" else []
    refused = run(command, "bundled:any", *extra)
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert "the models in the package are bundled:any-order and bundled:masked, got 'bundled:any'" in refused.stderr


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled").symlink_to(bundled_path("bundled:masked"))
    assert pymdm.load("bundled").config.attention == "bidirectional"
    assert pymdm.load().config.attention == "any-order"


def test_a_sampler_that_it_does_not_go_with_is_refused_by_naming_the_one_it_goes_with():
    refused = run("sample", "--length", 8, "--sampler", "remask:8")
    assert refused.exit_code == 2 and "bundled:masked" in refused.stderr and refused.stderr.count("\n") == 1
