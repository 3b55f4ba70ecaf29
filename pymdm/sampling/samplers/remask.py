"""Remasking (ReMDM)."""

from __future__ import annotations

from dataclasses import dataclass

from pymdm._native import C
from pymdm.sampling.check import integer, number
from pymdm.sampling.samplers.common import MAX_STEPS, Sampler, ahead, even_times, one_of
from pymdm.sampling.samplers.position_score import PositionScore, check_score, native_score
from pymdm.sampling.schedules import Schedule, as_schedule

STRATEGIES = {"cap": 0.008, "rescale": 0.015, "conf": 1.0, "loop": 0.02}  # with the published eta


@dataclass(frozen=True, repr=False)
class Remask(Sampler):
    """Ancestral sampling that may mask drawn tokens again, so that early choices can be revised (ReMDM).

    Law: in the step from level m to s, m = 1 - alpha, given the tokens x before it and independently, a drawn token is
    masked again with probability sigma and a masked one leaves with probability (m - s + sigma (1 - m)) / m for a token
    from mu(x)[l]. *Approximate*: for true conditionals mu a step keeps the masked process, each token masked with
    probability s, up to the dependence of tokens that leave together; with sigma = 0 it is `Ancestral`. Given tokens stay.

    Args:
        steps: N, at least 1; a sequence takes part in at most N network calls.
        strategy: "cap", sigma = min(eta, sigma_max), sigma_max = min(1, s / (1 - m)); "rescale", sigma = eta sigma_max;
            "conf", eta sigma_max times each drawn token's share of exp(-p_l), p_l the probability it was drawn with, and
            0 in the formula for masked ones (the levels are then not kept); "loop", as "cap", but only while the level
            is held (below).
        eta: in [0, 1]; default the published 0.008, 0.015, 1 and 0.02.
        switch: mask again only in steps that begin at a time <= switch (ReMDM-switch; not with "loop").
        t_on, t_off, alpha_on: loop only: 1 - m rises evenly to alpha_on until t_on, stays there until t_off, and
            rises to 1 at 0.
        schedule: noise schedule, a name or a `pymdm.Schedule`; default that of a time-conditioned network's training, else
            "linear". The levels of "loop" do not depend on it.
        score: a function (tokens [B, L] int64, logits [B, L, V]) -> [B, L] floats, see `pymdm.PositionScore`, which says
            which drawn tokens to keep: as many are masked again as sigma says, whatever the scores are, and of these many
            the ones with the lowest scores, equal ones by lot. So the levels are kept, each position's own law is not.
            With equal scores it is the sampler without a score, bit for bit. Not with "conf", which has its own.
        lookahead: fewer rounds of calls for the same tokens, as in `FirstHitting`. Not with "conf" or a score, where what is
            masked again depends on the network.

    Raises:
        ValueError: a value out of range; in the run, scores with NaN or of another shape.

    Source: Wang et al., arXiv 2503.00307 (ReMDM), section 4; Kim et al., arXiv 2510.01384 (PRISM, learned scores).

    >>> Remask(steps=64).law, Remask(steps=4, strategy="loop", t_on=0.5, alpha_on=0.75).levels()
    ('approximate', [1.0, 0.625, 0.25, 0.25, 0.0])
    """

    steps: int
    strategy: str = "cap"
    eta: float | None = None
    switch: float = 1.0
    t_on: float = 0.55
    t_off: float = 0.05
    alpha_on: float = 0.9
    schedule: Schedule | str | None = None
    score: PositionScore | None = None
    lookahead: int | float | str = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", integer("steps", self.steps, 1, MAX_STEPS))
        one_of("strategy", self.strategy, tuple(STRATEGIES))
        for name in ("switch", "t_on", "t_off", "alpha_on"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.eta is not None:
            object.__setattr__(self, "eta", number("eta", self.eta))
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise ValueError(f"sample: eta must be in [0, 1], got {self.eta}")
        if not 0 <= self.switch <= 1:
            raise ValueError(f"sample: switch must be in [0, 1], got {self.switch}")
        if not 0 < self.t_off < self.t_on < 1:
            raise ValueError(f"sample: needs 0 < t_off < t_on < 1, got t_off {self.t_off} and t_on {self.t_on}")
        if not 0 < self.alpha_on < 1:
            raise ValueError(f"sample: alpha_on must be in (0, 1), got {self.alpha_on}")
        check_score(self.score)
        if ahead(self.lookahead)["window"] > 1 and (self.strategy == "conf" or self.score is not None):
            raise ValueError('sample: lookahead is for remasking without strategy "conf" and without a score')
        if self.score is not None and self.strategy == "conf":
            raise ValueError('sample: strategy "conf" has a score of its own, got a score')
        self.native()

    def levels(self) -> list[float]:
        """m at the N + 1 times of the grid, from 1 to 0."""
        inner = even_times(self.steps)[1:-1]
        if self.strategy != "loop":
            schedule = as_schedule(self.schedule).native()
            return [1.0, *(schedule.masked(t) for t in inner), 0.0]
        held = 1 - self.alpha_on

        def level(t: float) -> float:
            if t > self.t_on:
                return 1 - (1 - t) * self.alpha_on / (1 - self.t_on)
            return held if t > self.t_off else t * held / self.t_off

        return [1.0, *(level(t) for t in inner), 0.0]

    def sigmas(self) -> list[float]:
        """Probability of masking again in each of the N steps (before the shares of "conf")."""
        eta = STRATEGIES[self.strategy] if self.eta is None else self.eta
        levels, found = self.levels(), []
        for t, m, s in zip(even_times(self.steps)[:-1], levels[:-1], levels[1:], strict=True):
            most = min(1.0, s / (1 - m)) if m < 1 else float(s > 0)
            active = m == s if self.strategy == "loop" else t <= self.switch
            sigma = min(eta, most) if self.strategy in ("cap", "loop") else eta * most
            found.append(sigma if active else 0.0)
        return found

    def native(self) -> C.Sampler:
        schedule, confident = as_schedule(self.schedule).native(), self.strategy == "conf"
        score = native_score(self.score)
        return C.remask(self.levels(), self.sigmas(), schedule, confident, score=score, **ahead(self.lookahead))
