"""Chat templates of a model's folder."""

import json

import pytest
import torch
from helpers import published as p
from helpers.command_line import run, run_json
from tokenizers import Tokenizer, models, pre_tokenizers

import pymdm
from pymdm.data.chat import read_chat_template, render
from pymdm.data.wrapped import WrappedTokenizer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] not in ['user', 'system'] %}{{ raise_exception('no such role') }}"
    "{% endif %} {{ m['role'] }} {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} answer{% endif %}"
)


@pytest.fixture
def folder(tmp_path):
    p.write(tmp_path, p.LLADA, p.llada(3, p.LLADA))
    words = ["<bos>", "user", "system", "answer", "hello", "be", "short", *(f"w{i}" for i in range(7, 50))]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "w7"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(["<bos>"])
    inner.save(str(tmp_path / "tokenizer.json"))
    facts = {"bos_token": {"content": "<bos>"}, "chat_template": TEMPLATE}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
    return tmp_path


def test_a_conversation_is_a_prompt(folder):
    model = pymdm.load(folder)
    assert model.chat("hello") == [0, 1, 4, 3]
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}]
    assert model.chat(messages) == [0, 2, 5, 6, 1, 4, 3]
    out = pymdm.sample(model, prompt=model.chat("hello"), length=10, seed=1)
    assert out.tokens[0, :4].tolist() == [0, 1, 4, 3] and out.calls == 6


def test_the_answer_ends_where_its_turn_does(folder):
    """Ends of turns in the conversation end neither the text nor the answer; the first drawn one does."""
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"eos_token_id": 3}))  # "answer" ends a turn and a text
    model = pymdm.load(folder)
    out = pymdm.sample(model, prompt=model.chat("hello"), length=12, num_samples=3, seed=1)
    state = out.to_dict()
    tokens = state["tokens"].view(3, 12)
    assert tokens[0, 3] == 3  # in what was given
    tokens[0, 4:] = torch.tensor([10, 11, 3, 12, 3, 13, 14, 15])
    tokens[1, 4:] = torch.tensor([3, 11, 4, 12, 4, 13, 14, 15])
    tokens[2, 4:] = torch.tensor([10, 11, 4, 12, 4, 13, 14, 15])
    out = pymdm.Samples.from_dict(state, tokenizer=model.tokenizer)
    given = "<bos> user hello answer"
    assert out.text == [f"{given} w10 w11", given, f"{given} w10 w11 hello w12 hello w13 w14 w15"]
    assert [model.answer(s) for s in out] == ["w10 w11", "", "w10 w11 hello w12 hello w13 w14 w15"]
    assert out[0].text == out.text[0]


def test_turns_end_at_the_tokens_that_are_known_to_end_them():
    inner = Tokenizer(models.WordLevel({"a": 0, "<|eot_id|>": 1, "m": 2}, "a"))
    assert WrappedTokenizer(inner, mask_id=2).turn_ends == {1}


def test_the_command_line_prints_the_answer(folder, tmp_path):
    options = ("--chat", "--length", 9, "--seed", 1)
    model = pymdm.load(folder)
    want = pymdm.sample(model, prompt=model.chat("hello"), length=9, seed=1)
    plain = run("sample", folder, *options, "--prompt", "hello")
    assert plain.exit_code == 0, plain.output
    assert plain.stdout.strip() == model.answer(want[0])
    whole = run_json("sample", folder, *options, "--prompt", "hello")["samples"][0]
    assert whole["tokens"] == want.tokens[0].tolist() and whole["text"].endswith(whole["answer"])
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}]
    by_roles = run_json("sample", folder, *options, "--prompt", json.dumps(messages))["samples"][0]
    assert by_roles["tokens"][:7] == model.chat(messages)
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([messages, messages[1:]]))
    two = run_json("sample", folder, *options, "--prompt-file", file)["samples"]
    assert [s["tokens"][: len(p)] for s, p in zip(two, ([0, 2, 5, 6, 1, 4, 3], [0, 1, 4, 3]), strict=True)] == [
        [0, 2, 5, 6, 1, 4, 3], [0, 1, 4, 3],
    ]  # fmt: skip
    file.write_text(json.dumps(messages))
    assert run_json("sample", folder, *options, "--prompt-file", file)["samples"][0]["tokens"][:7] == model.chat(
        messages
    )
    lines = tmp_path / "talks.txt"
    lines.write_text("hello\nbe\n")
    assert len(run_json("sample", folder, *options, "--prompt-file", lines)["samples"]) == 2
    assert (
        run_json("sample", folder, *options, "--prompt", "[not JSON")["samples"][0]["tokens"][1] == 1
    )  # a user's text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--chat"], "one of --prompt and --prompt-file"),
        (["--chat", "--prompt", "a", "--prompt-file", "x.txt"], "one of --prompt and --prompt-file"),
        (["--chat", "--infill", "a [MASK]"], "neither --infill nor --format"),
        (["--chat", "--prompt", "a", "--format", "fasta"], "neither --infill nor --format"),
        (["--chat", "--prompt-file", "none.json"], "cannot read"),
        (["--chat", "--prompt-file", "no.json"], "list of messages"),
        (["--chat", "--prompt-file", "odd.json"], "role"),
        (["--chat", "--prompt-file", "number.json"], "list of messages"),
        (["--chat", "--prompt-file", "mixed.json"], "role"),
        (["--chat", "--prompt", '[{"role": "judge", "content": "a"}]'], "no such role"),
    ],
)
def test_conversations_that_are_none_are_one_line(folder, monkeypatch, options, words):
    monkeypatch.chdir(folder)
    (folder / "no.json").write_text("{}")
    (folder / "odd.json").write_text("[[3]]")
    (folder / "number.json").write_text("[5]")
    (folder / "mixed.json").write_text('[{"role": "user", "content": "a"}, "b"]')
    result = run("sample", folder, *options)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1


def test_a_model_without_a_template_is_one_line():
    result = run("sample", "--chat", "--prompt", "hello", "--length", 8)
    assert result.exit_code == 2 and "has no chat template" in result.stderr and result.stderr.count("\n") == 1


def test_the_template_of_its_own_file_comes_first(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }} answer")
    assert pymdm.load(folder).chat("hello") == [4, 3]


def test_what_fails_is_one_line(folder):
    model = pymdm.load(folder)
    with pytest.raises(ValueError, match="template fails: no such role"):
        model.chat([{"role": "judge", "content": "hello"}])
    for wrong in ([{"role": "user"}], [3], [{"role": "user", "content": 3}]):
        with pytest.raises(ValueError, match="role"):
            model.chat(wrong)
    for harmful in ("{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{% for", "{{ 1 / 0 }}"):
        with pytest.raises(ValueError, match="template fails"):
            render(harmful, {}, "hello")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        model.chat("hello")
    assert read_chat_template(folder) is None
