"""One training step's gradients: global noise, this process's rows, in groups; and the loss that was not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pymdm.data.packing import Batches
from pymdm.distributed import Processes
from pymdm.train.objective import Noise, Objective
from pymdm.train.parallel import exchange_gradients
from pymdm.train.recipe import Recipe


@dataclass(frozen=True)
class Stepper:
    """What gradients need beside the network; a step's result depends on (seed, step) only.

    Attributes:
        recipe, objective, batches: see there.
        mask_id: id of the mask.
        group: this process among others; each takes every world-th row of the batch.
        bfloat16: whether products are taken in bfloat16.
        out: checkpoint folder, beside which a batch with a loss that is not finite is stored.
    """

    recipe: Recipe
    objective: Objective
    batches: Batches
    mask_id: int
    group: Processes
    bfloat16: bool
    out: Path | None = None

    def gradients(self, model: nn.Module, step: int) -> float:
        """Gradients of step number `step` into the parameters -> the bound in nats per token over the whole batch.

        All noise of the batch is drawn by every process, so a row's noise does not depend on how many there are.

        Raises:
            RuntimeError: the loss is not finite.
        """
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 2, step])
        noise = self.objective.noise(recipe.batch_size, recipe.length, rng)
        dropout = int(rng.integers(2**63))
        tokens = self.batches.at(step)
        # Rows come in rising order of counts: they are dealt out, so that processes get equal work.
        rows = np.arange(self.group.rank, recipe.batch_size, self.group.world)
        groups = np.array_split(rows, recipe.accumulate)
        bound = torch.zeros((), dtype=torch.float64, device=self.group.device)
        with torch.random.fork_rng(devices=[], enabled=recipe.dropout > 0):
            if recipe.dropout > 0:
                torch.manual_seed((dropout + self.group.rank) % 2**63)
            for i, group in enumerate(groups):
                exchange_gradients(model, i == len(groups) - 1)
                bound += self._group(model, tokens[group], noise.part(group))
        if self.group.world > 1:
            torch.distributed.all_reduce(bound)
        value = float(bound)
        if not math.isfinite(value):
            kept = self._keep(step, tokens, noise)
            raise RuntimeError(f"train: the loss is {value} at step {step}; the last checkpoint stays as it is{kept}")
        return value

    def _group(self, model: nn.Module, tokens: Tensor, noise: Noise) -> Tensor:
        """Backward of some rows; their share of the bound."""
        masks = torch.from_numpy(noise.masks)
        places = masks.flatten().nonzero().squeeze(1)
        batch = self.recipe.batch_size
        weights, bound_weights = (
            torch.from_numpy(np.broadcast_to(w.T, masks.T.shape).T / batch).flatten()
            for w in (noise.weights, noise.bound_weights)
        )
        inputs = self.objective.inputs(tokens, masks, self.mask_id).to(self.group.device)
        sight = self.objective.sight(tokens.to(self.group.device), noise)
        rows = places
        if sight is not None:  # what is to be named stands behind what is known, in each row of the batch
            rows = places + (places // masks.shape[1] + 1) * masks.shape[1]
        times = (
            torch.from_numpy(noise.times).float().to(self.group.device) if self.recipe.conditioning == "time" else None
        )
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.bfloat16):
            total, losses = model(
                inputs,
                times,
                rows.to(self.group.device),
                targets=tokens.flatten()[places].to(self.group.device),
                weights=weights[places].float().to(self.group.device),
                sight=sight,
            )
        # data-parallel gradients are averaged over processes, where the loss is a sum over all rows
        (total * self.group.world).backward()
        return (losses.detach().double() * bound_weights[places].to(self.group.device)).sum()

    def _keep(self, step: int, tokens: Tensor, noise: Noise) -> str:
        """Store the batch beside the checkpoint folder; what to add to the message."""
        if self.out is None or self.group.rank:
            return ""
        file = self.out.with_name(f"{self.out.name}.failed-batch.safetensors")
        tensors = {"tokens": tokens, "masks": torch.from_numpy(noise.masks), "weights": torch.from_numpy(noise.weights)}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, file, metadata={"step": str(step)})
        except OSError as error:
            return f"; its batch could not be stored: {error.strerror}"
        return f"; its batch is in {file}"
