"""Texts with holes: what is a hole, what is text, and whose the space before a hole is."""

import re

import pytest
import torch

import pymdm
from pymdm.data.round_trip import LostText
from pymdm.data.tokenizer import Tokenizer
from pymdm.sampling.prompt import parse_infill

BYTE = Tokenizer.train([], "byte")
M = BYTE.mask_id


def shape(text, tokenizer=BYTE, **settings):
    """The infill with "_" for each mask."""
    return "".join(
        "_" if t == tokenizer.mask_id else tokenizer.decode([t])
        for t in parse_infill(text, tokenizer, tokenizer.mask_id, **settings)
    )


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a[MASK]b[MASK:3]", "a_b___"),
        ("[MASK:2][MASK:1]", "___"),
        (r"BERT writes \[MASK] for a gap: [MASK:2]", "BERT writes [MASK] for a gap: __"),
        (r"\[MASK:7] [MASK]", "[MASK:7] _"),
        (r"\\[MASK]", "\\_"),
        (r"\\\[MASK][MASK]", r"\[MASK]_"),
        (r"a\b \n [MASK]", r"a\b \n _"),
        (r"\[mask:3] [MASK]", "[mask:3] _"),
        ("[masked] [MASKS] [list] mask [MASK:01]", "[masked] [MASKS] [list] mask _"),
    ],
)
def test_holes_and_text(text, seen):
    assert shape(text) == seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("The [mask:3] list", r"a hole is \[MASK\] or \[MASK:n\], got \[mask:3\]; as text it is written \\\[mask:3\]"),
        ("The [Mask] list[MASK]", r"got \[Mask\]"),
        ("[MASK: 3]", r"got \[MASK: 3\]"),
        ("[MASK:]", r"got \[MASK:\]"),
        ("[MASK:x]", r"got \[MASK:x\]"),
        ("[ MASK ]", r"got \[ MASK \]"),
        ("[MASK:-1]", r"got \[MASK:-1\]"),
        ("[MASK:٣]", r"got \[MASK:٣\]"),
        ("[MASK:0]", r"a hole needs at least one position"),
        ("[MASK:99999999999]", r"the hole \[MASK:99999999999\] is longer than 16777216 positions"),
        ("[MASK:" + "9" * 5000 + "]", r"is longer than 16777216 positions"),
        ("[MASK:9999999]" * 3, r"it has more than 16777216 positions"),
        ("no hole", r"it has no hole such as \[MASK:4\], got 'no hole'"),
        (r"\[MASK]", r"it has no hole"),
        ("", r"it has no hole"),
    ],
)
def test_what_is_no_hole_is_refused(text, message):
    """By the API as by the command line: no text goes through unchanged as "exact"."""
    with pytest.raises(ValueError, match=f"^sample: infill: .*{message}"):
        pymdm.sample(lambda t: torch.zeros(*t.shape, 257), mask_id=M, tokenizer=BYTE, infill=text)


def test_holes_are_measured_by_the_model():
    model = pymdm.load()
    with pytest.raises(ValueError, match=r"^sample: infill: the hole \[MASK:257\] is longer than 256 positions"):
        pymdm.sample(model, infill="a[MASK:257]")
    with pytest.raises(ValueError, match=r"^sample: infill: it has more than 256 positions"):
        pymdm.sample(model, infill="[MASK:200][MASK:200]")


def test_the_space_before_a_hole_is_the_holes():
    """With the space 74 of 200 infills of this text had two spaces in a row: the first token of a word brings its own."""
    model = pymdm.load()
    v = model.tokenizer
    assert parse_infill("Return the [MASK:4] of the list.", v, v.mask_id) == [
        *v.encode("Return the"),
        *[v.mask_id] * 4,
        *v.encode(" of the list."),
    ]
    out = pymdm.sample(model, infill="Return the [MASK:4] of the list.", num_samples=100, seed=1)
    assert sum("the  " in text for text in out.text) <= 5  # the model may put two; at 74 of 200 this fails surely
    keeps = Tokenizer.train(["ab c d"], "char")  # a character each: the space is a token like the others
    assert shape("ab [MASK]", keeps) == "ab _" and shape("ab [MASK]") == "ab _"
    assert parse_infill("a\n[MASK]", v, v.mask_id)[:-1] == v.encode("a\n")  # a line end joins nothing


def test_a_prompt_that_a_tokenizer_changes_is_told():
    from helpers.foreign_tokenizers import word_pieces

    v = Tokenizer(word_pieces(lower=True), "bpe")
    net = lambda t: torch.zeros(*t.shape, v.size)  # noqa: E731
    with pytest.warns(LostText, match=re.escape("sample: the tokenizer takes 'The 12' as 'the [UNK]'")):
        pymdm.sample(net, mask_id=v.mask_id, tokenizer=v, prompt="The 12", length=12)
