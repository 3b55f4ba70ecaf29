"""Chat templates of a model's folder."""

import json

import pytest
from helpers import published as p
from tokenizers import Tokenizer, models, pre_tokenizers

import pymdm
from pymdm.data.chat import read_chat_template, render

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
