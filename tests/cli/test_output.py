"""Output that cannot be written: what was computed is kept, the exit code is the convention's, and at most one line is said."""

import errno
import io
import os
import re
import subprocess
import sys

import pytest

from pymdm.cli.output import BROKEN_PIPE, NOT_WRITTEN, Output, guarded


def start(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "pymdm", *arguments], text=True, timeout=300, **options)


def closed_pipe():
    """A pipe that nobody reads."""
    there, here = os.pipe()
    os.close(there)
    return here


SAMPLE = ["sample", "-n", "2", "--length", "8", "--seed", "1"]


@pytest.mark.parametrize("arguments", [["info"], ["--help"], SAMPLE], ids=" ".join)
def test_a_reader_that_has_gone_is_no_error_and_141(arguments):
    pipe = closed_pipe()
    done = start(*arguments, stdout=pipe, stderr=subprocess.PIPE)
    os.close(pipe)
    assert done.returncode == BROKEN_PIPE == 128 + 13
    assert "Traceback" not in done.stderr and "pymdm" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_samples_are_kept_where_the_disk_is_full(tmp_path):
    whole = start(*SAMPLE, capture_output=True).stdout
    with open("/dev/full", "w") as full:
        done = start(*SAMPLE, stdout=full, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)})
    last = done.stderr.splitlines()[-1]
    found = re.fullmatch(r"pymdm: cannot write the output: No space left on device; all of it is in (\S+)", last)
    assert done.returncode == NOT_WRITTEN and found and "Exception" not in done.stderr
    assert open(found[1], encoding="utf-8").read() == whole and whole.count("--- sample") == 2


def test_a_character_that_the_encoding_lacks_is_escaped():
    arguments = ["sample", "-n", "4", "--length", "32", "--temperature", "3", "--seed", "3"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = start(*arguments, capture_output=True, env=env)
    assert done.returncode == 0 and done.stdout.count("--- sample") == 4 and done.stdout.isascii()


def test_no_message_can_be_told_and_the_work_goes_on():
    pipe = closed_pipe()
    done = start("sample", "--length", "8", "--seed", "1", stdout=subprocess.PIPE, stderr=pipe)
    os.close(pipe)
    assert done.returncode == 0 and done.stdout.strip()


@pytest.mark.slow
def test_the_demo_runs_in_the_oldest_locale():
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    env.pop("PYTHONIOENCODING", None)
    done = start("demo", "--minutes", "0.1", capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "4. Fill the holes" in done.stdout and "Everything above comes again" in done.stdout


class Failing:
    """A stream that fails after some writes."""

    def __init__(self, error, after):
        self.error, self.left, self.text = error, after, ""

    def isatty(self):
        return False

    def fileno(self):
        raise io.UnsupportedOperation

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise self.error
        self.text += text

    def flush(self):
        self.write("")


@pytest.mark.parametrize("after", range(4))
def test_what_was_written_before_a_failure_is_kept_too(after, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdout", Failing(OSError(errno.ENOSPC, "full"), after))
    monkeypatch.setattr(sys, "stderr", Failing(OSError(errno.ENOSPC, "full"), 0))

    def command():
        for line in ("one", "two", "three"):
            print(line)
        return 0

    assert guarded(command) == NOT_WRITTEN
    (kept,) = tmp_path.iterdir()
    assert kept.read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("after", range(4))
def test_a_broken_pipe_ends_the_command_whatever_it_makes_of_it(after, monkeypatch):
    """rich and click leave by SystemExit(1), our commands by an exit code."""
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError(errno.EPIPE, "gone"), after))

    def command():
        try:
            for line in ("one", "two", "three"):
                print(line)
        except BrokenPipeError:
            raise SystemExit(1) from None
        return 0

    assert guarded(command) == BROKEN_PIPE


def test_other_exit_codes_pass_and_the_streams_come_back(monkeypatch, capsys):
    before = sys.stdout, sys.stderr
    for code, left in ((0, 0), (1, 1), (2, 2)):
        assert guarded(lambda code=code: code) == left
        assert guarded(lambda code=code: sys.exit(code)) == left
    assert (sys.stdout, sys.stderr) == before and Output(sys.stdout, True).encoding == before[0].encoding
