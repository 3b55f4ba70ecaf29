"""Figures of diversity and repetition against values by hand and a plain recursion."""

import json
from functools import cache

import numpy as np
import pytest
from helpers.command_line import run, run_json

from pymdm.evaluate import diversity as d


def distance(a, b):
    """Levenshtein's recursion."""

    @cache
    def of(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return of(len(a), len(b))


def test_identities_are_those_of_the_recursion():
    rng = np.random.default_rng(3)
    rows = ["".join(rng.choice(list("ABC"), size=rng.integers(0, 9))) for _ in range(12)]
    want = [1 - distance(a, b) / max(len(a), len(b), 1) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    assert np.allclose(d.identities(rows), want, rtol=0, atol=1e-15) and len(want) == 66


def test_longest_repeats_are_those_of_every_pair_of_places():
    rng = np.random.default_rng(4)
    for _ in range(60):
        row = "".join(rng.choice(list("AB"), size=rng.integers(0, 14)))
        starts = [(i, j) for i in range(len(row)) for j in range(i)]
        want = max((next(n for n in range(len(row) + 1) if row[i + n : i + n + 1] != row[j + n : j + n + 1]
                         or i + n == len(row)) for i, j in starts), default=0)  # fmt: skip
        assert d.longest_repeat(row) == want, row


def test_the_figures_of_a_small_set():
    found = d.figures(["MKTAY", "MKTAY", "M K T A W", "AAAAA"], "fasta")
    assert found == {
        "units": "residues",
        "sequences": 4,
        "distinct": 3,
        "distinct_n": {"1": 6 / 20, "2": 6 / 16, "3": 5 / 12},
        "identity": pytest.approx((1 + 0.8 + 0.2 + 0.8 + 0.2 + 0.2) / 6),
        "pairs": 6,
        "longest_run": 5,
        "longest_repeat": 4,
        "mean_repeat": 1.0,
        "repetition4": pytest.approx(0.5 / 4),
    }
    alone = d.figures(["a"], "text")
    assert alone["identity"] is None and alone["pairs"] == 0 and alone["distinct_n"]["2"] is None
    assert "pairwise identity    -" in "\n".join(d.lines(alone))


def test_units_are_those_of_the_form():
    assert d.units("It is, so", "text") == ["It", "is", ",", "so"]
    assert d.units("C[nH]Br%12", "smiles") == ["C", "[nH]", "Br", "%12"]
    with pytest.raises(ValueError, match="one of text, fasta, smiles"):
        d.figures(["a"], "pdb")
    with pytest.raises(ValueError, match="at least one"):
        d.diversity([])


def test_many_or_long_sequences_are_compared_in_part(monkeypatch):
    monkeypatch.setattr(d, "CELLS", 1 << 10)
    found = d.diversity([f"{i:04}" for i in range(60)])  # 16 cells a pair
    assert found["pairs"] == 11 * 10 // 2 and found["distinct"] == 60
    assert d.diversity(["a" * 100, "b" * 100, "c" * 100])["pairs"] == 1  # one pair at least
    far = d.diversity(["a" * 102, "b" * 102])
    assert far["pairs"] == 0 and far["identity"] is None and far["longest_repeat"] == 101


def test_a_long_text_takes_no_square_of_memory():
    words = np.random.default_rng(5).integers(0, 1 << 40, size=40_000).tolist()
    words[30_000:33_000] = words[1_000:4_000]
    assert d.longest_repeat(words) == 3_000


def test_the_command_line_measures_files(tmp_path):
    (tmp_path / "x.fasta").write_text(">a\nMKTAY\n>b\nMKTAY\n>c\nMKTAW\n")
    (tmp_path / "x.smi").write_text("CCl first\nCBr second\n")
    (tmp_path / "x.txt").write_text("one two\none three\n")
    found = run_json("evaluate", "--diversity", tmp_path / "x.fasta")
    assert found == d.figures(["MKTAY", "MKTAY", "MKTAW"], "fasta")
    assert run_json("evaluate", "--diversity", tmp_path / "x.smi") == d.figures(["CCl", "CBr"], "smiles")
    assert run_json("evaluate", "--diversity", tmp_path / "x.txt") == d.figures(["one two", "one three"], "text")
    shown = run("evaluate", "--diversity", tmp_path / "x.fasta")
    assert shown.exit_code == 0 and shown.stdout.splitlines() == d.lines(found)


def test_the_figures_of_what_was_sampled():
    options = ("sample", "--num-samples", 3, "--length", 12, "--seed", 1, "--stats")
    out = run_json(*options)
    assert out["stats"] == d.figures([s["text"] for s in out["samples"]], "text")
    shown = run(*options)
    assert shown.exit_code == 0 and all(line in shown.stderr for line in d.lines(out["stats"]))
    assert "distinct" not in shown.stdout and "stats" not in run_json(*options[:-1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--diversity", "none.fasta"], "cannot read none.fasta"),
        (["--diversity", "x.fasta", "--samples", "4"], "goes with no other option but --json"),
        (["a-model", "--diversity", "x.fasta"], "goes with no other option but --json"),
    ],
)
def test_bad_calls_are_one_line(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.fasta").write_text(">a\nMK\n")
    result = run("evaluate", *options)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1


def test_json_is_plain():
    json.dumps(d.figures(["a b a b"], "text"))
