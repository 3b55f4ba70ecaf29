"""Every `Example:` line of every help text runs as it is written, on small texts, a small model and few draws."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import replace
from functools import partial
from importlib import import_module

import pytest
import torch
from helpers.command_line import run

import pymdm
from pymdm.bench.cases import CASES, TOOLS
from pymdm.bench.common import Measured
from pymdm.bench.rows import row
from pymdm.cli.app import app, precision_app
from pymdm.cli.bench import app as bench_app
from pymdm.cli.demo import INFILL
from pymdm.data.corpus import Corpus
from pymdm.network.checkpoint import save_checkpoint

TEXT = "".join(f"the {a} cat sat on the {b} mat and saw it.\n\n" for a in range(40) for b in range(9))
SHAPE = {"length": 64, "width": 16, "layers": 1, "heads": 2, "batch_size": 4, "eval_tokens": 256}


def documented():
    """The lines that begin with "Example:", without it, of each command."""
    found = []
    for group in (app, precision_app, bench_app):
        callbacks = [c.callback for c in group.registered_commands]
        if group.registered_callback is not None:
            callbacks.append(group.registered_callback.callback)
        for callback in callbacks:
            found += re.findall(r"^Example: (.*)$", inspect.getdoc(callback) or "", re.MULTILINE)
    return list(dict.fromkeys(found))


EXAMPLES = documented()
BENCH = {name: import_module(TOOLS.get(name, f"pymdm.bench.{name}")) for name in [*CASES, "gpu"]}


def test_every_command_has_one():
    assert len(EXAMPLES) >= 14, EXAMPLES
    for c in app.registered_commands:
        assert any(e.startswith(f"pymdm {c.name or c.callback.__name__} ") for e in EXAMPLES), c
    for start in ("pymdm precision --", "pymdm precision audit", "pymdm bench", "torchrun"):
        assert any(e.startswith(start) for e in EXAMPLES), start


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder with what the examples name, and everything large made small."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for file in ("notes.txt", "notes/a.txt"):
        (tmp_path / file).write_text(TEXT)
    monkeypatch.setattr("pymdm.data.corpus.embedded_corpus", lambda: Corpus("embedded", (TEXT,), (TEXT[:2000],)))
    tokenizer = pymdm.Tokenizer.train([TEXT, INFILL], "char")
    config = pymdm.ModelConfig(vocab_size=tokenizer.size, length=256, width=8, layers=1, heads=2)
    torch.manual_seed(0)
    recipe = {"recipe": {"source": str(tmp_path / "notes.txt")}, "held_out": {"bits_per_char": 5.0}}
    for folder, attention in (("any_order", "any-order"), ("masked", "bidirectional"), ("runs/mine", "bidirectional")):
        of = replace(config, attention=attention)
        save_checkpoint(tmp_path / folder, of, pymdm.MaskedTransformer(of).state_dict(), tokenizer, recipe)
    monkeypatch.setattr("pymdm.bundled.FOLDER", tmp_path)
    loop, lab = import_module("pymdm.train.loop"), import_module("pymdm.precision.lab")
    trained = loop.train

    def train(recipe, *args, **options):
        few = {"steps": 2, "minutes": None, "eval_tokens": 256, "batch_size": 4}
        recipe = replace(recipe, **few) if recipe.init_from else replace(recipe, **SHAPE | few)
        return trained(recipe, *args, **options)

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(lab, "QUICK", lab.Preset((4,), 2, 12, (8,), 2, 4, ("torch.rand, float32",)))
    for module, function, few in (
        ("pymdm.prove.audit", "audit", {"samples": 300}),
        ("pymdm.precision.audit", "audit_source", {"draws": 1 << 16}),
        ("pymdm.precision.lab", "audit_source", {"draws": 1 << 16}),
    ):
        real = getattr(import_module(module), function)
        cut = partial(lambda real, few, *a, **o: real(*a, **o | few), real, few)
        monkeypatch.setattr(import_module(module), function, cut)
    return tmp_path


def fake(case, monkeypatch, seen):
    """The case's measurement is left out; that its options are taken is not."""
    monkeypatch.setattr(case, "run", lambda args: seen.append(args) or Measured({}, [row("a", "time", 1.0, "s")]))


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs(example, small, monkeypatch):
    for case in BENCH.values():
        fake(case, monkeypatch, [])
    if "enwik8" in example:
        with open(small / "enwik8", "wb") as file:
            file.truncate(100_000_000)
    if example.startswith("torchrun"):  # as one process
        assert run("data", "notes", "--out", "tokens", "--vocab-size", 300).exit_code == 0
    for command in example.split("&&"):
        words = shlex.split(command)
        words = words[words.index("pymdm") + 1 :]
        result = run(*words)
        assert result.exit_code == 0, (command, result.output, result.exception)


@pytest.mark.parametrize("name", BENCH)
def test_the_options_of_a_cases_example_are_taken(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []
    fake(BENCH[name], monkeypatch, seen)
    assert BENCH[name].EXAMPLE.startswith(f"pymdm bench {name} ")
    result = run(*shlex.split(BENCH[name].EXAMPLE)[1:])
    assert result.exit_code == 0 and len(seen) == 1, (result.output, result.exception)
