"""Benchmarks and measurements: one file a case, `common.py` the frame that runs them."""
