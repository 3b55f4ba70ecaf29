"""Planted faults: where they are entered, and the number of samples after which each one is caught.

A fault is the float64 reference with one method broken. Those of pymdm's own proof are in tests/helpers/planted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.checks import CHECKS
from pymdm.prove.plan import Plan


@dataclass(frozen=True)
class Fault:
    """A deliberately broken implementation.

    Attributes:
        name: unique, a few words.
        what: what is done wrong.
        check: name of the check in `checks.CHECKS` that has to catch it.
        make: builds the broken implementation.
    """

    name: str
    what: str
    check: str
    make: type[BatchReference]


FAULTS: dict[str, Fault] = {}


def fault(name: str, what: str, check: str) -> Callable[[type[BatchReference]], type[BatchReference]]:
    """Class decorator that enters a broken `BatchReference` in the registry."""

    def enter(cls: type[BatchReference]) -> type[BatchReference]:
        if name in FAULTS:
            raise ValueError(f"fault: {name!r} is entered twice")
        cls.name = f"fault: {name}"
        FAULTS[name] = Fault(name, what, check, cls)
        return cls

    return enter


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
