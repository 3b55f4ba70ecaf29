"""The bar of `pymdm.sample(progress=True)`, and text that fills in while it is sampled."""

import io
import re
import sys

import pytest
import torch
from helpers.command_line import run
from rich.console import Console

import pymdm
from pymdm.cli.stream import Stream
from pymdm.sampling import progress


def uniform(tokens):
    return torch.zeros(*tokens.shape, 4)


OPTIONS = {"mask_id": 4, "length": 12, "num_samples": 2, "seed": 1}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "notebook"), [(io.StringIO, False), (io.StringIO, True), (Terminal, False)])
def test_the_bar_shows_the_tokens_and_changes_none(stream, notebook, monkeypatch):
    plain = pymdm.sample(uniform, **OPTIONS)
    seen, shown = [], stream()
    monkeypatch.setattr(progress, "in_notebook", lambda: notebook)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    watched = pymdm.sample(uniform, progress=True, watch=lambda state: seen.append(state.calls), **OPTIONS)
    assert torch.equal(plain.tokens, watched.tokens) and seen == list(range(1, 13))
    text = shown.getvalue()
    if stream is Terminal:
        assert "sampling" in text and "24/24" in text
    else:
        assert "#################### 24 of 24 tokens, 12 network calls" in text
        assert text.count("\n") == (1 if notebook else 10) and text.count("\r") == (12 if notebook else 0)
    part = pymdm.sample(uniform, max_calls=3, **OPTIONS)
    assert torch.equal(pymdm.resume(uniform, part, progress=True).tokens, plain.tokens)


def test_bad_input_shows_no_bar(capsys):
    with pytest.raises(TypeError, match="sample: progress must be"):
        pymdm.sample(uniform, progress="yes", **OPTIONS)
    with pytest.raises(ValueError, match="top_k"):
        pymdm.sample(uniform, progress=True, top_k=-1, **OPTIONS)
    assert capsys.readouterr().err == ""


def test_the_documented_state():
    def look(state):
        lengths = state.offsets.diff()
        for b in range(2):
            tokens = state.tokens[state.offsets[b] : state.offsets[b + 1]]
            rank = state.rank[state.offsets[b] : state.offsets[b + 1]]
            assert len(tokens) == lengths[b] == 12
            assert int((tokens == state.mask_id).sum()) == state.remaining[b] == int((rank < 0).sum())
        told.append(state.calls)

    told = []
    pymdm.sample(uniform, watch=look, **OPTIONS)
    assert told == list(range(1, 13))


def test_text_fills_in_line_by_line_without_a_terminal():
    arguments = ["sample", "-n", 2, "--length", 16, "--seed", 3]
    plain, streamed = run(*arguments).stdout, run(*arguments, "--stream").stdout
    assert streamed.endswith(plain)
    lines = streamed[: -len(plain)].splitlines()
    assert len(lines) == 8 * 2 and all(re.match(r" +\d+ calls  ", line) for line in lines)
    masks = [line.count("░") for line in lines[::2]]
    assert masks == sorted(masks, reverse=True) and masks[0] > masks[-1] == 0
    refused = run(*arguments, "--stream", "--json")
    assert refused.exit_code == 2 and refused.stderr.startswith("pymdm: sample: --stream is for reading")


def test_text_fills_in_in_place_on_a_terminal():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, height=20)
    with Stream(console, lambda ids, *_: "".join("abcd░"[i] for i in ids), 24) as live:
        out = pymdm.sample(uniform, watch=live.watch, **OPTIONS)
    text = file.getvalue()
    assert "\x1b[1A" in text or "\x1b[2K" in text  # lines are written over, and taken away at the end
    assert "".join("abcd"[t] for t in out.tokens[0].tolist()) in text and "░" in text
