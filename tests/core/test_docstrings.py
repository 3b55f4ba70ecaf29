"""The examples of the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import pytest

import pymdm

# Triton is there only with a CUDA build of torch.
LEFT_OUT = {"pymdm.__main__", "pymdm._C", "pymdm._C_testing"}
LEFT_OUT |= {"pymdm.bench.gpu_noise"} if find_spec("triton") is None else set()
LEFT_OUT |= {"pymdm.network.exported.modeling_pymdm"} if find_spec("transformers") is None else set()
NAMES = [m.name for m in pkgutil.walk_packages(pymdm.__path__, "pymdm.") if m.name not in LEFT_OUT]
EXAMPLES = {n: [t for t in doctest.DocTestFinder().find(importlib.import_module(n)) if t.examples] for n in NAMES}


@pytest.mark.parametrize("name", [n for n, tests in EXAMPLES.items() if tests])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in EXAMPLES[name]:
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_there_are_examples():
    assert sum(map(len, EXAMPLES.values())) >= 40
