"""The registry of samplers: what the command line, saved states, the audit, comparisons and the proof know of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pymdm.sampling.samplers.ancestral import Ancestral
from pymdm.sampling.samplers.common import Sampler, shown
from pymdm.sampling.samplers.confidence import Confidence
from pymdm.sampling.samplers.first_hitting import FirstHitting
from pymdm.sampling.samplers.remask import Remask


@dataclass(frozen=True)
class Kind:
    """What every list of samplers takes from here.

    Attributes:
        made: the class.
        first: the field that a value without a name sets.
        calls: the field that sets the number of network calls where a name leaves that open, "tokens_per_call" or "steps".
        measured: those whose distance from the exact law a proof measures.
        compared: options of those that `pymdm.compare` runs where nobody says which.
    """

    made: type[Any]
    first: str
    calls: str
    measured: tuple[Sampler, ...] = ()
    compared: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """Names of the fields."""
        return [f.name for f in fields(self.made)]

    def with_calls(self, calls: int, tokens: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Fields for about `calls` network calls on `tokens` masked tokens, where those given do not say how many."""
        if self.calls in given or given.get("times") is not None:
            return dict(given)
        return {self.calls: calls if self.calls == "steps" else max(1, -(-tokens // calls)), **given}


# The corrector is not measured: it needs a network that answers at unmasked positions, which the table models of a proof do
# not (pymdm/bench/second_order.py).
KINDS: dict[str, Kind] = {
    "first-hitting": Kind(
        FirstHitting,
        first="tokens_per_call",
        calls="tokens_per_call",
        measured=(FirstHitting(), FirstHitting(tokens_per_call=2), FirstHitting(tokens_per_call=2, order=2)),
        compared=("", "order=2"),
    ),
    "ancestral": Kind(
        Ancestral,
        first="steps",
        calls="steps",
        measured=(Ancestral(steps=8), Ancestral(steps=64)),
        compared=("",),
    ),
    "confidence": Kind(
        Confidence,
        first="rule",
        calls="tokens_per_call",
        measured=(
            *(Confidence(rule) for rule in ("random", "probability", "margin", "entropy")),
            Confidence("probability", threshold=0.9),
        ),
        compared=("margin",),
    ),
    "remask": Kind(
        Remask,
        first="steps",
        calls="steps",
        measured=tuple(Remask(steps=64, strategy=strategy) for strategy in ("cap", "rescale", "conf", "loop")),
        compared=("",),
    ),
}
COMPARED = tuple(":".join(filter(None, (name, o))) for name, kind in KINDS.items() for o in kind.compared)
CLASSES = {kind.made.__name__: kind.made for kind in KINDS.values()}
_COMMA = re.compile(r",(?![^(\[]*[)\]])")  # not inside brackets


def parse_sampler(text: str, *, calls: int = 0, tokens: int = 0) -> Sampler:
    """The sampler that a name stands for.

    Args:
        text: a kind of `KINDS`, then a colon and options: `first-hitting`, `first-hitting:2,order=2`,
            `first-hitting:(1,2)`, `ancestral:64`, `confidence:margin,tokens_per_call=2`, `remask:steps=64,strategy=loop`.
            Options are the fields of the sampler's class, its first one by its value alone.
        calls: about how many network calls to take for `tokens` masked tokens, where the name does not say; 0: the class's
            default.

    Raises:
        ValueError: an unknown kind or option, or a value that the sampler refuses.

    >>> parse_sampler("first-hitting:2,order=2") == FirstHitting(tokens_per_call=2, order=2)
    True
    >>> parse_sampler("ancestral", calls=8, tokens=64).steps, parse_sampler("ancestral:5", calls=8, tokens=64).steps
    (8, 5)
    """
    name, _, options = text.partition(":")
    if name not in KINDS:
        raise ValueError(f"sample: sampler must be one of {', '.join(KINDS)}, got {name!r}")
    kind = KINDS[name]
    values: dict[str, Any] = {}
    for i, part in enumerate(_COMMA.split(options) if options else []):
        field, equals, value = part.partition("=")
        if not equals:
            field, value = (kind.first if i == 0 else ""), part
        field = field.strip().replace("-", "_")
        if field not in kind.options or field in values:
            words = ", ".join(kind.options)
            raise ValueError(f"sample: options of {name} are {words}, each once, got {part.strip()[:80]!r}")
        values[field] = _value(value.strip())
    if calls:
        values = kind.with_calls(calls, tokens, values)
    try:
        made: Sampler = kind.made(**values)
        return made
    except TypeError as error:
        words = str(error).removeprefix("sample: ").replace(f"{kind.made.__name__}.__init__()", name)
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
    for name, kind in KINDS.items():
        if type(sampler) is kind.made:
            words = []
            for field in fields(sampler):
                value = getattr(sampler, field.name)
                if callable(value):
                    raise TypeError(f"sample: a function has no name on the command line, got {name} with {field.name}")
                if value != field.default:
                    text = str(value).replace(" ", "")
                    words.append(text if field.name == kind.first else f"{field.name}={text}")
            words.sort(key=lambda word: "=" in word)
            return ":".join([name, ",".join(words)]) if words else name
    raise TypeError(f"sample: expected a sampler of {', '.join(KINDS)}, got {type(sampler).__name__}")


def sampler_call(sampler: Any) -> str:
    """The shortest call that makes a sampler: fields that are not the default, and a first one that is a word.

    A sampler of the user's own is shown as it shows itself.

    >>> sampler_call(FirstHitting()), sampler_call(Confidence("probability", threshold=0.9))
    ('FirstHitting()', "Confidence('probability', threshold=0.9)")
    """
    if type(sampler).__name__ not in CLASSES:
        return repr(sampler)
    words = []
    for i, field in enumerate(fields(sampler)):
        value = getattr(sampler, field.name)
        if i == 0 and isinstance(value, str):
            words.append(repr(value))
        elif value != field.default:
            words.append(f"{field.name}={shown(value)}")
    return f"{type(sampler).__name__}({', '.join(words)})"


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
