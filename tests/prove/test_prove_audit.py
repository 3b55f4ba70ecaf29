"""Auditing a user's sampler function, and the reports."""

from html import escape

import numpy as np
import pytest
import torch

from pymdm.prove import report
from pymdm.prove.audit import audit, audit_models, wide_vocabulary
from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import FAULTS
from pymdm.prove.plan import Plan
from pymdm.prove.run import prove
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
    laws = [v for v in proof.plan.verdicts if v.name.endswith("tokens") and "given" not in v.name and v.fit.cells > 2]
    assert all(v.fit.tv < v.fit.tv_floor + 6 * v.fit.tv_error for v in laws)


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


def test_reports(tmp_path):
    pytest.importorskip("matplotlib")
    chosen = [FAULTS["greedy last step"], FAULTS["mask leaks into the tokens"]]

    def two_a_call(model, seed, ids):
        return BATCH.first_hitting(model, len(ids), seed, sequences=ids, tokens_per_call=2).tokens

    proof = prove(BATCH, fast=True, models=2, faults=chosen, approximate={"two a call": two_a_call})
    proof.facts = {"machine": "<this one>"}
    text, page = report.write(proof, tmp_path / "out")
    markdown, html = text.read_text(), page.read_text()
    assert "greedy last step" in markdown and "all passed" in markdown and "Holm" in markdown
    assert "fast subset" in markdown
    assert len(list((tmp_path / "out").glob("proof_*.png"))) == markdown.count("](proof_") == 5
    assert html.count("data:image/png;base64,") == 5 and "http" not in html.split("<body>")[0].replace("https", "")
    assert "&lt;this one&gt;" in html and "<this one>" in markdown
    assert [m.sampler for m in proof.distances] == ["two a call"] * 3 and "| two a call |" in markdown
    for v in proof.plan.verdicts:  # every law is in both, every test in the page
        assert f"| {v.law.replace('|', chr(92) + '|')} |" in markdown and escape(v.name) in html
    assert proof.approximations and all(0 < tv < 1 for _, _, tv in proof.approximations)


def test_a_failed_proof_says_so():
    def zeros(model, mask_id, length, num_samples, seed):
        return np.zeros((num_samples, length), dtype=int)

    proof = audit(zeros, samples=500, wide=False)
    assert not proof.passed and "FAILED" in report.markdown(proof) and 'class="bad"' in report.html_page(proof)
    assert isinstance(proof.plan, Plan)
