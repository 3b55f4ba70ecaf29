"""Text that fills in while it is sampled: in place on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from pymdm.cli.screen import harmless

SNAPSHOTS = 8  # lines without a terminal


class Stream:
    """A context in which `watch` shows a running state; what it showed in place is taken away at the end.

    Args:
        console: of rich.
        decode: token ids, ranks, mask id -> text, with a glyph for each mask.
        masks: positions to be drawn, over all sequences.
        pause: seconds after each picture, for those who want to watch.
    """

    def __init__(
        self, console: Any, decode: Callable[[list[int], list[int], int], str], masks: int, pause: float = 0.0
    ) -> None:
        self.console, self.decode, self.masks, self.pause = console, decode, masks, pause
        self.live: Any = None
        self.shown = 0

    def __enter__(self) -> Stream:
        if self.console.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, transient=True, vertical_overflow="crop")
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def watch(self, state: Any) -> None:
        """Shows the state, if there is something new to show."""
        from rich.text import Text

        if self.live is not None:
            self.live.update(Text("\n".join(self.texts(state))), refresh=True)
            time.sleep(self.pause)
            return
        done = self.masks - int(state.remaining.sum())
        if done * SNAPSHOTS < (self.shown + 1) * self.masks:
            return
        self.shown = done * SNAPSHOTS // max(self.masks, 1)
        for text in self.texts(state):
            self.console.print(Text(f"{state.calls:3d} calls  {text}"), soft_wrap=True)

    def texts(self, state: Any) -> list[str]:
        """The text of each sequence on one line, controls and line ends as escapes."""
        ends = state.offsets.tolist()
        tokens, rank = state.tokens.tolist(), state.rank.tolist()
        decoded = (self.decode(tokens[a:b], rank[a:b], state.mask_id) for a, b in itertools.pairwise(ends))
        return [harmless(json.dumps(text, ensure_ascii=False)[1:-1]) for text in decoded]
