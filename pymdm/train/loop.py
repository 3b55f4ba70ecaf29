"""The training loop: batches in, a checkpoint out, with everything random a function of (seed, step)."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pymdm.data.corpus import Corpus
from pymdm.data.packing import Batches
from pymdm.data.tokens import TokenData
from pymdm.distributed import Processes, processes, rank_and_world
from pymdm.evaluate.bound import Bound
from pymdm.files.lock import locked
from pymdm.files.target import check_target
from pymdm.network.checkpoint import KIND, Checkpoint, load_checkpoint
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.held_out import held_out_bound
from pymdm.train.initial import initial_checkpoint, initial_config
from pymdm.train.log import CurveLog, Progress
from pymdm.train.optimizer import Average, learning_rate, make_optimizers
from pymdm.train.parallel import spread, whole
from pymdm.train.recipe import Recipe
from pymdm.train.resume import absolute_sources, resumed_recipe
from pymdm.train.saving import Saver
from pymdm.train.setup import load_training_data, model_config, pick_bfloat16, pick_device, summary
from pymdm.train.start import look_at_neighbours
from pymdm.train.state import Numbers, read_state, restore, state_tensors
from pymdm.train.step import Stepper
from pymdm.train.stop import Stopped, heard_signals
from pymdm.train.target import check_out

QUICK = 32_768  # tokens of the held-out side looked at while training


def train(
    recipe: Recipe | Mapping[str, Any],
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
        recipe: all settings; with `resume`, they or the few that are named must agree with the run in `out`, but for the
            budget, when to look and save, and the machine (`pymdm.train.resume`).
        out: checkpoint folder; none keeps the result in memory only.
        corpus: the text, or rows of tokens; default what `recipe.source` names.
        on_progress: called after every step, evaluation and save.
        resume: go on with the run in `out`; with a finished one, for more steps or minutes.
        overwrite: replace the model, finished or not, that is in `out`.
        command: stored with the model as the way it was made, after those before it where a run goes on.

    Returns:
        The checkpoint: averaged weights, tokenizer, and in `training` the recipe, the corpus, the held-out bits per
        character and those of n-grams on the same split.

    Raises:
        ValueError: bad text, settings or folder; nothing has been written then.
        RuntimeError: the loss stopped being finite; the last checkpoint stays.
        KeyboardInterrupt: Ctrl-C or SIGTERM; with `out`, the run has been saved after the step (`Stopped`).

    Example:
        >>> from pymdm.train import Recipe, train
        >>> recipe = Recipe(vocab="char", length=16, width=16, layers=1, heads=2, eval_tokens=512, steps=2)  # tiny
        >>> train(recipe).training["steps"]
        2
    """
    if resume and out is None:
        raise ValueError("train: resume needs the folder of the unfinished run")
    with ExitStack() as stack:
        lock = state = None
        if out is not None:
            target = check_target(out, KIND, "train").path
            if rank_and_world()[0] == 0:
                lock = stack.enter_context(locked(target, "train", str(out), command))
            check_out(Path(out), resume=resume, overwrite=overwrite)
        if resume and out is not None:
            state = read_state(Path(out))
            given = recipe.to_dict() if isinstance(recipe, Recipe) else recipe
            recipe = resumed_recipe(Recipe.from_dict(state.recipe), given, state.numbers, Path(out))
            state.numbers.commands += [command] * bool(command)
        recipe = absolute_sources(recipe if isinstance(recipe, Recipe) else Recipe.from_dict(dict(recipe)))
        start = None
        if recipe.init_from is not None:
            start = (
                load_checkpoint(Path(out))
                if state is not None and out is not None
                else initial_checkpoint(recipe.init_from)
            )

        def told(stage: str) -> None:
            if on_progress is not None and rank_and_world()[0] == 0:
                on_progress(Progress(stage, 0, 0.0, 0.0, None, 0.0, 0.0, math.inf, 0))

        data = load_training_data(recipe, corpus, start, told)
        if state is not None and state.numbers.corpus != data.sha256:
            raise ValueError(f"train: {data.name} is not the text that the run in {out} began with")
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        group = stack.enter_context(processes(pick_device(recipe.device)))
        numbers = state.numbers if state is not None else Numbers(data.sha256, commands=[command] * bool(command))
        run = _Run(recipe, data, numbers, Path(out) if out is not None else None, on_progress, group, start)
        if state is not None:
            restore(state.tensors, run.model, run.average, run.optimizers)
        if run.out is not None:
            folder = state.folder if state is not None else None
            run.saver = Saver(run.out, recipe, group, lock, folder, numbers.seconds)
        return run.loop()


class _Run:
    """Everything that a run holds between steps."""

    def __init__(
        self,
        recipe: Recipe,
        data: TokenData,
        numbers: Numbers,
        out: Path | None,
        on_progress: Callable[[Progress], None] | None,
        group: Processes,
        start: Checkpoint | None = None,
    ) -> None:
        self.recipe, self.data, self.numbers, self.out, self.on_progress = recipe, data, numbers, out, on_progress
        if recipe.batch_size % (group.world * recipe.accumulate):
            raise ValueError(
                f"train: batch_size {recipe.batch_size} must be a multiple of the {group.world} processes times "
                f"accumulate {recipe.accumulate}"
            )
        self.group = group
        self.log = CurveLog(out, numbers.step) if out is not None and group.rank == 0 else None
        self.saver: Saver | None = None
        self.tokenizer = data.tokenizer
        self.chars_per_token = data.train_characters / len(data.train)
        self.device = group.device
        self.bfloat16 = pick_bfloat16(recipe.precision, self.device)
        self.config = model_config(recipe, self.tokenizer) if start is None else initial_config(start, recipe)
        batches = Batches(data.train, recipe.length, recipe.batch_size, recipe.seed)
        self.stepper = Stepper(
            recipe,
            recipe.make_objective(),
            batches,
            self.tokenizer.mask_id,
            group,
            self.bfloat16,
            out,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = MaskedTransformer(self.config)
        if start is not None:
            self.model.load_state_dict(start.build().state_dict())
        elif recipe.neighbours:
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
        self.held_out_bits: float | None = None

    def loop(self) -> Checkpoint:
        recipe, numbers = self.recipe, self.numbers
        begin = time.monotonic() - numbers.seconds
        numbers.finished = False
        with heard_signals(self.out is not None) as heard:
            while (fraction := self.spent()) < 1.0:
                rate = learning_rate(fraction, recipe.warmup, recipe.lr_end)
                bits = self.step(numbers.step, rate)
                numbers.bits = (
                    bits if numbers.bits is None else numbers.bits + max(0.02, 1 / numbers.step) * (bits - numbers.bits)
                )
                numbers.step += 1
                numbers.seconds = self.group.agree(time.monotonic() - begin)
                self.report("step", rate)
                stopped = int(self.group.agree(heard[0] if heard else 0))
                more = self.spent() < 1.0
                if more and not stopped and recipe.eval_every and numbers.step % recipe.eval_every == 0:
                    self.held_out_bits = self.evaluate(samples=2, quick=True).bits.value
                    self.report("evaluated", rate)
                if self.saver is not None and (stopped or (more and self.saver.due(numbers))):
                    before = numbers.seconds = self.group.agree(time.monotonic() - begin)
                    self.save(None)
                    self.report("saved", rate)
                    numbers.seconds = self.group.agree(time.monotonic() - begin)
                    self.saver.saved(before, numbers.seconds)
                if stopped:
                    raise Stopped(self.stop_message(), stopped)
                numbers.seconds = self.group.agree(time.monotonic() - begin)
            self.save(None)  # what the steps have made is not lost in the evaluation
            if stopped := int(self.group.agree(heard[0] if heard else 0)):
                raise Stopped(self.stop_message(), stopped)
        self.report("evaluating", 0.0)
        try:
            bound = self.evaluate(samples=8, quick=False)
        except KeyboardInterrupt:
            raise Stopped(self.stop_message(), signal.SIGINT) from None
        self.held_out_bits = bound.bits.value
        self.report("evaluated", 0.0)
        numbers.finished = True
        checkpoint = self.save(bound)
        if self.out is not None:
            self.report("saved", 0.0)
        return checkpoint

    def stop_message(self) -> str:
        """What is said of a run that was asked to stop."""
        if self.out is None:
            return "train: interrupted"
        return f"train: stopped after step {self.numbers.step} and saved in {self.out}; --resume goes on"

    def spent(self) -> float:
        """Share of the budget that is used up."""
        if self.recipe.steps is not None:
            return self.numbers.step / self.recipe.steps
        return self.numbers.seconds / (60.0 * (self.recipe.minutes or 1.0))

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
        told = None if quick else lambda rows: self.report("evaluating", 0.0, rows)
        model = MaskedTransformer.from_state(self.config, self.weights()).to(self.device)
        tokens = min(QUICK, self.recipe.eval_tokens) if quick else self.recipe.eval_tokens
        autocast = quick and self.bfloat16
        return held_out_bound(
            model, self.data, self.recipe, tokens=tokens, samples=samples, autocast=autocast, progress=told
        )

    def save(self, bound: Bound | None) -> Checkpoint:
        """The model as it is now, written where there is a folder; with the held-out bound it is finished."""
        facts = {
            "precision": "bfloat16" if self.bfloat16 else "float32",
            "parameters": self.parameters,
            "processes": self.group.world,
        }
        training = summary(self.recipe, self.data, self.numbers, bound, **facts)
        checkpoint = Checkpoint(self.config, self.weights(), self.tokenizer, training)
        if self.saver is None:
            return checkpoint
        return self.saver.save(checkpoint, self.numbers, state_tensors(self.model, self.average, self.optimizers))

    def weights(self) -> dict[str, Tensor]:
        """Averaged weights, whole, on the CPU."""
        return {name: whole(t).detach().cpu().clone() for name, t in self.average.weights.items()}

    def report(self, event: str, rate: float, rows: int = 0) -> None:
        if self.group.rank:
            return
        n, fraction = self.numbers, min(1.0, self.spent())
        left = n.seconds * (1.0 - fraction) / fraction if fraction else math.inf
        tokens = n.step * self.recipe.batch_size * self.recipe.length
        progress = Progress(
            event, n.step, fraction, n.bits or 0.0, self.held_out_bits, rate, n.seconds, left, tokens, rows
        )
        if self.log is not None:
            self.log.note(progress)
        if self.on_progress is not None:
            self.on_progress(progress)
