"""Samplers side by side: what is counted is what ran, and certificates are those of the sizes that ran."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.command_line import run
from helpers.pictures import watched

import pymdm
from pymdm.evaluate.call_sizes import excess
from pymdm.evaluate.compare import certificate
from pymdm.evaluate.judges import load_judge
from pymdm.evaluate.schedule import Information
from pymdm.sampling.samplers import parse_sampler

CURVE = np.linspace(3.0, 1.0, 16) ** 2
INFORMATION = Information(np.arange(16), np.stack([CURVE, CURVE]), 16, "a curve")


@pytest.fixture(scope="module")
def found():
    judge = load_judge("ngram:3", "a little text to count. " * 40)
    names = [
        "first-hitting",
        "first-hitting:order=2",
        "ancestral",
        "confidence:margin",
        pymdm.FirstHitting(lookahead=4),
    ]
    return pymdm.compare(
        "bundled:masked", names, judges=[judge], rounds=4, num_samples=3, length=16, information=INFORMATION, seed=5
    )


def test_each_row_is_the_run_of_its_sampler(found):
    for result in found.results:
        out = pymdm.sample(pymdm.load("bundled:masked"), num_samples=3, length=16, seed=5, sampler=result.sampler)
        assert list(result.generation.texts) == out.text
        assert (result.rounds, result.calls, result.rows) == (out.rounds, out.calls, out.rows)
    assert [r.rounds for r in found.results[:4]] == [4, 4, 4, 4]
    exact = pymdm.sample(pymdm.load("bundled:masked"), num_samples=3, length=16, seed=5)
    assert list(found.results[4].generation.texts) == exact.text


def test_certificates_are_of_the_sizes_that_ran(found):
    first, second, ancestral, margin, exact = found.results
    assert first.certificate == pytest.approx(excess(CURVE, (4, 4, 4, 4)))
    assert exact.certificate == pytest.approx(0.0, abs=1e-12)
    assert second.certificate is None and margin.certificate is None
    out = pymdm.sample(pymdm.load("bundled:masked"), num_samples=3, length=16, seed=5, sampler=pymdm.Ancestral(steps=4))
    sizes = [np.unique(-times.numpy(), return_counts=True)[1].tolist() for times in out.times]
    assert all(sum(s) == 16 and len(s) <= 4 for s in sizes)
    assert ancestral.certificate == pytest.approx(np.mean([excess(CURVE, s) for s in sizes]))
    tempered = pymdm.sample(pymdm.load("bundled:masked"), num_samples=2, length=16, seed=5, temperature=0.5)
    assert certificate(tempered, INFORMATION) is None  # the curve is of the law at temperature 1


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("first-hitting", pymdm.FirstHitting(tokens_per_call=4)),
        ("first-hitting:1", pymdm.FirstHitting()),
        ("first-hitting:(1,2)", pymdm.FirstHitting(tokens_per_call=(1, 2))),
        ("first-hitting:order=2", pymdm.FirstHitting(tokens_per_call=4, order=2)),
        ("ancestral", pymdm.Ancestral(steps=4)),
        ("ancestral:9", pymdm.Ancestral(steps=9)),
        ("ancestral:form=literal", pymdm.Ancestral(steps=4, form="literal")),
        ("remask:strategy=loop", pymdm.Remask(steps=4, strategy="loop")),
        ("remask:steps=7,eta=0.1", pymdm.Remask(steps=7, eta=0.1)),
        ("confidence", pymdm.Confidence(tokens_per_call=4)),
        ("confidence:margin,tokens_per_call=2", pymdm.Confidence("margin", tokens_per_call=2)),
    ],
)
def test_names_that_leave_the_rounds_open_get_them(name, sampler):
    assert parse_sampler(name, calls=4, tokens=16) == sampler


def test_table_and_picture(found, tmp_path, monkeypatch):
    table = found.table()
    assert [row[0] for row in table.rows][1] == "first-hitting: order=2"
    assert len({len(row) for row in table.rows} | {len(table.head)}) == 1
    pictures = watched(monkeypatch)
    found.draw(tmp_path / "a.png")
    assert pictures == [[]]
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_table_fits_80_columns(found):
    from rich.console import Console

    from pymdm.report.table import show

    screen = Console(width=80, record=True, highlight=False)
    show(found.table(), screen)
    lines = screen.export_text().splitlines()
    assert max(map(len, lines)) <= 80 and any("┃" in line and "rounds" in line for line in lines)


def test_it_shows_itself_and_counts_a_judge_on_the_models_own_text(tmp_path):
    (tmp_path / "notes.txt").write_text(
        "".join(f"the {a} cat sat on the {b} mat.\n\n" for a in range(30) for b in range(8))
    )
    size = {"vocab": "char", "length": 16, "width": 16, "layers": 1, "heads": 2, "batch_size": 4}
    model = pymdm.train(tmp_path / "notes.txt", steps=2, **size)
    both = pymdm.compare(model, ["first-hitting", pymdm.Ancestral(4)], rounds=4, num_samples=2, seed=1)
    assert both.judge == "5-gram" and [r.name for r in both.results] == ["first-hitting", "ancestral:4"]
    bits = both.results[0].generation.scores["5-gram"].bits
    first, second = repr(both).splitlines()
    assert first == "Comparison(2 samplers, 2 samples of 16 tokens each, bits per character under 5-gram)"
    assert second.startswith(f"first-hitting {bits.short}, ancestral:4 ")
    assert "rounds" in str(both) and max(map(len, str(both).splitlines())) <= 80
    assert both._repr_html_().count("<tr>") == 3 and bits.short in both._repr_html_()
    again = pymdm.compare(model, ["first-hitting"], judges=["ngram:2"], rounds=4, num_samples=2, seed=1)
    assert again.judge == "2-gram" and again.results[0].generation.texts == both.results[0].generation.texts


def test_the_command_line():
    base = ["compare", "bundled:masked", "--length", "8", "--samples", "2", "--windows", "2", "--rounds", "2"]
    made = run(*base, "--sampler", "ancestral", "--sampler", "first-hitting", "--json")
    assert made.exit_code == 0, made.output
    result = json.loads(made.stdout)
    assert [s["name"] for s in result["samplers"]] == ["ancestral", "first-hitting"]
    assert result["samplers"][1]["rounds"] == 2 and result["samplers"][1]["certificate_nats"] > 0
    for options, words in (
        (["--sampler", "euler"], "sampler must be one of"),
        (["--png", "/nowhere/at/all.png"], "there is no folder"),
        (["--png", "all.xyz"], "compare: a picture is a file of kind .png, .svg, .pdf, got all.xyz"),
    ):
        refused = run(*base, *options)
        assert refused.exit_code == 2 and words in refused.stderr, refused.output
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 9}, r"rounds must be in 1\.\.8"),
        ({"num_samples": 1}, "two samples are needed"),
        ({"length": 4096}, r"length must be in 1\.\."),
        ({"information": INFORMATION}, "the information curve is of length 16, the samples of 8"),
    ],
)
def test_bad_wishes_are_refused(options, words):
    judge = load_judge("ngram:2", "some text")
    with pytest.raises(ValueError, match=f"^compare: .*{words}"):
        pymdm.compare(None, ["first-hitting"], judges=[judge], **{"rounds": 2, "length": 8, **options})
