"""Where planted faults are entered: a fault is the reference with one method broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pymdm.prove.batch_reference import BatchReference


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
