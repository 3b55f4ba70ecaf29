"""`pymdm sample` with FASTA and SMILES files and allowed sets, on small random encoders."""

import json

import pytest
import torch
from helpers.command_line import run, run_json

import pymdm

transformers = pytest.importorskip("transformers", reason="the small model is transformers' BERT")
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=25, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=40, pad_token_id=0,
    )  # fmt: skip
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *RESIDUES]))
    return folder


def test_fasta_in_and_out(model, tmp_path):
    (tmp_path / "x.fasta").write_text(">one\nEVQL[MASK:4]\nWY\n>two\nAC[MASK]\n")
    result = run("sample", model, "--prompt-file", tmp_path / "x.fasta", "--format", "fasta", "-n", 2, "--seed", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines[::2]] == [">one_0", ">one_1", ">two_0", ">two_1"]
    assert all("law=" in line and "seed=3" in line for line in lines[::2])
    assert [len(line) for line in lines[1::2]] == [10, 10, 3, 3] and lines[1].startswith("EVQL")
    assert lines[1].endswith("WY") and set("".join(lines[1::2])) <= set(RESIDUES)


def test_prompts_and_allowed_sets(model, tmp_path):
    (tmp_path / "x.smi").write_text("ACD first\nEF second\n")
    (tmp_path / "a.json").write_text(json.dumps({"5": [7], "6": [8, 9]}))  # [CLS] is position 0
    more = ("--prompt-file", tmp_path / "x.smi", "--length", 8, "--allowed", tmp_path / "a.json", "--seed", 1)
    out = run_json("sample", model, *more)
    assert out["law"] == "truncated"
    texts = [s["text"].replace(" ", "") for s in out["samples"]]
    assert texts[0].startswith("ACD") and texts[1].startswith("EF") and {len(t) for t in texts} == {8}
    assert all(t[4] == RESIDUES[2] and t[5] in (RESIDUES[3], RESIDUES[4]) for t in texts)
    (tmp_path / "a.json").write_text(json.dumps({"5": "D", "6": "EF"}))  # ids 7, 8 and 9 by their letters
    assert run_json("sample", model, *more)["samples"] == out["samples"]
    lines = run("sample", model, *more, "--format", "smiles").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["first_0", "second_0"]


def test_the_default_length_leaves_room_for_the_frame(model):
    """40 positions, of which [CLS] and [SEP] take two; what must be known of such a model is printed."""
    result = run("sample", model, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.strip()) == 38 and "\nnote: trained with few masks" in result.stderr


def test_lengths_are_drawn_from_those_of_a_file(model, tmp_path):
    (tmp_path / "family.fasta").write_text(">a\nACD\n>b\nEFG\n>c\nEVQLW\n")
    out = run_json("sample", model, "--lengths", tmp_path / "family.fasta", "-n", 12, "--seed", 5)
    lengths = [len(s["text"]) for s in out["samples"]]
    same = pymdm.sample(pymdm.load(model), length={3: 2, 5: 1}, num_samples=12, seed=5)
    assert set(lengths) == {3, 5} and lengths == [len(t) - 2 for t in same.tokens]
    assert [s["tokens"] for s in out["samples"]] == [t.tolist() for t in same.tokens]


def test_every_tokens_step_and_probability_are_in_the_json(model):
    out = run_json("sample", model, "--infill", "AC[MASK:3]D", "--seed", 5)["samples"][0]
    want = pymdm.sample(pymdm.load(model), infill="AC[MASK:3]D", seed=5)[0]
    assert out["rank"] == want.rank.tolist() and sorted(out["rank"])[-3:] == [0, 1, 2]
    assert [p is None for p in out["log_prob"]] == [r < 0 for r in out["rank"]]
    assert [p for p in out["log_prob"] if p is not None] == want.log_prob[want.rank >= 0].tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prompt-file", "x.fasta", "--prompt", "A"], "give one of them"),
        (["--prompt-file", "none.fasta"], "cannot read"),
        (["--prompt-file", "x.fasta"], "all or none"),
        (["--format", "pdb"], "must be one of text, fasta, smiles"),
        (["--lengths", "x.fasta", "--length", "4"], "--lengths stands for --length"),
        (["--lengths", "none.fasta"], "lengths: cannot read"),
        (["--tokenizer", "nowhere"], "no tokenizer in nowhere"),
        (["--allowed", "bad.json", "--length", "4"], "must map positions"),
        (["--allowed", "none.json", "--length", "4"], "cannot read"),
    ],
)
def test_bad_files_are_one_line(model, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.fasta").write_text(">a\nAC[MASK]\n>b\nAC\n")
    (tmp_path / "bad.json").write_text("[1]")
    result = run("sample", model, *options)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
