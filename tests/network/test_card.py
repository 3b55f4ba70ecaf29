"""The model card in a checkpoint folder: its facts are those of config.json, and it is a file of ours."""

from __future__ import annotations

import pytest
from helpers.command_line import run

import pymdm
from pymdm.files.target import check_target
from pymdm.network.checkpoint import CARD, KIND, load_checkpoint, save_checkpoint

TINY = {"vocab": "char", "length": 16, "width": 16, "layers": 1, "heads": 2, "batch_size": 4, "steps": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    (folder / "notes.txt").write_text(
        "".join(f"the {a} cat sat on the {b} mat.\n\n" for a in range(30) for b in range(8))
    )
    return pymdm.train(folder / "notes.txt", out=folder / "m", **TINY).path


def test_it_says_what_config_says(trained):
    card, found = (trained / CARD).read_text(encoding="utf-8"), load_checkpoint(trained)
    training = found.training
    assert card.startswith("---\nlibrary_name: pymdm\n") and "# m\n" in card
    for words in (
        f"{training['held_out']['bits_per_char']:.3f} bits per character (upper bound",
        f"{training['parameters']:,} weights, 1 layers of width 16, 2 heads",
        training["corpus"]["sha256"][:16],
        f"{training['corpus']['train_characters']:,} characters to learn from",
        "notes.txt",
        f"char, {found.config.vocab_size} tokens",
        "objective count, 3 steps |",
        "draws exactly from the model's law",
    ):
        assert words in card, words
    code = card.split("```python\n")[1].split("```")[0].replace('"m"', repr(str(trained)))
    exec(compile(code, CARD, "exec"), {})


def test_it_is_one_of_our_files_and_is_replaced(trained, tmp_path):
    assert check_target(trained, KIND, "test").replaces
    found = load_checkpoint(trained)
    hostile = {"recipe": None, "held_out": {"bits_per_char": None}, "corpus": {"name": "a|b\n\x1b[31m`c`"}}
    save_checkpoint(tmp_path / "m", found.config, found.state_dict, found.tokenizer, hostile)
    card = (tmp_path / "m" / CARD).read_text(encoding="utf-8")
    assert "a\\|b  [31m'c'" in card and "\x1b" not in card
    (tmp_path / "m" / CARD).write_text("mine")
    save_checkpoint(tmp_path / "m", found.config, found.state_dict, found.tokenizer)
    assert "mine" not in (tmp_path / "m" / CARD).read_text()
    (tmp_path / "m" / "notes.md").write_text("of the user")
    refused = run("train", trained.parent / "notes.txt", "--out", tmp_path / "m", "--steps", 1, "--overwrite")
    assert refused.exit_code == 2 and "notes.md" in refused.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"objective": "autoregressive"},
            ("An autoregressive transformer", "(exact)", "token after token from the left"),
        ),
        ({"objective": "block", "block_length": 4}, ("(upper bound", "block after block of 4 tokens from the left")),
        ({"objective": "any-order"}, ("(upper bound", "model's law, in a uniformly random order")),
    ],
    ids=lambda value: value.get("objective") if isinstance(value, dict) else "",
)
def test_each_kind_says_its_law_and_its_code_samples(trained, tmp_path, options, words, capsys):
    """The card of an autoregressive model said that no sampler was for it."""
    model = pymdm.train(trained.parent / "notes.txt", out=tmp_path / "m", **options, **TINY)
    card = (tmp_path / "m" / CARD).read_text(encoding="utf-8")
    assert all(word in card for word in words), card
    code = card.split("```python\n")[1].split("```")[0].replace('"m"', repr(str(tmp_path / "m")))
    exec(compile(code, CARD, "exec"), {})
    assert pymdm.sample(model, num_samples=2, seed=1).law == "exact" and len(capsys.readouterr().out) > 1
