"""Benchmarks and measurements; installed as `pymdm.bench`."""
