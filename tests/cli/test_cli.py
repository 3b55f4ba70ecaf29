"""The command line: what it prints, and that bad input ends with one line and exit code 2."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
import torch
from helpers.command_line import run, run_json

import pymdm
from pymdm.cli import main
from pymdm.cli.app import app
from pymdm.network.checkpoint import save_checkpoint

TEXT = "the cat sat on the mat. " * 40


@pytest.fixture
def kept_signals(monkeypatch):
    """The command itself ends with the process; here what it does to signals is taken back."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of random weights over the characters of TEXT."""
    torch.manual_seed(0)
    tokenizer = pymdm.Tokenizer.train([TEXT], "char")
    config = pymdm.ModelConfig(vocab_size=tokenizer.size, length=32, width=32, layers=1, heads=2)
    model = pymdm.MaskedTransformer(config)
    path = tmp_path_factory.mktemp("cli") / "model"
    save_checkpoint(path, config, model.state_dict(), tokenizer, {"held_out": {"bits_per_char": 1.0}}, None)
    return path


def test_info_names_what_is_there():
    facts = run_json("info")
    assert facts["version"] == pymdm.__version__
    assert facts["torch"] == torch.__version__
    assert isinstance(facts["cpu_features"], list) and "cuda_kernels" in facts and "cuda_devices" in facts
    assert "CPU features" in run("info").stdout


def test_version():
    result = run("--version")
    assert result.exit_code == 0 and result.stdout == f"pymdm {pymdm.__version__}\n"


def test_sample_prints_one_object(checkpoint):
    out = run_json("sample", checkpoint, "-n", 3, "--length", 16, "--seed", 7)
    assert len(out["samples"]) == 3
    for sample in out["samples"]:
        assert len(sample["tokens"]) == 16 and sample["nfe"] == 16 and sample["law"] == "exact"
        assert isinstance(sample["text"], str)
    assert (out["law"], out["calls"], out["seed"]) == ("exact", 16, 7)


def test_sample_is_the_same_twice_and_for_any_batch_size(checkpoint):
    first = run("sample", checkpoint, "-n", 4, "--length", 20, "--seed", 7).stdout
    assert first.count("--- sample") == 4
    assert run("sample", checkpoint, "-n", 4, "--length", 20, "--seed", 7).stdout == first
    assert run("sample", checkpoint, "-n", 4, "--length", 20, "--seed", 7, "--batch-size", 1).stdout == first
    assert run("sample", checkpoint, "-n", 4, "--length", 20, "--seed", 8).stdout != first


def test_sample_without_a_seed_says_which_it_drew(checkpoint):
    out = run_json("sample", checkpoint, "--length", 8)
    again = run_json("sample", checkpoint, "--length", 8, "--seed", out["seed"])
    assert again["samples"] == out["samples"]
    assert run_json("sample", checkpoint, "--length", 8)["seed"] != out["seed"]


def test_sample_with_prompt_and_infill(checkpoint):
    prompted = run_json("sample", checkpoint, "--prompt", "the cat", "--length", 12, "--seed", 1)["samples"][0]
    assert prompted["text"].startswith("the cat") and prompted["nfe"] == 5
    filled = run_json("sample", checkpoint, "--infill", "the [MASK:3] sat[MASK]", "--seed", 1)["samples"][0]
    assert re.fullmatch(r"the .{3} sat.", filled["text"], re.DOTALL) and filled["nfe"] == 4


def test_sample_says_when_it_is_approximate(checkpoint):
    for options in (
        ["--nfe", 4],
        ["--sampler", "ancestral", "--nfe", 4],
        ["--sampler", "confidence", "--nfe", 4],
        ["--sampler", "remask", "--nfe", 4],
        ["--sampler", "remask", "--strategy", "loop", "--nfe", 4],
    ):
        out = run_json("sample", checkpoint, "--length", 16, "--seed", 1, *options)
        assert out["law"] == "approximate" and out["calls"] <= 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--length", 0], "sample: length must be at least 1, got 0"),
        (["--length", 33], "sample: length must be at most the model's 32, got 33"),
        (["--seed", -1], "sample: seed must be in [0, 2^64), got -1"),
        (["--prompt", "the cat", "--length", 3], "sample: the prompt has 7 tokens, more than the length 3"),
        (["--prompt", "THE"], "prompt"),
        (["--num-samples", 0], "sample: num_samples must be at least 1, got 0"),
        (["--temperature", -1], "temperature"),
        (["--top-p", 0], "top_p"),
        (["--nfe", 0], "nfe must be at least 1"),
        (["--batch-size", 0], "batch_size must be at least 1"),
        (["--dtype", "float8"], "dtype"),
        (["--sampler", "greedy"], "sampler must be"),
        (["--sampler", "remask", "--strategy", "often"], "strategy must be one of cap, rescale, conf, loop"),
        (["--infill", "a[MASK]", "--prompt", "a"], "not both"),
    ],
)
def test_bad_sample_options(checkpoint, arguments, words):
    result = run("sample", checkpoint, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr and result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_bad_checkpoints(checkpoint, tmp_path):
    missing = run("sample", tmp_path / "none")
    assert missing.exit_code == 2 and missing.stderr.count("\n") == 1
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    result = run("sample", broken)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and result.stdout == ""


def test_bad_training_input(tmp_path):
    short, latin = tmp_path / "short.txt", tmp_path / "latin.txt"
    short.write_text("too short")
    latin.write_bytes("caf\xe9 ".encode("latin-1") * 500)
    (tmp_path / "empty.txt").touch()
    for source in (short, latin, tmp_path / "empty.txt", tmp_path / "missing.txt"):
        out = tmp_path / f"out-{source.stem}"
        result = run("train", source, "--out", out, "--steps", 2)
        assert result.exit_code == 2, (source, result.output)
        assert result.stderr.count("\n") == 1 and source.name in result.stderr
        assert not out.exists()


def test_train_then_sample(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT * 20)
    options = ["--vocab", "char", "--length", 16, "--width", 32, "--layers", 1, "--heads", 2, "--batch-size", 4]
    out = run_json("train", text, "--out", tmp_path / "model", "--steps", 3, *options)
    assert out["steps"] == 3
    assert len(run_json("sample", tmp_path / "model", "--seed", 1)["samples"][0]["tokens"]) == 16


def test_every_command_shows_an_example():
    listing = run("--help").stdout
    assert "..." not in listing.partition("Commands:")[2]  # the line of a command is whole
    commands = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert {"demo", "sample", "train", "audit", "info"} <= set(commands)
    for name in commands:
        assert name in listing
        shown = run(name, "--help")
        assert shown.exit_code == 0 and "Example:" in shown.stdout and f"pymdm {name}" in shown.stdout


def test_audit_of_a_users_function(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def left_to_right(model, mask_id, length, num_samples, seed):\n"
        "    g = torch.Generator().manual_seed(seed)\n"
        "    x = torch.full((num_samples, length), mask_id)\n"
        "    for l in range(length):\n"
        "        x[:, l] = torch.multinomial(model(x)[:, l].softmax(-1), 1, generator=g)[:, 0]\n"
        "    return x\n"
    )
    monkeypatch.chdir(tmp_path)
    rejected = run("audit", "mine:left_to_right", "--samples", 20000, "--json")
    assert rejected.exit_code == 1 and not json.loads(rejected.stdout)["passed"]  # a fixed order is another law
    missing = run("audit", "mine:nothing")
    assert missing.exit_code == 2 and missing.stderr.count("\n") == 1


def test_an_audit_prints_its_power_in_every_form():
    shown = run("audit", "first-hitting", "--samples", 500)
    assert shown.exit_code == 0 and "all passed" not in shown.stdout
    assert "none failed at this power" in shown.stdout.splitlines()[-1] and "power" in shown.stdout.splitlines()[1]
    found = run_json("audit", "first-hitting", "--samples", 500)
    assert "none failed at this power" in found["outcome"] and found["tests_with_power_above_half"] == 0
    assert all(v["power"] is None or 0 <= v["power"] < 0.5 for v in found["verdicts"])
    assert all(d["low"] <= d["high"] and d["n"] == 500 for d in found["distances"]) and found["cells"]
    wrong = [
        "first-hitting --samples -5",
        "--samples 5",
        "first-hitting --full",
        "--models 0",
        "first-hitting --models 3",
    ]
    for arguments in map(str.split, wrong):
        refused = run("audit", *arguments)
        assert (
            refused.exit_code == 2 and refused.stderr.count("\n") == 1 and refused.stderr.startswith("pymdm: audit: ")
        )


def test_a_users_function_that_raises_shows_its_own_traceback(tmp_path, monkeypatch):
    (tmp_path / "broken_sampler.py").write_text(
        "def f(model, mask_id, length, num_samples, seed):\n    return inner(length)\n"
        "def inner(n):\n    return [1][n]\n"
    )
    (tmp_path / "broken_module.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.chdir(tmp_path)
    raised = run("audit", "broken_sampler:f", "--samples", 100)
    lines = raised.stderr.splitlines()
    assert (
        raised.exit_code == 2 and "IndexError" in lines[-1] and lines[-1].startswith("pymdm: audit: broken_sampler:f")
    )
    assert any("broken_sampler.py" in line and "in inner" in line for line in lines)
    assert "users_code.py" not in raised.stderr
    broken = run("audit", "broken_module:f")
    assert broken.exit_code == 2 and 'broken_module.py", line 1' in broken.stderr


def test_the_command_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "pymdm", "sample", "--length", "0"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("pymdm: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sample", "--length", "abc"], r"pymdm: sample: .*--length.*integer.*"),
        (["foo"], r"pymdm: .*foo.*"),
        (["info", "x"], r"pymdm: .*no such folder: x"),
        (
            ["sample", "--rule", "margin"],
            "pymdm: sample: --rule belongs to --sampler confidence, got --sampler first-hitting",
        ),
        (
            ["sample", "--infill", "no holes"],
            r"pymdm: sample: infill: it has no hole such as \[MASK:4\], got 'no holes'",
        ),
        (["evaluate", "--text", "nothere.txt"], "pymdm: evaluate: .*nothere.txt"),
        (["evaluate", "--seed", "-1"], r"pymdm: .*seed must be in \[0, 2\^64\), got -1"),
        (["bench", "compare", "nothere", "b"], "pymdm: bench: nothere: No such file or directory"),
        (["audit", "math:sin"], "pymdm: audit: math:sin, called as f.*TypeError.*"),
        (["audit", "--report", __file__], r"pymdm: audit: .*test_cli\.py: File exists"),
        (["precision", "audit", "math:sin"], "pymdm: precision audit: math:sin, called as .*"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_code_2_as_a_user_meets_it(arguments, line, monkeypatch, capsys, kept_signals):
    monkeypatch.setattr(sys, "argv", ["pymdm", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    error = capsys.readouterr().err
    assert left.value.code == 2 and re.fullmatch(line + "\n", error), error


def test_help_without_a_command_and_exit_codes_pass_through(monkeypatch, capsys, kept_signals):
    monkeypatch.setattr(sys, "argv", ["pymdm"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and "Usage" in "".join(capsys.readouterr())
    monkeypatch.setattr(sys, "argv", ["pymdm", "info"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["bench", "UNKNOWN"], "pymdm: bench: expected one of choose, speedup, "),
        (["precision", "UNKNOWN"], "pymdm: precision: expected one of audit; "),
        (["UNKNOWN"], "pymdm: expected one of demo, sample, "),
    ],
    ids=" ".join,
)
def test_an_unknown_command_is_told_those_that_there_are(words, line, monkeypatch, capsys):
    from pymdm.bench.cases import CASES, TOOLS
    from pymdm.cli.app import run as run_app

    monkeypatch.setattr("sys.argv", ["pymdm", *words])
    assert run_app() == 2
    out, told = capsys.readouterr()
    assert not out and told.count("\n") == 1 and told.startswith(line) and told.endswith("no such command 'UNKNOWN'\n")
    if words[0] == "bench":
        assert all(f" {name}" in told for name in (*CASES, *TOOLS)) and "second-order" not in told  # a second spelling
