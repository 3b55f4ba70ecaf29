"""The checkpoints of a run: when one is due, and the model with the last two training states in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pymdm.distributed import Processes
from pymdm.files.lock import Lock
from pymdm.network.checkpoint import PREVIOUS, SHARDS, STATE_NUMBERS, STATE_TENSORS, Checkpoint, save_checkpoint
from pymdm.train.parallel import ToldByFirst, gather
from pymdm.train.recipe import Recipe
from pymdm.train.shards import ShardWriter, can_shard
from pymdm.train.state import Numbers, previous_keeper

SHARE = 20  # saving may take one part in so many of a run's time, when the clock says when


class Saver:
    """Writes a run's folder.

    Args:
        out: the checkpoint folder, as the user named it.
        recipe: its settings.
        group: the processes.
        lock: that this run owns the folder; in the first process.
        state: the folder of this run's last state, if it has one: it becomes the one before.
        seconds: spent before.
    """

    def __init__(
        self, out: Path, recipe: Recipe, group: Processes, lock: Lock | None, state: Path | None, seconds: float
    ) -> None:
        self.out, self.recipe, self.group, self.lock, self.state = out, recipe, group, lock, state
        self.last, self.took = seconds, 0.0

    def due(self, numbers: Numbers) -> bool:
        """Whether a save comes now: so many steps, or so many minutes after the last one."""
        steps, minutes = self.recipe.save_every, self.recipe.save_minutes
        if steps and numbers.step % steps == 0:
            return True
        return bool(minutes) and numbers.seconds - self.last >= max(60.0 * minutes, SHARE * self.took)

    def saved(self, began: float, now: float) -> None:
        """Note how long a save took, in seconds of the run that all processes agree on."""
        self.last, self.took = now, now - began

    def save(self, checkpoint: Checkpoint, numbers: Numbers, tensors: Mapping[str, Tensor]) -> Checkpoint:
        """Write the model and the state; every process takes part, and learns how that went.

        Args:
            checkpoint: the model as it is now.
            numbers, tensors: the state (`state_tensors`).

        Raises:
            ValueError: it cannot be written, or another run has taken the folder over; what was there stays.
        """
        extra: dict[str, Any] = {}
        writer = None
        if can_shard(tensors):
            extra[SHARDS] = writer = ShardWriter(tensors, self.group)
        else:
            extra[STATE_TENSORS] = gather(tensors, self.group)
        extra[STATE_NUMBERS] = numbers.writer(self.recipe.to_dict())
        if self.state is not None and not numbers.finished:
            extra[PREVIOUS] = previous_keeper(self.state)
        failure = None
        if self.group.rank == 0:
            try:
                if self.lock is not None:
                    self.lock.check()
                c = checkpoint
                checkpoint = save_checkpoint(self.out, c.config, c.state_dict, c.tokenizer, c.training, extra)
            except ValueError as error:
                failure = error
        if writer is not None:
            writer.finish()
        if not self.group.all(failure is None):
            raise failure or ToldByFirst(f"save_checkpoint: the first process could not write {self.out}")
        self.state = self.out
        return checkpoint
