"""Auditing a user's sampler function, and the reports."""

import subprocess
import sys
from html import escape

import numpy as np
import pytest
import torch
from helpers.pictures import watched
from helpers.planted import FAULTS

from pymdm.prove import report
from pymdm.prove.audit import audit, audit_models, wide_vocabulary
from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.plan import Plan
from pymdm.prove.run import prove
from pymdm.reference import laws
from pymdm.reference.gumbel import CAP_FLOAT32
from pymdm.reference.truncated import truncated_law

BATCH = BatchReference()


def torch_sampler(model, mask_id, length, num_samples, seed, prompt=None, position="uniform"):
    """A first-hitting sampler as a user would write it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((num_samples, length), mask_id) if prompt is None else torch.tensor(prompt).repeat(num_samples, 1)
    rows = torch.arange(num_samples)
    for _ in range(int((x[0] == mask_id).sum())):
        p = model(x).double().softmax(-1)
        keys = torch.rand(num_samples, length, generator=generator)
        keys = keys if position == "uniform" else p.max(-1).values.to(keys)
        where = torch.where(x == mask_id, keys, torch.tensor(-1.0)).argmax(-1)
        x[rows, where] = torch.multinomial(p[rows, where], 1, generator=generator)[:, 0]
    return x


def test_an_exact_sampler_passes_with_infilling():
    proof = audit(torch_sampler, samples=20_000, wide=False)
    assert proof.passed, [v.line() for v in proof.plan.verdicts if not v.passed]
    assert any("given" in v.name for v in proof.plan.verdicts)
    assert len(proof.distances) == 12 and all(d.distance.tv < 6 * d.distance.error for d in proof.distances)
    assert max(d.distance.high for d in proof.distances) < 0.1


def test_an_audit_says_what_it_could_see():
    """A sampler at temperature 0.97 passes a thousand samples, which no test of theirs can hold against it."""

    def warm(model, mask_id, length, num_samples, seed):
        return BATCH.first_hitting(model, num_samples, seed, temperature=0.97).tokens

    proof = audit(warm, samples=1000, wide=False)
    head = report.summary(proof)
    assert (
        proof.passed
        and "all passed" not in " ".join(head)
        and "none failed at this power (above 1/2 in 0 of" in head[0]
    )
    assert "not excluded" in head[1] and "1 - 1e-06" not in " ".join(head)
    assert all(v.power < 0.01 for v in proof.plan.verdicts if v.name.endswith("tokens"))
    table = report.model_table(proof)
    assert len(table.rows) == 6 and all(float(row[-1].rstrip("%")) > 5 for row in table.rows)


def test_how_wrong_a_sampler_is_stands_first():
    def cold(model, mask_id, length, num_samples, seed):
        return BATCH.first_hitting(model, num_samples, seed, temperature=0.6).tokens

    model = audit_models(1)[1]
    proof = audit(cold, samples=40_000, wide=False, models=[model])
    exact, found = laws.first_hitting_law(model.mu), proof.distances[0].distance
    true = 0.5 * np.abs(laws.first_hitting_law(model.conditionals(0.6)) - exact).sum()
    assert not proof.passed and found.low <= true <= found.high and found.high - found.low < 0.03
    assert f"total variation {found.tv:.4f}, between {found.low:.4f} and" in report.summary(proof)[1]
    page = report.html_page(proof)
    assert page.index("FAILED") < page.index("How wrong") < page.index("Cells that differ most") < page.index("Holm")
    assert abs(proof.cells[0].z) >= abs(proof.cells[-1].z) > 0


def test_a_wrong_law_is_not_reported_as_dependent_rows():
    def cold(model, mask_id, length, num_samples, seed):
        return BATCH.first_hitting(model, num_samples, seed, temperature=0.3).tokens

    proof = audit(cold, samples=20_000, wide=False, models=audit_models(1)[:1])
    assert [v.name.split(" / ")[-1] for v in proof.plan.verdicts if not v.passed] == ["tokens"]


@pytest.mark.parametrize("samples", [-5, 0, 1])
def test_too_few_samples_are_refused(samples):
    with pytest.raises(ValueError, match=f"audit: samples must be at least 2, got {samples}"):
        audit(torch_sampler, samples=samples)


def test_confidence_order_is_not_the_law():
    def greedy_order(model, mask_id, length, num_samples, seed):
        return torch_sampler(model, mask_id, length, num_samples, seed, position="confident")

    assert not audit(greedy_order, samples=20_000, wide=False).passed


def test_shared_rows_and_ignored_seeds_are_found():
    def repeated(model, mask_id, length, num_samples, seed):
        return BatchReference().first_hitting(model, num_samples, seed, sequences=np.arange(num_samples) // 2).tokens

    def frozen(model, mask_id, length, num_samples, seed):
        return BatchReference().first_hitting(model, num_samples, 1).tokens

    for sampler, name in ((repeated, "rows of a batch"), (frozen, "seeds")):
        proof = audit(sampler, samples=8192, wide=False, models=audit_models(1)[:1])
        assert name in [v.name for v in proof.plan.verdicts if not v.passed]


@pytest.mark.parametrize("cap,share", [(CAP_FLOAT32, 0.73), (60.0, 0.5)])
def test_capped_noise_shows_on_the_wide_vocabulary(cap, share):
    """A 100-step literal sampler whose noise is capped, simulated by its closed form (Proposition 5.2)."""

    def capped(model, count, seed):
        rng = np.random.default_rng(seed)
        logits = model(np.zeros((1, 1), dtype=np.int64))[0, 0].astype(np.float64)
        mu = np.exp(logits) / np.exp(logits).sum()
        tokens = np.full((count, model.length), model.mask_id)
        for left in range(100, 0, -1):
            law = truncated_law(np.append(mu / left, 1 - 1 / left), cap)
            drawn = rng.choice(3, size=tokens.shape, p=[law[0], law[1:-1].sum(), law[-1]])
            moved = np.where(drawn == 2, model.mask_id, drawn)  # one rare token stands for all of them
            tokens = np.where(tokens == model.mask_id, moved, tokens)
        return tokens

    verdict = wide_vocabulary(capped, Plan(1), count=96)
    assert (verdict.p_value > 1e-9) == (share == 0.5) and abs(verdict.fit.statistic / 2 - share) < 0.12


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"audit: the sampler must return integers of shape"):
        audit(lambda model, mask_id, length, num_samples, seed: np.zeros((1, 1)), samples=100)


def test_reports(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pictures = watched(monkeypatch)
    chosen = [FAULTS["greedy last step"], FAULTS["mask leaks into the tokens"]]

    def two_a_call(model, seed, ids):
        return BATCH.first_hitting(model, len(ids), seed, sequences=ids, tokens_per_call=2).tokens

    proof = prove(BATCH, fast=True, models=2, faults=chosen, approximate={"two a call": two_a_call})
    proof.facts = {"machine": "<this one>"}
    text, page = report.write(proof, tmp_path / "out")
    markdown, html = text.read_text(), page.read_text()
    assert "greedy last step" in markdown and "none failed at this power" in markdown and "Holm" in markdown
    assert "fast subset" in markdown
    assert len(list((tmp_path / "out").glob("proof_*.png"))) == markdown.count("](proof_") == 5
    assert html.count("data:image/png;base64,") == 5 and "http" not in html.split("<body>")[0].replace("https", "")
    assert "&lt;this one&gt;" in html and "<this one>" in markdown
    assert [m.sampler for m in proof.distances] == ["two a call"] * 3 and "| two a call |" in markdown
    assert all(m.distance.low > 0 for m in proof.distances if m.model.startswith("inconsistent"))
    for v in proof.plan.verdicts:  # every law is in both, every test in the page
        assert f"| {v.law.replace('|', chr(92) + '|')} |" in markdown and escape(v.name) in html
    assert proof.approximations and all(0 < tv < 1 for _, _, tv in proof.approximations)
    assert len(pictures) >= 5 and not any(pictures), pictures


def test_a_failed_proof_says_so(monkeypatch):
    pictures = watched(monkeypatch)

    def zeros(model, mask_id, length, num_samples, seed):
        return np.zeros((num_samples, length), dtype=int)

    proof = audit(zeros, samples=500, wide=False)
    assert not proof.passed and "FAILED" in report.markdown(proof) and 'class="bad"' in report.html_page(proof)
    assert isinstance(proof.plan, Plan)
    assert not any(pictures), pictures


def test_faults_of_a_module_are_planted(tmp_path):
    """In a process of its own: the registry of this one is full."""
    (tmp_path / "mine.py").write_text(
        "from pymdm.prove.batch_reference import BatchReference\n"
        "from pymdm.prove.faults import fault\n"
        "@fault('none', 'nothing is wrong', 'order')\n"
        "class Right(BatchReference):\n    pass\n"
    )
    (tmp_path / "empty.py").write_text("")
    code = (
        "import sys, pymdm.prove.run as run, pymdm.prove.faults as faults\n"
        "def prove(core, **k):\n"
        "    print('planted', [f.name for f in k['faults']], file=sys.stderr)\n"
        "    sys.exit(1)\n"
        "run.prove = prove\n"
        "from pymdm.cli import main\n"
        "main()\n"
    )
    for name, line in (
        ("mine", "planted ['none']"),
        ("empty", "enters no fault by pymdm.prove.faults.fault"),
        ("absent", "expected a module with planted faults (No module named 'absent')"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", "--faults", name], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode in (1, 2) and line in done.stderr, (name, done.stderr)
