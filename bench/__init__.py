"""Benchmarks, installed as `pymdm.bench`: each prints what it measured beside what it is measured against."""
