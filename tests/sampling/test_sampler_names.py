"""Samplers by name: every sampler has one, and it makes the same sampler."""

import ast
from pathlib import Path

import pytest
from helpers.command_line import run
from helpers.sampler_tables import SAMPLERS, SCORED

import pymdm
from pymdm.compiled import MEASURED
from pymdm.sampling import samplers
from pymdm.sampling.samplers import Sampler
from pymdm.sampling.samplers.names import CLASSES, COMPARED, KINDS, parse_sampler, sampler_call, sampler_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_names_make_the_same_sampler(sampler):
    assert parse_sampler(sampler_name(sampler)) == sampler


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("first-hitting", pymdm.FirstHitting()),
        ("first-hitting:4", pymdm.FirstHitting(tokens_per_call=4)),
        ("first-hitting:(1, 2),corrector=True", pymdm.FirstHitting(tokens_per_call=(1, 2), corrector=True)),
        ("first-hitting:schedule=cosine", pymdm.FirstHitting(schedule="cosine")),
        ("ancestral:8", pymdm.Ancestral(steps=8)),
        ("confidence:margin,block-length=4", pymdm.Confidence("margin", block_length=4)),
        ("remask:steps=6,eta=0.25", pymdm.Remask(steps=6, eta=0.25)),
    ],
)
def test_a_name_says_its_options(name, sampler):
    assert parse_sampler(name) == sampler


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("euler", "sampler must be one of first-hitting, ancestral"),
        ("", "sampler must be one of"),
        ("remask", "steps"),
        ("first-hitting:4,5", "options of first-hitting are .* got '5'"),
        ("first-hitting:4,tokens_per_call=5", "each once"),
        ("first-hitting:speed=9", "got 'speed=9'"),
        ("first-hitting:0", "tokens_per_call must be at least 1"),
        ("confidence:luck", "rule must be one of"),
        ("confidence:score=luck", "score must be a function"),
        ("ancestral:" + "(" * 10000, ""),
    ],
)
def test_what_is_no_sampler_is_one_line(name, words):
    with pytest.raises(ValueError, match=f"(?s)^sample: .*{words}"):
        parse_sampler(name)


@pytest.mark.parametrize("sampler", SCORED, ids=str)
def test_a_function_has_no_name(sampler):
    with pytest.raises(TypeError, match=r"has no name on the command line, got .* with score"):
        sampler_name(sampler)


def subclasses(kind: type) -> set[type]:
    return {found for child in kind.__subclasses__() for found in {child, *subclasses(child)}}


def test_every_sampler_of_the_package_is_in_the_registry():
    ours = {kind for kind in subclasses(Sampler) if kind.__module__.startswith("pymdm.")} - {pymdm.CustomSampler}
    assert len(ours) >= 4 and ours == {kind.made for kind in KINDS.values()}
    assert all(getattr(pymdm, kind.__name__) is kind for kind in ours)


@pytest.mark.parametrize("name", KINDS)
def test_every_table_is_made_of_the_registry(name):
    kind = KINDS[name]
    assert CLASSES[kind.made.__name__] is kind.made
    assert {kind.first, kind.calls} <= set(kind.options)
    assert kind.measured and all(MEASURED[sampler_call(s)] is s and type(s) is kind.made for s in kind.measured)
    assert any(type(parse_sampler(text, calls=4, tokens=8)) is kind.made for text in COMPARED)
    assert any(type(sampler) is kind.made for sampler in SAMPLERS)
    assert name in run("sample", "--help").stdout
    assert f"`{kind.made.__name__}(" in (ROOT / "README.md").read_text()
    assert len(MEASURED) == sum(len(k.measured) for k in KINDS.values())


def test_calls_written_in_the_proof_make_their_samplers():
    assert all(eval(call, dict(vars(samplers))) == sampler for call, sampler in MEASURED.items())


def lists_of_samplers(text: str) -> list[int]:
    """Lines of lists, tuples, sets and dictionaries that name three kinds of samplers or more."""
    words = {word: name for name, kind in KINDS.items() for word in (name, kind.made.__name__)}
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            inside = [getattr(n, "id", getattr(n, "attr", getattr(n, "value", None))) for n in ast.walk(node)]
            if (
                len({words[w.partition(":")[0]] for w in inside if isinstance(w, str) and w.partition(":")[0] in words})
                > 2
            ):
                found.append(node.lineno)
    return found


def test_nobody_else_lists_the_samplers():
    free = (
        "sampling/samplers/names.py",
        "sampling/samplers/__init__.py",
        "pymdm/__init__.py",
    )  # the last two: what they export
    files = [file for file in (ROOT / "pymdm").rglob("*.py") if not str(file).endswith(free)]
    assert {str(file): lines for file in files if (lines := lists_of_samplers(file.read_text()))} == {}
    assert lists_of_samplers('X = ["first-hitting:2", "remask", "ancestral"]') == [1]
    assert lists_of_samplers("Y = {k.__name__: k for k in (pymdm.FirstHitting, Remask, Confidence)}") == [1]
