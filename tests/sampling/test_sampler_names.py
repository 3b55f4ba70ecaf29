"""Samplers by name: every sampler has one, and it makes the same sampler."""

import pytest
from helpers.sampler_tables import SAMPLERS, SCORED

import pymdm
from pymdm.sampling.samplers.names import KINDS, parse_sampler, sampler_name


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


def test_kinds_are_the_samplers_of_the_front_door():
    assert {made for made, _ in KINDS.values()} == {pymdm.FirstHitting, pymdm.Ancestral, pymdm.Confidence, pymdm.Remask}
