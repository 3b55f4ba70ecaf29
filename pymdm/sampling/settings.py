"""The settings of a run in its saved state: which sampler, with which options, as JSON text that names every field."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from pymdm.sampling.call_schedule import CallSchedule
from pymdm.sampling.check import integer
from pymdm.sampling.options import MAX_COUNT, SampleOptions
from pymdm.sampling.samplers import Sampler
from pymdm.sampling.samplers.names import CLASSES
from pymdm.sampling.schedules import Schedule, as_schedule

FREE_FIELDS = {"lookahead"}  # they change how the work is done, not the samples


@dataclass(frozen=True)
class Settings:
    """What a state was made with.

    Attributes:
        sampler: its name and fields, as `described` gives them; None before the run.
        options: of the latest part of the run.
        drawable: tokens that the vocabulary has, the first of the classes; 0 where there was none, and all are drawn.
        special_tokens: whether the model's special tokens are drawn too.
        mixed: whether an earlier part of the run had other options, so that no one law holds of it.
    """

    sampler: dict[str, Any] | None
    options: SampleOptions
    drawable: int = 0
    mixed: bool = False
    special_tokens: bool = False

    def to_json(self) -> str:
        """JSON text; floats keep all their digits."""
        return json.dumps(asdict(self))

    def made_by(self, sampler: Sampler) -> bool:
        """Whether a sampler goes on from such a state: all its fields agree but those that change no token."""

        def law(description: dict[str, Any]) -> dict[str, Any]:
            kept = {k: v for k, v in description["fields"].items() if k not in FREE_FIELDS}
            if kept.get("schedule", "") is None:
                kept["schedule"] = _plain("linear")  # what None stands for where no network's training says otherwise
            return description | {"fields": kept}

        return self.sampler is not None and law(self.sampler) == law(described(sampler))

    def sampler_text(self) -> str:
        """The sampler for an error's line."""
        if self.sampler is None:
            return "none"
        return f"{self.sampler['name']}({', '.join(f'{k}={v!r}' for k, v in self.sampler['fields'].items())})"

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The settings again.

        Raises:
            ValueError: text that `to_json` did not write.
        """
        try:
            values = json.loads(text)
            sampler, mixed = values["sampler"], values["mixed"]
            special = values.get("special_tokens", False)  # not in states of 0.1 before it was kept
            if (
                not isinstance(mixed, bool)
                or not isinstance(special, bool)
                or not (sampler is None or _is_description(sampler))
            ):
                raise ValueError("not a sampler's name and fields")
            drawable = integer("drawable", values["drawable"], 0, MAX_COUNT)
            return cls(sampler, SampleOptions(**values["options"]), drawable, mixed, special)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"sample: the saved state's settings are damaged: {error}") from None

    def make_sampler(self) -> Sampler | None:
        """The sampler; None where it cannot be made of plain values: a class or a schedule of the user's own.

        Raises:
            ValueError: fields that no sampler of this name has.
        """
        if self.sampler is None or self.sampler["name"] not in CLASSES:
            return None
        values = {name: _restored(value) for name, value in self.sampler["fields"].items()}
        schedule = values.get("schedule")
        try:
            if values.get("score") is not None:  # a function has no plain values
                return None
            if isinstance(schedule, dict):
                if schedule.get("name") == "user":
                    return None
                made = Schedule(**schedule)
                values["schedule"] = made.name if made == Schedule(made.name) else made
            restored: Sampler = CLASSES[self.sampler["name"]](**values)
            return restored
        except (ValueError, TypeError) as error:
            raise ValueError(f"sample: the saved state's sampler is damaged: {error}") from None


def described(sampler: Sampler) -> dict[str, Any]:
    """A sampler's name and fields as JSON values; equal descriptions are equal samplers, but for users' functions."""
    values: dict[str, Any] = (
        {f.name: _plain(getattr(sampler, f.name)) for f in fields(sampler)} if is_dataclass(sampler) else {}
    )
    return {"name": type(sampler).__name__, "fields": values}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule) or value in ("linear", "cosine", "geometric"):
        schedule = as_schedule(value)
        return {"name": schedule.name, "sigma_min": schedule.sigma_min, "sigma_max": schedule.sigma_max}
    if isinstance(value, tuple | list | CallSchedule):
        return [_plain(v) for v in value]
    if callable(value):  # by name: `repr` would be another in the next process
        kind = value if hasattr(value, "__qualname__") else type(value)
        return {"function": f"{kind.__module__}.{kind.__qualname__}"}
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _restored(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_description(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"name", "fields"}
        and isinstance(value["name"], str)
        and isinstance(value["fields"], dict)
    )
