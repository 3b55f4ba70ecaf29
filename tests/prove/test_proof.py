"""The compiled core, put to the whole proof: stream, choice, laws by enumeration, planted faults.

One family-wise error for the run: alpha 1e-6 split over all declared tests (pymdm.prove.plan). The fast subset belongs to
`make test`; `make prove` (`pymdm audit --full --faults helpers.planted`) runs every law with the sample size for power
1 - 1e-6 at total variation 1%, and all planted faults.
"""

from __future__ import annotations

from helpers.small_models import draw_models

from pymdm.compiled import Compiled
from pymdm.prove.run import prove


def failures(proof) -> list[str]:
    return [v.line() for v in proof.plan.verdicts if not v.passed] + [
        c.fault.name for c in proof.caught if not c.caught
    ]


def test_the_compiled_core_passes_the_fast_proof(proof_seed):
    proof = prove(Compiled(), fast=True, models=draw_models(8, proof_seed), seed=proof_seed)
    assert proof.passed, failures(proof)
    assert len(proof.plan.verdicts) > 100
