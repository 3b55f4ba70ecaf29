"""Planted faults: the registry, and the number of samples after which each one is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pymdm.prove import faults_ancestral, faults_first_hitting, faults_lookahead, faults_remask, faults_stream
from pymdm.prove.checks import CHECKS
from pymdm.prove.fault_registry import FAULTS, Fault
from pymdm.prove.plan import Plan

MODULES = (
    faults_stream,
    faults_first_hitting,
    faults_ancestral,
    faults_remask,
    faults_lookahead,
)  # importing them enters their faults

__all__ = ["FAULTS", "MODULES", "Caught", "Fault", "catch", "catch_all"]


@dataclass(frozen=True)
class Caught:
    """What became of a fault.

    Attributes:
        fault: the fault.
        n: smallest power of two (times 64) at which its check rejected it; the largest tried if it did not.
        caught: whether it was rejected.
        test: the test that rejected it; p_value: at what p-value.
    """

    fault: Fault
    n: int
    caught: bool
    test: str
    p_value: float


def catch(fault: Fault, plan: Plan, limit: int = 1 << 22) -> Caught:
    """Runs a fault through its check with n doubled until a p-value falls to the plan's level per test."""
    check = CHECKS[fault.check]
    n = check.start
    while True:
        verdicts = check.run(fault.make(), n, plan.seed_for(f"{fault.name}/{n}"), plan.level)
        worst = min(verdicts, key=lambda v: v.p_value)
        if worst.p_value <= plan.level or 2 * n > limit:
            return Caught(fault, n, worst.p_value <= plan.level, worst.name, worst.p_value)
        n *= 2


def catch_all(
    plan: Plan, faults: Iterable[Fault] | None = None, progress: Callable[[Caught], None] | None = None
) -> list[Caught]:
    """`catch` for every fault of the registry (or those given), telling `progress` of each."""
    results = []
    for fault in FAULTS.values() if faults is None else faults:
        results.append(catch(fault, plan))
        if progress is not None:
            progress(results[-1])
    return results
