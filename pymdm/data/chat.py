"""Chat templates: messages as the text that an instruction-tuned model was trained on, by the template of its own folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymdm.files.read import LARGEST_CONFIG, read_json, reason

Messages = str | Sequence[Mapping[str, str]]


def read_chat_template(folder: Path) -> tuple[str, dict[str, str]] | None:
    """The Jinja template of a Hugging Face folder and the special tokens that it may name; None where it has none.

    Raises:
        ValueError: a file that cannot be read.
    """
    facts: Any = {}
    if (folder / "tokenizer_config.json").is_file():
        facts = read_json(folder / "tokenizer_config.json", "load", LARGEST_CONFIG)
    facts = facts if isinstance(facts, dict) else {}
    template = facts.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    if (folder / "chat_template.jinja").is_file():
        try:
            template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"load: cannot read {folder / 'chat_template.jinja'}: {reason(error)}") from None
    if not isinstance(template, str):
        return None
    specials = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token"):
        value = facts.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            specials[name] = value
    return template, specials


def render(template: str, specials: Mapping[str, str], messages: Messages) -> str:
    """The text of a conversation up to where the answer begins.

    The template is a program of the folder's author: it runs in Jinja's sandbox, which lets it neither read files nor change
    what it is given.

    Args:
        template: Jinja, with the variables `messages`, `add_generation_prompt` and the special tokens.
        specials: name -> text.
        messages: a user's text, or messages with "role" and "content".

    Raises:
        ValueError: messages of another form, or a template that fails on them.

    >>> render("{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<a>", {}, "hello")
    '<user>hello<a>'
    """
    try:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ValueError("chat: the model's template needs the package jinja2") from None
    whole = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    for message in whole:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError('chat: messages must be a text, or mappings with texts for "role" and "content"')

    def fail(text: str) -> None:
        raise TemplateError(text)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = fail
    try:
        return environment.from_string(template).render(
            messages=[dict(m) for m in whole], add_generation_prompt=True, **specials
        )
    except Exception as error:  # whatever a template of others makes Jinja or Python raise
        raise ValueError(f"chat: the model's template fails: {reason(error)}") from None
