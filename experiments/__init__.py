"""Experiments run by hand from a clone, `python -m experiments.NAME`; not installed."""
