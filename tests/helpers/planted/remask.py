"""Faults of the remasking sampler, and of a mask that lies inside the vocabulary."""

from __future__ import annotations

import numpy as np

from pymdm.prove.batch_reference import BatchReference
from pymdm.prove.faults import fault
from pymdm.reference.remask import leave


@fault("sure tokens masked again", "shares of exp(+p) in place of exp(-p)", "remask, conf")
class SureAgain(BatchReference):
    def shares(self, sure, drawn):
        return super().shares(-sure, drawn)


@fault("confidence ignored", "every drawn token has the same share", "remask, conf")
class EqualShares(BatchReference):
    def shares(self, sure, drawn):
        return super().shares(np.zeros_like(sure), drawn)


@fault("shares not normalised", "exp(-p) in place of its share", "remask, conf")
class WholeShares(BatchReference):
    def shares(self, sure, drawn):
        return np.where(drawn, np.exp(-sure), 0.0)


@fault("conf leaves as cap", "sigma in the formula for masked ones too", "remask, conf")
class ConfLeaves(BatchReference):
    def leaves(self, m, s, sigma, confident):
        return leave(1 - m, 1 - s, sigma)


@fault("loop stands still", "masks leave with (m - s) / m, so never while the level is held", "remask, loop")
class LoopStands(BatchReference):
    def leaves(self, m, s, sigma, confident):
        return leave(1 - m, 1 - s, 0.0)


@fault("loop masks always", "sigma is not 0 outside of the loop", "remask, loop")
class LoopAlways(BatchReference):
    def remask_chunk(self, model, ids, tokens, seed, levels, sigma, confident, temperature):
        bound = np.minimum(1.0, levels[1:] / np.maximum(1 - levels[:-1], 1e-9))
        return super().remask_chunk(
            model, ids, tokens, seed, levels, np.minimum(sigma.max(), bound), confident, temperature
        )


@fault("given tokens masked again", "the prompt takes part in remasking", "remask, loop, given tokens")
class GivenMasked(BatchReference):
    def may_return(self, free, tokens, mask_id):
        return tokens != mask_id


@fault("the mask's column taken out", "classes beyond the mask are one too low", "tokens, mask inside with NaN")
class ColumnTakenOut(BatchReference):
    def logits(self, step, rows, positions):
        return np.delete(step.model.rows(step.seen[rows], positions), step.model.mask_id, axis=1)


@fault("the mask's NaN read as 0", "the mask is drawn like a token", "tokens, mask inside with NaN")
class ColumnDrawn(BatchReference):
    def logits(self, step, rows, positions):
        return np.nan_to_num(step.model.rows(step.seen[rows], positions), nan=0.0, neginf=-np.inf)
