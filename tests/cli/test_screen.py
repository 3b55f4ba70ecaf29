"""Text of others on a terminal: samples, names of tensors and of files cannot command it; in files they are as they are."""

import io
import os
import subprocess
import sys
import threading

import pytest
import torch
from helpers.command_line import run
from safetensors.torch import load_file, save_file

from pymdm.cli.screen import harmless, one_line, say
from pymdm.data.tokenizer import Tokenizer
from pymdm.network.checkpoint import save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer

HOSTILE = "\x1b\x07\x00\x9b\x7f\r\u202e\u2066\ud800"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_controls_are_escaped_and_writing_is_not():
    shown = harmless(f"a{HOSTILE}b\n\tc")
    assert shown == "a\\x1b\\x07\\x00\\x9b\\x7f\\r\\u202e\\u2066\\ud800b\n\tc"
    for plain in ("Tag\tfür \u6771\u4eac, \u2026 \u2591\n", "\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u062e"):
        assert harmless(plain) == plain
    assert one_line("a\tb\n\x1bc") == "a b \\x1bc"


def test_a_terminal_is_told_apart():
    for stream, seen in ((Terminal(), "x\\x1b[2J\n"), (io.StringIO(), "x\x1b[2J\n")):
        say("x\x1b[2J", stream)
        assert stream.getvalue() == seen


@pytest.fixture
def hostile(tmp_path):
    """A checkpoint that speaks ESC, BEL, NUL and "[" only."""
    letters = Tokenizer.train(["\x1b\x07\x00["], "char")
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=4, length=12, width=8, layers=1, heads=2)
    save_checkpoint(tmp_path / "model", config, MaskedTransformer(config).state_dict(), letters)
    return tmp_path / "model"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_samples_on_a_terminal(hostile):
    far, near = os.openpty()
    seen = []

    def listen():
        try:
            while part := os.read(far, 1024):
                seen.append(part)
        except OSError:  # the other end is closed
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    command = [sys.executable, "-m", "pymdm", "sample", str(hostile), "--seed", "1"]
    try:
        done = subprocess.run(command, stdout=near, stderr=subprocess.PIPE, timeout=120)
    finally:
        os.close(near)
        listener.join()
        os.close(far)
    assert done.returncode == 0, done.stderr
    on_screen = b"".join(seen)
    assert b"\\x1b" in on_screen and not set(on_screen) & set(b"\x1b\x07\x00")
    assert run("sample", hostile, "--seed", 1).stdout.strip("\n").count("\x1b") == on_screen.count(b"\\x1b")


def test_names_in_messages(hostile, tmp_path):
    tensors = load_file(hostile / "model.safetensors")
    tensors["evil\x1b[2J\x07"] = torch.zeros(1)
    save_file(tensors, hostile / "model.safetensors")
    result = run("sample", hostile)
    assert result.exit_code == 2 and "unexpected tensor evil\\x1b[2J\\x07" in result.stderr
    assert "\x1b" not in result.stderr and result.stderr.count("\n") == 1
    for arguments in (["sample", "no\x1b[2Jfile"], ["evaluate", "--text", "no\x1b[2Jfile"], ["data", "no\x1b[2Jfile"]):
        result = run(*arguments)
        assert result.exit_code == 2 and "no\\x1b[2Jfile" in result.stderr and "\x1b" not in result.stderr
