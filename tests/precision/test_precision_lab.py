"""The experiment, the report and the command, on a tiny model."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.pictures import watched

import pymdm
from pymdm.evaluate.judges import NGramJudge
from pymdm.evaluate.metrics import token_entropy
from pymdm.network.checkpoint import save_checkpoint
from pymdm.precision import lab
from pymdm.precision.caps import cap_of_bits
from pymdm.precision.experiment import experiment, masks_left
from pymdm.precision.findings import ALPHA, findings
from pymdm.precision.report import html_page, markdown
from pymdm.precision.tables import audit_table, audit_verdict, facts, tables
from pymdm.precision.theory import ancestral_run, zipf
from pymdm.precision.zipf import known_law

TEXT = "the cat sat on the mat. " * 400
TINY = lab.Preset((4, 16), 3, 12, (8,), 2, 4, ("torch.rand, float32",))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Random weights over the characters of TEXT."""
    torch.manual_seed(0)
    tokenizer = pymdm.Tokenizer.train([TEXT], "char")
    config = pymdm.ModelConfig(vocab_size=tokenizer.size, length=16, width=32, layers=1, heads=2)
    path = tmp_path_factory.mktemp("lab") / "model"
    save_checkpoint(path, config, pymdm.MaskedTransformer(config).state_dict(), tokenizer, {}, None)
    return path


@pytest.fixture(scope="module")
def result(checkpoint):
    """A whole result, small."""
    patch = pytest.MonkeyPatch()
    patch.setattr(lab, "ZIPF_VOCAB", 500)
    patch.setattr(lab, "known_law", lambda **options: known_law(vocab_size=500, **options))
    patch.setattr(lab, "audit_source", lambda f, kind, name: _small_audit(f, kind, name))
    said = []
    try:
        found = lab.run(
            pymdm.load(checkpoint),
            judges=[NGramJudge(TEXT, 3)],
            preset=TINY,
            held_out=TEXT,
            seed=3,
            progress=said.append,
        )
    finally:
        patch.undo()
    assert len(said) > 12
    return found | {"command": "pymdm precision", "model": "tiny <one>"}


def _small_audit(function, kind, name):
    from pymdm.precision.audit import audit_source

    return audit_source(function, kind, name=name, draws=1 << 16)


def test_every_run_has_its_own_addresses_and_shapes(checkpoint):
    model = pymdm.load(checkpoint)
    runs = experiment(model, judges=[NGramJudge(TEXT, 3)], steps=(8, 2), samples=4, length=10, held_out=TEXT, seed=1)
    assert [r.sampler for r in runs] == ["text"] + ["first-hitting"] * 4 + ["ancestral"] * 6
    assert [r.steps for r in runs[5:]] == [2, 2, 2, 8, 8, 8]
    ids = [i for r in runs[1:] for i in r.sequence_ids]
    assert len(ids) == len(set(ids)) == 40
    for one in runs:
        values = one.to_dict()
        scores = values["scores"]["3-gram"]
        low, high = values["entropy_interval95"]
        assert low <= values["entropy_mean"] <= high and values["entropy_mean"] == pytest.approx(np.mean(one.entropy))
        assert scores["interval95"][0] <= scores["bits_per_char"] <= scores["interval95"][1]
        assert len(one.entropy) == len(scores["nats"]) and all(0 <= e <= np.log(10) + 1e-9 for e in one.entropy)
        if one.sampler != "text":
            assert one.masks[0] == 1 and one.masks[-1] == 0 and all(np.diff(one.masks) <= 0)
    again = experiment(model, judges=[], steps=(8,), samples=4, length=10, noises=("float32",), seed=1)
    first = pymdm.sample(model, num_samples=4, length=10, seed=1, sequence_ids=range(4))
    assert again[0].entropy == [token_entropy(t) for t in first.tokens]  # the samples that `sample` gives


def test_the_experiment_rejects_sizes_that_say_nothing(checkpoint):
    for options in ({"samples": 1}, {"length": 1}, {"steps": ()}, {"steps": (0,)}):
        with pytest.raises(ValueError, match="precision: the experiment needs"):
            experiment(pymdm.load(checkpoint), judges=[], **options)


def test_masks_left_of_a_first_hitting_run_is_time():
    times = torch.rand(20_000, generator=torch.Generator().manual_seed(1))
    assert masks_left(times) == pytest.approx([1 - i / 20 for i in range(21)], abs=0.02)


@pytest.mark.parametrize("samples", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_samples_follow_their_known_law(samples):
    """float32 noise gives the law of Proposition 5.2 and not the exact one; 64-bit noise the exact one."""
    options = {"vocab_size": 50_257, "steps": [256], "noises": ("float32", "float64"), "samples": samples, "length": 32}
    known = {(k.sampler, k.noise): k for k in known_law(seed=2, **options)}
    assert len(known) == 4
    for k in known.values():
        assert abs(k.z_nats) < 5.5 and abs(k.z_half) < 5.5, k  # p < 1e-6 for all together
    coarse, fine = known["ancestral", "float32"], known["ancestral", "float64"]
    assert coarse.expected_nats < coarse.exact_nats - 0.5
    if samples > 2:  # enough to tell the two laws apart
        assert (coarse.exact_nats - coarse.nats) / coarse.nats_error > 3 and coarse.half > 0.55
    run = ancestral_run(zipf(50_257), 256, cap_of_bits(24), lattice_bits=24)
    assert coarse.expected_half == pytest.approx(float(run.masks[128])) and fine.expected_half == pytest.approx(0.5)
    assert fine.expected_nats == pytest.approx(fine.exact_nats, abs=1e-6)


def test_findings_tell_runs_that_differ_from_runs_that_do_not(result, checkpoint):
    model = pymdm.load(checkpoint)
    runs = experiment(model, judges=[NGramJudge(TEXT, 3)], steps=(2, 8), samples=8, length=16, seed=1)
    same = findings(runs)
    assert len(same) == 10 and {f.measure for f in same} == {"entropy", "3-gram"}
    assert {f.verdict for f in same if not f.fall} == {"yes"} and "yes" not in {f.verdict for f in same if f.fall}
    assert all(f.level == pytest.approx(ALPHA / 12) for f in same)
    assert all(f.verdict == "yes" for f in findings(_colder(runs, 2, 0.5)))
    warmer = findings(_colder(runs, -2, 1.5))
    assert {f.verdict for f in warmer if f.fall} == {"NO"} and {f.verdict for f in warmer if not f.fall} == {"yes"}
    third = [replace(r, entropy=[e + 2 for e in r.entropy]) if r.noise == "truncated" else r for r in runs]
    assert [f.verdict for f in findings(third) if not f.fall and f.measure == "entropy"] == ["NO", "yes", "NO"]


def test_a_difference_and_its_error_are_those_of_the_sequences(result, checkpoint):
    runs = experiment(pymdm.load(checkpoint), judges=[], steps=(4,), samples=9, length=16, seed=2)
    by = {(r.sampler, r.noise): np.array(r.entropy) for r in runs}
    down = next(f for f in findings(runs) if f.fall)
    both, fine = np.concatenate([by["ancestral", k] for k in ("float32", "truncated")]), by["ancestral", "float64"]
    assert down.gaps[-1].difference == pytest.approx(both.mean() - fine.mean())
    assert down.gaps[-1].error == pytest.approx(np.hypot(both.std(ddof=1) / 18**0.5, fine.std(ddof=1) / 3))


def _colder(runs, nats, factor):
    """The runs, with capped noise at N = 8 moved."""
    return [
        replace(r, entropy=[e - nats for e in r.entropy], scores={n: _times(s, factor) for n, s in r.scores.items()})
        if (r.sampler, r.steps) == ("ancestral", 8) and r.noise != "float64"
        else r
        for r in runs
    ]


def _times(scores, factor):
    return replace(scores, nats=scores.nats * factor)


def test_a_result_is_json_and_its_reports_are_whole(result, monkeypatch):
    result, pictures = json.loads(json.dumps(result)), watched(monkeypatch)
    page, text = html_page(result), markdown(result)
    assert not any(pictures), pictures
    for word in (
        "held-out text",
        "first-hitting",
        "truncated",
        "Caps",
        "16.6355",
        "replay-data",
        "<svg",
        result["command"],
    ):
        assert word in page
    assert page.count("<svg") >= 6 and "tiny &lt;one&gt;" in page and "tiny <one>" not in page
    for title in (
        "What the paper reports, here",
        "Samples of the model",
        "Samples beside their law",
        "Audit of random",
    ):
        assert title in page and title in text
    assert result["runs"][1]["texts"][0] in text or result["runs"][1]["texts"][0].strip()[:5] in page
    assert "| 3 |" not in text.splitlines()[0] and text.startswith("# ")


def test_the_page_fetches_nothing(result):
    page = html_page(result)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?!#|data:)[^"'\s>]""", page.replace("xlink:href", "href"))
    assert not re.search(r"@import|url\(\s*[\"']?(?!#)", page)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names of XML, never fetched


def test_the_replay_shows_one_sequence_twice(result):
    replay = result["replay"]
    assert [p["name"] for p in replay["panels"]] == ["exact noise", "noise truncated at the 32-bit cap"]
    for panel in replay["panels"]:
        assert len(panel["tokens"]) == len(panel["times"]) == TINY.length
        assert all(str(t) in replay["pieces"] for t in panel["tokens"])
    assert replay["panels"][0] == replay["panels"][1] | {"name": "exact noise"}  # V is tiny: the cap never shows


def test_the_command_writes_what_it_was_told(result, checkpoint, tmp_path):
    saved = tmp_path / "result.json"
    saved.write_text(json.dumps(result))
    done = run(
        "precision", "--from", saved, "--report", tmp_path / "a" / "r.html", "--markdown", tmp_path / "r.md", "--json"
    )
    assert done.exit_code == 0 and json.loads(done.stdout) == json.loads(saved.read_text())
    assert (tmp_path / "a" / "r.html").read_text() == html_page(json.loads(saved.read_text()))
    assert (tmp_path / "r.md").read_text().count("## ") == 8
    shown = run("precision", "--from", saved)
    assert shown.exit_code == 0 and "Caps" in shown.stdout and "Command: pymdm precision" in shown.stdout


def test_the_command_measures(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "QUICK", replace(TINY, sources=()))
    monkeypatch.setattr(lab, "known_law", lambda **options: known_law(vocab_size=50, **options))
    monkeypatch.setattr(lab, "ZIPF_VOCAB", 50)
    (tmp_path / "text.txt").write_text(TEXT)
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(3, 40)))
    options = ["--model", checkpoint, "--corpus", tmp_path / "text.txt", "--logits", tmp_path / "mine.npy"]
    done = run("precision", *options, "--judge", "ngram:2", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [p["name"] for p in found["predictions"]] == ["Zipf", "this model", "mine.npy"]
    assert found["judges"][0]["name"] == "2-gram" and "--logits mine.npy" in found["command"]
    assert "[1/10]" in done.stderr and "caps by enumeration" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nothing"], "nothing"),
        (["--seed", -1], "seed"),
        (["--judge", "gpt"], "judge"),
        (["--logits", "nothing.npy"], "no file nothing.npy"),
        (["--from", "nothing.json"], "nothing.json"),
        (["audit", "--from", "nothing.json"], "nothing.json"),
        (["audit", "torch:nothing"], "expected module:function"),
        (["audit", "torch:rand", "--kind", "normal"], "kind must be one of"),
        (["audit", "torch:rand", "--kind", "uniform", "--draws", 3], "draws must be at least"),
    ],
)
def test_bad_options(arguments, words, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    corpus = [] if arguments[0] == "audit" else ["--corpus", text]
    done = run("precision", *corpus, *arguments)
    assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_audit_says_with_its_exit_code_what_it_found(tmp_path, monkeypatch):
    (tmp_path / "mine_lab.py").write_text(
        "import torch\ndef coarse(n):\n    return torch.randint(0, 4096, (n,)).float() / 4096\ndef fine(n):\n"
        "    return torch.rand(n, dtype=torch.float64)\n"
    )
    monkeypatch.chdir(tmp_path)
    bad = run("precision", "audit", "mine_lab:coarse", "--kind", "uniform", "--draws", 1 << 18, "--json")
    assert bad.exit_code == 1 and json.loads(bad.stdout)["audits"][0]["verdict"] == "capped"
    good = run("precision", "audit", "mine_lab:fine", "--kind", "uniform", "--draws", 1 << 18)
    assert good.exit_code == 0 and "too few draws to see a cap above 9.8" in good.stdout
    every = run("precision", "audit", "--draws", 1 << 16, "--json")
    assert every.exit_code == 0 and len(json.loads(every.stdout)["audits"]) > 15
    saved = tmp_path / "audit.json"
    saved.write_text(bad.stdout)
    again = run("precision", "audit", "--from", saved, "--markdown", tmp_path / "noise_audit.md", "--json")
    assert again.exit_code == 1 and json.loads(again.stdout) == json.loads(bad.stdout)
    text = (tmp_path / "noise_audit.md").read_text()
    assert "CAPPED | mine_lab:coarse" in text and "mine_lab:coarse --kind uniform --draws 262144" in text


def test_the_pages_link_each_other_where_both_are(result, tmp_path):
    saved, audit = tmp_path / "result.json", tmp_path / "audit.json"
    saved.write_text(json.dumps(result))
    audit.write_text(json.dumps(result | {"audits": [a | {"yours": False} for a in result["audits"]]}))
    pages = tmp_path / "noise.md", tmp_path / "noise_audit.md"
    run("precision", "--from", saved, "--markdown", pages[0])
    assert "`pymdm precision audit`" in pages[0].read_text() and "_audit.md" not in pages[0].read_text()
    run("precision", "audit", "--from", audit, "--markdown", pages[1])
    run("precision", "--from", saved, "--markdown", pages[0])
    assert "[noise_audit.md](noise_audit.md)" in pages[0].read_text() and "[noise.md](noise.md)" in pages[1].read_text()


def test_no_word_is_folded_at_80_columns(result, tmp_path, monkeypatch):
    """Every word that `precision` and `precision audit` print is a whole word of their tables, and no line is longer."""
    saved, audit = tmp_path / "result.json", tmp_path / "audit.json"
    saved.write_text(json.dumps(result))
    audit.write_text(json.dumps(result | {"audits": [a | {"yours": False} for a in result["audits"]]}))
    audits = [audit_table(result["audits"])]
    for command, parts in ((("--from", saved), tables(result)), (("audit", "--from", audit), audits)):
        monkeypatch.setenv("COLUMNS", "80")
        printed = run("precision", *command).stdout
        assert max(map(len, printed.splitlines())) <= 80
        told = [text for t in parts for text in (t.title, t.text, *t.head, *(cell for row in t.rows for cell in row))]
        told += [*facts(result), *(f"{a['name']}: {audit_verdict(a)}" for a in result["audits"])]
        words = {word.rstrip(",:") for text in told for word in text.split()}
        shown = {word.rstrip(",:") for word in re.sub("[\u2500-\u257f]", " ", printed).split()}
        assert shown <= words, shown - words


def test_both_commands_show_an_example():
    assert "Example: pymdm precision --report" in run("precision", "--help").stdout
    assert "Example: pymdm precision audit" in run("precision", "audit", "--help").stdout
    assert "precision" in run("--help").stdout
