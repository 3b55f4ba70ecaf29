"""Samplers by name: the one list that the command line, the audit, the evaluation and the proof read."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

from pymdm.sampling.samplers.ancestral import Ancestral
from pymdm.sampling.samplers.common import Sampler
from pymdm.sampling.samplers.confidence import Confidence
from pymdm.sampling.samplers.first_hitting import FirstHitting
from pymdm.sampling.samplers.remask import Remask

# Name -> the sampler, and the field that a value without a name sets.
KINDS: dict[str, tuple[Any, str]] = {
    "first-hitting": (FirstHitting, "tokens_per_call"),
    "ancestral": (Ancestral, "steps"),
    "confidence": (Confidence, "rule"),
    "remask": (Remask, "steps"),
}
_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # not inside brackets


def parse_sampler(text: str) -> Sampler:
    """The sampler that a name stands for.

    Args:
        text: a kind of `KINDS`, then a colon and options: `first-hitting`, `first-hitting:2,order=2`,
            `first-hitting:(1,2)`, `ancestral:64`, `confidence:margin,tokens_per_call=2`, `remask:steps=64,strategy=loop`.
            Options are the fields of the sampler's class, its first one by its value alone.

    Raises:
        ValueError: an unknown kind or option, or a value that the sampler refuses.

    >>> parse_sampler("first-hitting:2,order=2") == FirstHitting(tokens_per_call=2, order=2)
    True
    """
    kind, _, options = text.partition(":")
    if kind not in KINDS:
        raise ValueError(f"sample: sampler must be one of {', '.join(KINDS)}, got {kind!r}")
    made, first = KINDS[kind]
    names = [f.name for f in dataclasses.fields(made)]
    values: dict[str, Any] = {}
    for i, part in enumerate(_COMMA.split(options) if options else []):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = (first if i == 0 else ""), part
        name = name.strip().replace("-", "_")
        if name not in names or name in values:
            raise ValueError(f"sample: options of {kind} are {', '.join(names)}, each once, got {part.strip()[:80]!r}")
        values[name] = _value(value.strip())
    try:
        return made(**values)
    except TypeError as error:
        words = str(error).removeprefix("sample: ").replace(f"{made.__name__}.__init__()", kind)
        raise ValueError(f"sample: {text[:80]!r}: {words}") from None


def sampler_name(sampler: Any) -> str:
    """The name that `parse_sampler` makes the same sampler of.

    Raises:
        TypeError: a sampler that is not in `KINDS`, or one with a function of the user's.

    >>> sampler_name(FirstHitting(tokens_per_call=(1, 2)))
    'first-hitting:(1,2)'
    >>> sampler_name(Remask(steps=64, strategy="loop"))
    'remask:64,strategy=loop'
    """
    for kind, (made, first) in KINDS.items():
        if type(sampler) is made:
            words = []
            for field in dataclasses.fields(sampler):
                value = getattr(sampler, field.name)
                if callable(value):
                    raise TypeError(f"sample: a function has no name on the command line, got {kind} with {field.name}")
                if value != field.default:
                    shown = str(value).replace(" ", "")
                    words.append(shown if field.name == first else f"{field.name}={shown}")
            words.sort(key=lambda word: "=" in word)
            return ":".join([kind, ",".join(words)]) if words else kind
    raise TypeError(f"sample: expected a sampler of {', '.join(KINDS)}, got {type(sampler).__name__}")


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
