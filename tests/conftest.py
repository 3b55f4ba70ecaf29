"""Fixtures shared by the tests; `--reseed` draws new seeds for the statistical ones."""

pytest_plugins = ["pymdm.prove.pytest_plugin"]
