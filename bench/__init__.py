"""Benchmarks and measurements; installed as `pymdm.bench`. `common.py` is the frame, one file a case."""
