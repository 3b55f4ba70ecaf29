"""The README's two lines for each network that keeps what it has seen, and all that its checkpoint is then good for."""

import json

import pytest
import torch
from helpers.command_line import run, run_json

import pymdm
from pymdm.network.describe import kept_bytes

SIZE = "--vocab char --length 32 --width 16 --layers 1 --heads 2 --batch-size 4 --threads 1 --eval-every 0".split()
OBJECTIVES = {
    "any-order": ["--objective", "any-order"],
    "block": ["--objective", "block", "--block-length", "4"],
    "autoregressive": ["--objective", "autoregressive"],
}


@pytest.fixture(scope="module", params=OBJECTIVES)
def made(request, tmp_path_factory):
    """(objective, its folder after 4 steps, the text, the folder of 2 steps and then 2 more)."""
    folder = tmp_path_factory.mktemp("kept")
    text = folder / "text.txt"
    text.write_text("".join(f"Line {i} of the notes says that {i} and {i} make {2 * i}.\n\n" for i in range(90)))
    options = [*SIZE, *OBJECTIVES[request.param]]
    whole, cut = folder / "whole", folder / "cut"
    first = run("train", text, "--out", whole, "--steps", "4", *options)
    assert first.exit_code == 0, first.output
    assert ("exact" if request.param == "autoregressive" else "bound") in first.stdout
    assert run("train", text, "--out", cut, "--steps", "2", *options).exit_code == 0
    again = run("train", "--out", cut, "--steps", "4", "--resume")
    assert again.exit_code == 0, again.output
    return request.param, whole, text, cut


def test_info_says_what_it_keeps(made):
    objective, folder, _, _ = made
    facts = run_json("info", folder)
    kinds = {"any-order": "any-order", "block": "block of 4", "autoregressive": "causal"}
    assert facts["attention"] == kinds[objective]
    assert facts["bytes_kept"] == kept_bytes(pymdm.load(folder).config, "float32") == 2 * (8 + 16) * 64 * 4
    shown = run("info", folder)
    assert f"bytes kept    {facts['bytes_kept']:,}" in shown.stdout


def test_samples_prompts_and_holes(made):
    objective, folder, _, _ = made
    drawn = run_json("sample", folder, "--length", "20", "--seed", "1", "-n", "3")
    assert drawn["law"] == "exact" and all(s["nfe"] == 20 for s in drawn["samples"])
    ahead = run_json("sample", folder, "--length", "20", "--seed", "1", "-n", "3", "--lookahead", "4")
    assert [s["tokens"] for s in ahead["samples"]] == [s["tokens"] for s in drawn["samples"]]
    small = run_json("sample", folder, "--length", "20", "--seed", "1", "-n", "3", "--batch-size", "1")
    assert [s["tokens"] for s in small["samples"]] == [s["tokens"] for s in drawn["samples"]]
    prompted = run_json("sample", folder, "--prompt", "Line 7", "--length", "20", "--seed", "1")
    assert prompted["samples"][0]["text"].startswith("Line 7") and prompted["samples"][0]["nfe"] == 14
    holes = run("sample", folder, "--infill", "Line [MASK:3] of the notes", "--seed", "1", "--json")
    if objective == "autoregressive":
        assert holes.exit_code == 2 and holes.stderr.count("\n") == 1
        assert "so only a prefix may be given; sequence 0 has a token at position 8, after a hole" in holes.stderr
    else:
        (sample,) = json.loads(holes.stdout)["samples"]
        assert sample["nfe"] == 3 and len(sample["tokens"]) == 21
        kept = pymdm.load(folder).tokenizer.encode("Line  of the notes")
        assert [*sample["tokens"][:5], *sample["tokens"][8:]] == kept


def test_the_law_that_is_printed_is_that_of_the_blocks_that_run(made):
    objective, folder, _, _ = made
    fewer = run("sample", folder, "--length", "16", "--nfe", "4", "--seed", "1")
    assert fewer.exit_code == 0, fewer.output
    law, calls = {"any-order": ("approximate", 4), "block": ("approximate", 4), "autoregressive": ("exact", 16)}[
        objective
    ]
    assert f"law {law}, {calls} network calls" in fewer.stderr
    refused = run("sample", folder, "--length", "16", "--sampler", "ancestral")
    assert refused.exit_code == 2 and "is sampled by FirstHitting" in refused.stderr


def test_it_is_evaluated_with_its_samples(made):
    objective, folder, _, _ = made
    found = run_json("evaluate", folder, "--windows", "4", "--samples", "2", "--judge", "ngram:3", "--length", "12")
    assert found["likelihood"]["kind"] == ("exact" if objective == "autoregressive" else "bound")
    passes = {"any-order": "8 orders a sequence", "block": "8 draws of masks in every block a sequence"}
    assert found["likelihood"].get("counts") == passes.get(objective)
    if objective in passes:
        refused = run("evaluate", folder, "--exact")
        assert refused.exit_code == 2 and "does not sample from" in refused.stderr
    assert any(row["sampler"].get("law") == "exact" for row in found["generation"]["generations"])
    compared = run_json("compare", folder, "--rounds", "2", "--samples", "2", "--length", "8", "--windows", "2")
    first = compared["samplers"][0]
    assert (first["certificate_nats"] is not None) == (objective == "any-order")
    assert first["law"] == ("exact" if objective == "autoregressive" else "approximate")


def test_a_certificate_where_there_is_one(made):
    objective, folder, text, _ = made
    found = run("schedule", folder, "--text", text, "--length", "12", "--calls", "4", "--windows", "4", "--json")
    if objective == "any-order":
        assert sum(json.loads(found.stdout)["tokens_per_call"]) == 12
    else:
        assert found.exit_code == 2 and "pymdm: schedule: " in found.stderr and found.stderr.count("\n") == 1


def test_a_stopped_training_goes_on_to_the_same_samples(made):
    _, whole, _, cut = made
    one, two = (pymdm.load(folder) for folder in (whole, cut))
    assert one.training["steps"] == two.training["steps"] == 4
    assert all(pymdm.sample(m, length=9, seed=2).law == "exact" for m in (one, two))


def test_a_stopped_sampling_goes_on_in_the_folder(made):
    _, folder, _, _ = made
    whole = pymdm.sample(folder, length=20, num_samples=2, seed=1)
    cut = pymdm.sample(folder, length=20, num_samples=2, seed=1, max_calls=7)
    assert int(cut.state.remaining.sum()) == 26
    assert torch.equal(pymdm.resume(folder, cut.state.to_dict()).tokens, whole.tokens)
