"""The training loop: batches in, a checkpoint out, with everything random a function of (seed, step)."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pymdm.data.corpus import Corpus
from pymdm.data.packing import Batches
from pymdm.data.tokens import TokenData
from pymdm.distributed import Processes, processes
from pymdm.evaluate.bound import Bound
from pymdm.evaluate.ngram import COUNTED, ngram_bits
from pymdm.network.checkpoint import SHARDS, STATE_NUMBERS, STATE_TENSORS, Checkpoint, save_checkpoint
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.held_out import held_out_bound
from pymdm.train.log import CurveLog, Progress
from pymdm.train.optimizer import Average, learning_rate, make_optimizers
from pymdm.train.parallel import ToldByFirst, gather, spread, whole
from pymdm.train.recipe import Recipe
from pymdm.train.setup import held_out_summary, load_training_data, model_config, pick_bfloat16, pick_device
from pymdm.train.shards import ShardWriter, can_shard
from pymdm.train.start import look_at_neighbours
from pymdm.train.state import (
    Numbers,
    pack_numbers,
    read_state,
    restore,
    state_tensors,
)
from pymdm.train.step import Stepper
from pymdm.train.target import check_out

NGRAM_ORDERS = (2, 3, 5)
QUICK = 32_768  # tokens of the held-out side looked at while training


def train(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    corpus: Corpus | TokenData | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
) -> Checkpoint:
    """Train a masked diffusion model and evaluate it on the held-out side.

    Args:
        recipe: all settings; with `resume`, those of the unfinished run in `out` are used instead.
        out: checkpoint folder; none keeps the result in memory only.
        corpus: the text, or rows of tokens; default what `recipe.source` names.
        on_progress: called after every step, evaluation and save.
        resume: go on with the unfinished run in `out`.
        overwrite: replace the model, finished or not, that is in `out`.
        command: stored with the model as the way it was made.

    Returns:
        The checkpoint: averaged weights, vocabulary, and in `training` the recipe, the corpus, the held-out bits per
        character and those of n-grams on the same split.

    Raises:
        ValueError: bad text, settings or folder; nothing has been written then.
        RuntimeError: the loss stopped being finite; the last checkpoint stays.

    Example:
        >>> from pymdm.train import Recipe, train
        >>> recipe = Recipe(vocab="char", length=16, width=16, layers=1, heads=2, eval_tokens=512, steps=2)  # tiny
        >>> train(recipe).training["steps"]
        2
    """
    state = None
    if resume:
        if out is None:
            raise ValueError("train: resume needs the folder of the unfinished run")
        tensors, numbers, stored = read_state(Path(out))
        recipe, state = Recipe.from_dict(stored), tensors
    if out is not None:
        check_out(Path(out), resume=resume, overwrite=overwrite)
    data = load_training_data(recipe, corpus)
    threads = torch.get_num_threads()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    try:
        with processes(pick_device(recipe.device)) as group:
            run = _Run(recipe, data, Path(out) if out is not None else None, on_progress, command, group)
            if state is not None:
                if numbers.corpus != data.sha256:
                    raise ValueError(f"train: {data.name} is not the text that the run in {out} began with")
                restore(state, run.model, run.average, run.optimizers)
                run.numbers = numbers
            return run.loop()
    finally:
        torch.set_num_threads(threads)


class _Run:
    """Everything that a run holds between steps."""

    def __init__(
        self,
        recipe: Recipe,
        data: TokenData,
        out: Path | None,
        on_progress: Callable[[Progress], None] | None,
        command: str,
        group: Processes,
    ) -> None:
        self.recipe, self.data, self.out, self.on_progress, self.command = recipe, data, out, on_progress, command
        if recipe.batch_size % (group.world * recipe.accumulate):
            raise ValueError(
                f"train: batch_size {recipe.batch_size} must be a multiple of the {group.world} processes times "
                f"accumulate {recipe.accumulate}"
            )
        self.group, self.log = group, CurveLog(out) if out is not None and group.rank == 0 else None
        self.vocabulary = data.vocabulary
        self.chars_per_token = data.train_characters / len(data.train)
        self.device = group.device
        self.bfloat16 = pick_bfloat16(recipe.precision, self.device)
        self.config = model_config(recipe, self.vocabulary)
        batches = Batches(data.train, recipe.length, recipe.batch_size, recipe.seed)
        self.stepper = Stepper(
            recipe,
            recipe.make_objective(),
            batches,
            self.vocabulary.mask_id,
            group,
            self.bfloat16,
            out,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = MaskedTransformer(self.config)
        if recipe.neighbours:
            look_at_neighbours(self.model, recipe.neighbours)
        self.model.to(self.device).train()
        self.model.recompute = recipe.recompute
        if recipe.compile:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.network = spread(self.model, group, recipe.parallel)  # first: optimisers and average follow the split
        self.optimizers = make_optimizers(self.model, recipe)
        self.peaks = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.average = Average(self.model, recipe.ema)
        self.numbers = Numbers(corpus=data.sha256)
        self.held_out_bits: float | None = None

    def loop(self) -> Checkpoint:
        recipe, numbers = self.recipe, self.numbers
        begin = time.monotonic() - numbers.seconds
        while (fraction := self.spent()) < 1.0:
            rate = learning_rate(fraction, recipe.warmup, recipe.lr_end)
            bits = self.step(numbers.step, rate)
            numbers.bits = (
                bits if numbers.bits is None else numbers.bits + max(0.02, 1 / numbers.step) * (bits - numbers.bits)
            )
            numbers.step += 1
            numbers.seconds = self.group.agree(time.monotonic() - begin)
            self.report("step", rate)
            if self.due(recipe.eval_every):
                self.held_out_bits = self.evaluate(samples=2, quick=True).bits_per_char
                self.report("evaluated", rate)
            if self.out is not None and self.due(recipe.save_every):
                self.save(self.summary(None), resumable=True)
                self.report("saved", rate)
            numbers.seconds = self.group.agree(time.monotonic() - begin)
        bound = self.evaluate(samples=8, quick=False)
        self.held_out_bits = bound.bits_per_char
        self.report("evaluated", 0.0)
        checkpoint = self.save(self.summary(bound), resumable=False)
        if self.out is not None:
            self.report("saved", 0.0)
        return checkpoint

    def spent(self) -> float:
        """Share of the budget that is used up."""
        if self.recipe.steps is not None:
            return self.numbers.step / self.recipe.steps
        return self.numbers.seconds / (60.0 * (self.recipe.minutes or 1.0))

    def due(self, every: int) -> bool:
        """Whether something done every so many steps comes now, with steps left to go."""
        return bool(every) and self.numbers.step % every == 0 and self.spent() < 1.0

    def step(self, step: int, rate: float) -> float:
        """Step number `step` at a share `rate` of the peak learning rates -> training bits per character."""
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
        value = self.stepper.gradients(self.network, step)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if not math.isfinite(float(whole(norm))):
            raise RuntimeError(f"train: the gradient is not finite at step {step}; the last checkpoint stays as it is")
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model, step)
        return value / math.log(2.0) / self.chars_per_token

    def evaluate(self, samples: int, quick: bool) -> Bound:
        """Held-out bound of the averaged weights; exact likelihood of a causal network."""
        model = MaskedTransformer.from_state(self.config, self.weights()).to(self.device)
        tokens = min(QUICK, self.recipe.eval_tokens) if quick else self.recipe.eval_tokens
        autocast = quick and self.bfloat16
        return held_out_bound(model, self.data, self.recipe, tokens=tokens, samples=samples, autocast=autocast)

    def summary(self, bound: Bound | None) -> dict[str, Any]:
        """What goes into config.json beside the shapes."""
        data = self.data
        values: dict[str, Any] = {
            "command": self.command,
            "recipe": self.recipe.to_dict(),
            "finished": bound is not None,
            "steps": self.numbers.step,
            "tokens": self.numbers.step * self.recipe.batch_size * self.recipe.length,
            "seconds": round(self.numbers.seconds, 1),
            "train_bits_per_char": self.numbers.bits,
            "precision": "bfloat16" if self.bfloat16 else "float32",
            "parameters": self.parameters,
            "processes": self.group.world,
            "corpus": {
                "name": data.name,
                "sha256": data.sha256,
                "unit": data.unit,
                "train_characters": data.train_characters,
                "train_tokens": len(data.train),
                "held_out_characters": data.held_out_characters,
                "held_out_tokens": len(data.held_out),
                "held_out_lost": data.lost,
            },
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        if bound is not None:
            values["held_out"] = held_out_summary(bound)
            texts = data.text(data.train[:COUNTED]), data.text(data.held_out[: self.recipe.eval_tokens])
            bits = ngram_bits(*texts, NGRAM_ORDERS)
            values["ngram_bits_per_char"] = {str(k): v for k, v in bits.items()}
        return values

    def save(self, training: dict[str, Any], resumable: bool) -> Checkpoint:
        """The model as it is now, written where there is a folder; every process learns how that went."""
        checkpoint = Checkpoint(self.config, self.weights(), self.vocabulary, training)
        if self.out is None:
            return checkpoint
        extra: dict[str, Any] = {}
        writer = None
        if resumable:
            tensors = state_tensors(self.model, self.average, self.optimizers)
            extra[STATE_NUMBERS] = pack_numbers(self.numbers, self.recipe.to_dict())
            if can_shard(tensors):
                extra[SHARDS] = writer = ShardWriter(tensors, self.group)
            else:
                extra[STATE_TENSORS] = gather(tensors, self.group)
        failure = None
        if self.group.rank == 0:
            try:
                checkpoint = save_checkpoint(
                    self.out, self.config, checkpoint.state_dict, self.vocabulary, training, extra
                )
            except ValueError as error:
                failure = error
        if writer is not None:
            writer.finish()
        if not self.group.all(failure is None):
            raise failure or ToldByFirst(f"save_checkpoint: the first process could not write {self.out}")
        return checkpoint

    def weights(self) -> dict[str, Tensor]:
        """Averaged weights, whole, on the CPU."""
        return {name: whole(t).detach().cpu().clone() for name, t in self.average.weights.items()}

    def report(self, event: str, rate: float) -> None:
        if self.group.rank:
            return
        n, fraction = self.numbers, min(1.0, self.spent())
        left = n.seconds * (1.0 - fraction) / fraction if fraction else math.inf
        tokens = n.step * self.recipe.batch_size * self.recipe.length
        progress = Progress(event, n.step, fraction, n.bits or 0.0, self.held_out_bits, rate, n.seconds, left, tokens)
        if self.log is not None:
            self.log.note(progress)
        if self.on_progress is not None:
            self.on_progress(progress)
