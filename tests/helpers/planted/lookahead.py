"""Faults of lookahead: the reference's sampler for one sequence, with one method broken."""

from __future__ import annotations

from typing import Any

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import fault
from pymdm.reference.choose import choose
from pymdm.reference.lookahead import Lookahead


class AcceptsOneTooMany(Lookahead):
    """The copy after the first wrong guess counts too."""

    def run(self):
        self.grace = 0
        return super().run()

    def accepts(self, drawn, guessed):
        self.grace = 0 if drawn == guessed else self.grace + 1
        return self.grace <= 1


class StaleAfterMiss(Lookahead):
    """After a miss the token is the guess, from the mu before."""

    def run(self):
        self.late: dict[int, int] = {}
        return super().run()

    def guess(self, logits, event):
        self.late[event] = super().guess(logits, event)
        return self.late[event]

    def draw(self, logits, event):
        token = super().draw(logits, event)
        return self.late.pop(event, token) if event in getattr(self, "late", {}) else token


class StaleSource(Lookahead):
    """The next guesses come from the round's first output, whatever was right since: right tokens, more rounds."""

    def source(self, outputs, last):
        return outputs[0]


class OtherNoise(Lookahead):
    """Guesses are drawn with the noise of the event before."""

    def guess(self, logits, event):
        return int(choose(logits[self.positions[event]][None], self.seed, self.sequence, event - 1)[0])


class WrongEvent(Lookahead):
    """A copy is given the guesses in the places of the events after."""

    def copy(self, known, event, guesses):
        tokens = known.copy()
        for j, token in enumerate(guesses):
            tokens[self.positions[min(event + j + 1, self.length - 1)]] = token
        return tokens


class _Ahead(BatchReference):
    kind: Any = Lookahead


@fault("a copy too many accepted", "the copy after the first wrong guess counts too", "lookahead")
class Accepted(_Ahead):
    kind = AcceptsOneTooMany


@fault("a guess kept after a miss", "the token is the guess, from the output before", "lookahead")
class Kept(_Ahead):
    kind = StaleAfterMiss


@fault("guesses in other places", "a copy has them at the events after", "lookahead")
class Misplaced(_Ahead):
    kind = WrongEvent


@fault("guesses with other noise", "the noise of the event before: right tokens, no round saved", "rounds of lookahead")
class Other(_Ahead):
    kind = OtherNoise
