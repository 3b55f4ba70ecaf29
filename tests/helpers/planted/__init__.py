"""Planted faults: the reference broken on purpose, which the proof must catch (`pymdm audit --faults helpers.planted`)."""

from helpers.planted import ancestral, first_hitting, lookahead, remask, stream

from pymdm.prove.faults import FAULTS

MODULES = (stream, first_hitting, ancestral, remask, lookahead)  # importing them enters their faults
__all__ = ["FAULTS", "MODULES"]
