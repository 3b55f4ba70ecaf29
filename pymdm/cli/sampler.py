"""What `pymdm sample` makes of its options: the sampler, and what watches the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def watched(stream: bool, quiet: bool, decode: Any, masks: int) -> Any:
    """A context that gives what the sampling loop calls: the filling text, a bar, or nothing."""
    from contextlib import contextmanager, nullcontext

    from pymdm.sampling.progress import progress_bar

    if not stream:
        return progress_bar(masks) if sys.stderr.isatty() and not quiet else nullcontext()
    from pymdm.cli.stream import Stream
    from pymdm.report.terminal import console

    @contextmanager
    def shown() -> Any:
        with Stream(console(), decode, masks) as live:
            yield live.watch

    return shown()


def sampler_of(
    kind: str,
    nfe: int | None,
    masks: int,
    order: int | None,
    rule: str | None,
    block_length: int | None,
    strategy: str | None,
    lookahead: int | float | str,
    schedule: str | None,
    call_schedule: Path | None,
) -> Any:
    """The sampler of the options; `masks` is the largest number of tokens to draw in a sequence."""
    from pymdm.sampling.call_schedule import CallSchedule
    from pymdm.sampling.samplers.names import KINDS, parse_sampler

    given: dict[str, Any] = {
        "order": order,
        "rule": rule,
        "block_length": block_length,
        "strategy": strategy,
        "schedule": schedule,
    }
    given["lookahead"] = None if lookahead == 1 else lookahead
    given = {name: value for name, value in given.items() if value is not None}
    name, colon, _ = kind.partition(":")
    for field in given:
        owners = [owner for owner, k in KINDS.items() if field in k.options]
        if name in KINDS and (colon or name not in owners):
            raise ValueError(
                f"sample: --{field.replace('_', '-')} belongs to --sampler {' or '.join(owners)}, got --sampler {kind}"
            )
    if nfe is not None and nfe < 1:
        raise ValueError(f"sample: nfe must be at least 1, got {nfe}")
    if colon and (nfe is not None or call_schedule is not None):
        raise ValueError(f"sample: --nfe and --call-schedule are options of {kind} itself")
    if colon or name not in KINDS:
        return parse_sampler(kind)
    if call_schedule is not None:
        if kind != "first-hitting" or nfe is not None or order == 2:
            raise ValueError("sample: --call-schedule is for first-hitting of order 1, without --nfe")
        given["tokens_per_call"] = CallSchedule.read(call_schedule)
    return KINDS[kind].made(**KINDS[kind].with_calls(nfe or max(masks, 1), max(masks, 1), given))


def lookahead_of(text: str) -> int | float | str:
    """The value of --lookahead: copies, a chance, or "auto"."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
