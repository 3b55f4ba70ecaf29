"""How many network calls are enough: the certificate of a schedule of tokens a call, and the best schedule.

h(m) is the mean cost in nats of a uniformly chosen masked token when m uniformly random others are known: the information
curve. A run that draws s_i tokens in call i after N_{i-1} known ones costs, against one token a call,

    sum_i sum_{j < s_i} [h(N_{i-1}) - h(N_{i-1} + j)]   nats a sequence,

the mean over orders of KL(exact || scheduled) if the conditionals belong to one joint law; for a trained network, the excess of
its bound on that text. The best K calls follow by dynamic programming over the curve (arXiv 2511.04647, 2510.25544).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymdm.evaluate.bound import attention_of, token_losses
from pymdm.evaluate.call_sizes import Floats, best_sizes, excess, uniform_sizes
from pymdm.network.engine import Engine
from pymdm.network.loading import Model, is_foreign
from pymdm.network.transformer import MaskedTransformer
from pymdm.sampling.call_schedule import CallSchedule
from pymdm.sampling.check import described, of_types

RESAMPLES = 400
KINDS: dict[str, Any] = {  # of arguments
    "calls": int | None,
    "nats": float | None,
    "share": float | None,
    "given": int,
    "windows": int,
    "orders": int,
}


@dataclass(frozen=True)
class Information:
    """The information curve of a network on texts of one length, text by text.

    Attributes:
        known: m of the columns, increasing, the last L-1. costs: [S, G] nats of a masked token of each text at each m.
        length: L. source: what the texts are.
        given: tokens that were given together, the first of every order, where mu depends on the order of what is known
            (attention "any-order"); None: it does not, and the curve is that of any number.
    """

    known: NDArray[np.int64]
    costs: Floats
    length: int
    source: str
    given: int | None = None

    def curve(self, rows: NDArray[np.int64] | None = None) -> Floats:
        """h(m) at every m [L]: the mean over texts (or those rows), made to fall, with lines between the measured m."""
        mean = (self.costs if rows is None else self.costs[rows]).mean(axis=0)
        return np.interp(np.arange(self.length), self.known, falling(mean))

    def interval(self, sizes: Sequence[int], given: int = 0, seed: int = 0) -> tuple[float, float]:
        """95% interval of `excess` over texts of this kind, by resampling texts; NaN for fewer than two."""
        texts = len(self.costs)
        if texts < 2:
            return float("nan"), float("nan")
        rng = np.random.default_rng([seed, 19])
        draws = [excess(self.curve(rng.integers(texts, size=texts)), sizes, given) for _ in range(RESAMPLES)]
        low, high = np.quantile(draws, [0.025, 0.975])
        return float(low), float(high)


def falling(values: Floats) -> Floats:
    """The nearest non-increasing sequence in squares (pool adjacent violators): h falls, its estimate need not.

    >>> falling(np.array([3.0, 1.0, 2.0])).tolist()
    [3.0, 1.5, 1.5]
    """
    groups: list[list[float]] = []  # [sum, number]
    for value in values:
        groups.append([float(value), 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] < groups[-1][0] / groups[-1][1]:
            total, number = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += number
    return np.concatenate([np.full(int(n), s / n) for s, n in groups])


def known_counts(length: int) -> NDArray[np.int64]:
    """m at which the curve is measured: every count up to 16, then steps of an eighth, and the last.

    >>> known_counts(24).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 23]
    """
    found, m = {length - 1}, 0
    while m < length:
        found.add(m)
        m += max(1, m // 8)
    return np.array(sorted(found), dtype=np.int64)


def known_ranks(order: NDArray[np.int64], given: int) -> NDArray[np.int64]:
    """When each token became known as a network is told it, from places in an order of which the first are given: -1 there.

    >>> known_ranks(np.array([2, 0, 1]), 1).tolist()
    [1, -1, 0]
    """
    return np.maximum(order - given, -1)


@torch.no_grad()
def measure_information(
    model: Any,
    texts: Tensor,
    *,
    mask_id: int,
    given: int = 0,
    drawable: int = 0,
    orders: int = 1,
    batch_size: int = 16,
    seed: int = 0,
    source: str = "these texts",
    progress: Callable[[int], None] | None = None,
) -> Information:
    """The information curve of a network on texts int64 [S, L].

    Every text gets `orders` random orders; with m known, the first m positions of the order are shown. The counts of one order
    are nested, so that differences of the curve are less noisy than its values.

    Args:
        model: an `Engine`, a module, or a callable tokens [B, L] -> logits [B, L, V].
        drawable: ids from here on stand for no token; 0: all stand for one.
        others: as in `schedule`.

    Raises:
        ValueError: a network whose cost of a token depends on where in the sequence it stands.
    """
    check_order_free(model)
    rng = np.random.default_rng([seed, 17])
    length, any_order = texts.shape[1], attention_of(model) == "any-order"
    known = known_counts(length)
    if any_order:  # fewer than those that are given are never known
        known = np.union1d(known[known > given], [given])
    costs, done = np.zeros((len(texts), len(known))), 0
    for s, text in enumerate(texts):
        ranks = np.stack([rng.permutation(length) for _ in range(orders)])
        masks = torch.from_numpy(ranks[:, None, :] >= known[None, :, None]).reshape(-1, length)  # [orders G, L]
        told = torch.from_numpy(np.repeat(known_ranks(ranks, given), len(known), axis=0))
        means = []
        for part, rank in zip(masks.split(batch_size), told.split(batch_size), strict=True):
            shown = text.expand(len(part), length)
            losses = token_losses(model, shown, part, mask_id, drawable, rank if any_order else None).double()
            means += [float(m.mean()) for m in losses.split(part.sum(1).tolist())]
        costs[s] = np.array(means).reshape(orders, -1).mean(axis=0)
        done += len(masks)
        if progress is not None:
            progress(done)
    return Information(known, costs, length, source, given if any_order else None)


def schedule(
    model: Any = None,
    *,
    calls: int | None = None,
    nats: float | None = None,
    share: float | None = None,
    texts: Tensor | None = None,
    information: Information | None = None,
    given: int = 0,
    mask_id: int | None = None,
    windows: int = 64,
    orders: int = 1,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> CallSchedule:
    """The best schedule of tokens a call: for a number of calls, or the fewest calls within a budget.

    Args:
        model: a `Model`, `Engine` or `MaskedTransformer`, or a callable (with `texts` and `mask_id`).
        calls: network calls a sequence, 1 .. L; or
        nats: the fewest calls whose excess is at most this many nats a sequence; or
        share: the same as a share of the excess of a single call.
        texts: int64 [S, L] to measure on, of the length to be sampled; default `windows` pieces of the text that was held out
            when the model was trained.
        information: a curve that was measured before, in place of model and texts.
        given: tokens that are known before the first call (prompts, infilling), taken as randomly placed.
        orders: random orders a text. seed: of the orders and of the interval's resampling.

    Returns:
        `CallSchedule`, which `FirstHitting(tokens_per_call=...)` takes.

    Raises:
        ValueError, TypeError: not one of calls, nats and share; a value out of range or of another type; no texts for a
            callable.

    >>> flat = Information(np.array([0, 3]), np.array([[1.0, 1.0], [1.0, 1.0]]), 4, "independent tokens")
    >>> schedule(information=flat, nats=0.1).sizes
    (4,)
    """
    if sum(v is not None for v in (calls, nats, share)) != 1:
        raise ValueError("schedule: give one of calls, nats and share")
    wanted = {"calls": calls, "nats": nats, "share": share, "given": given, "windows": windows, "orders": orders}
    calls, nats, share, given, windows, orders = of_types(wanted, KINDS, "schedule").values()
    if information is None:
        information = measure(model, texts, mask_id, windows, orders, seed, progress, given)
    free = information.length - given
    if not 0 <= given < information.length:
        raise ValueError(f"schedule: given must be in 0..{information.length - 1}, got {given}")
    if information.given not in (None, given):
        raise ValueError(f"schedule: this curve is for {information.given} given tokens, got given {given}")
    curve = information.curve()
    if calls is not None:
        if not 1 <= calls <= free:
            raise ValueError(f"schedule: calls must be in 1..{free}, got {calls}")
        sizes = best_sizes(curve, given, lambda k, _: k == calls)[-1]
    else:
        budget = nats if nats is not None else share * excess(curve, [free], given)  # type: ignore[operator]
        if not budget >= 0:
            raise ValueError(f"schedule: the budget must be at least 0, got {nats if nats is not None else share}")
        sizes = best_sizes(curve, given, lambda _, cost: cost <= budget + 1e-12)[-1]
    uniform = excess(curve, uniform_sizes(free, len(sizes)), given)
    interval = information.interval(sizes, given, seed)
    return CallSchedule(sizes, excess(curve, sizes, given), interval, uniform, given, information.source)


def check_order_free(model: Any) -> None:
    """ValueError for a network whose cost of a token depends on more than how many others are known, in random order."""
    attention = attention_of(model)
    if attention == "causal":
        raise ValueError("schedule: a causal network draws one token a call, so that there is nothing to schedule")
    if attention == "block":
        raise ValueError(
            "schedule: for networks that draw tokens in random order from anywhere; in one of attention 'block' a token's "
            "cost depends on its block too"
        )


def measure(
    model: Any,
    texts: Tensor | None,
    mask_id: int | None,
    windows: int,
    orders: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
    given: int = 0,
) -> Information:
    """The information curve of what `schedule` was given."""
    from pymdm.evaluate.subject_text import load_subject

    if isinstance(model, MaskedTransformer):
        model = Engine(model)
    network, drawable, source = model, 0, "these texts"
    if isinstance(model, Model):
        network, drawable = model.engine, model.tokenizer.size if model.tokenizer is not None else 0
        if texts is None and (model.checkpoint is not None or not is_foreign(model.path)):
            subject = load_subject(model.checkpoint if model.checkpoint is not None else model.path)
            pieces = [p for p in subject.pieces if len(p) == subject.config.length]
            chosen = np.linspace(0, len(pieces) - 1, min(windows, len(pieces))).round().astype(int)
            texts = torch.from_numpy(np.stack([pieces[i] for i in chosen]).astype(np.int64))
            source = subject.text_name
    if isinstance(network, Engine):
        mask_id = network.config.mask_id
    if not callable(network):
        raise TypeError(f"schedule: expected a model or a callable, got {type(model).__name__}")
    if texts is None or mask_id is None:
        raise ValueError("schedule: a network without a held-out text of its own needs texts and mask_id")
    if not isinstance(texts, Tensor):
        raise TypeError(f"schedule: texts must be a tensor of integer tokens [S, L], got {described(texts)}")
    if texts.dim() != 2 or texts.is_floating_point() or not len(texts):
        raise ValueError(f"schedule: texts must be integer tokens [S, L], got {texts.dtype} {tuple(texts.shape)}")
    if not 0 <= given < texts.shape[1]:
        raise ValueError(f"schedule: given must be in 0..{texts.shape[1] - 1}, got {given}")
    return measure_information(
        network,
        texts,
        mask_id=mask_id,
        given=given,
        drawable=drawable,
        orders=orders,
        seed=seed,
        source=source,
        progress=progress,
    )
