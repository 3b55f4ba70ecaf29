"""`sample`: the one way to draw sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pymdm.network.callable import callable_network
from pymdm.network.evaluation import evaluation_mode
from pymdm.network.hugging_face import HuggingFaceNetwork
from pymdm.sampling.check import integer
from pymdm.sampling.fitting import check_calls, check_given, fitted
from pymdm.sampling.opening import check_seed, given_tokens, open_state
from pymdm.sampling.options import MAX_COUNT, SampleOptions, changed
from pymdm.sampling.prompt import Prompt
from pymdm.sampling.result import Samples
from pymdm.sampling.run import RunOptions, run
from pymdm.sampling.samplers import FirstHitting, Sampler
from pymdm.sampling.settings import Settings, described

if TYPE_CHECKING:
    from pymdm._native import C
    from pymdm.network.loading import Network


def sample(
    model: Any,
    *,
    num_samples: int = 1,
    length: int | Sequence[int] | Mapping[int, float] | None = None,
    prompt: Prompt | None = None,
    infill: Prompt | None = None,
    seed: int | None = None,
    sampler: Sampler | None = None,
    options: SampleOptions | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    banned_tokens: Sequence[int] | None = None,
    allowed: Any = None,
    special_tokens: bool = False,
    mask_id: int | None = None,
    tokenizer: Any = None,
    time_conditioned: bool = False,
    chosen_rows: bool = False,
    logit_shift: bool = False,
    batch_size: int | None = None,
    sequence_ids: Sequence[int] | None = None,
    max_calls: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    watch: Callable[[Any], None] | None = None,
    watch_interval: float = 0.0,
    progress: bool = False,
) -> Samples:
    """Draws sequences from a masked diffusion model.

    Args:
        model: a model from `pymdm.load`, a path, a `MaskedTransformer`, an `Engine`, or any callable tokens [B, L] int64 ->
            logits [B, L, V] (`mask_id` is then needed; a mask column in the logits is ignored), or a masked language model
            of transformers as it is, with its tokenizer (docs/hugging_face.md). Modules behind a callable are in
            evaluation mode during the run.
        num_samples: sequences to draw, for each prompt.
        length: tokens in a sequence, one number or one for each sequence; default the model's length, at most 1,024; or a
            distribution, length -> weight, from which each sequence's length is drawn first, by seed and sequence id. The
            frame of models that have one ([CLS] ... [SEP]) comes on top and is kept.
        prompt: given tokens at the front, as text or integer tokens; a list gives one prompt a sequence. Token prompts may
            hold `mask_id` at positions to draw.
        infill: whole sequences with holes: text with [MASK:n] (see `pymdm.sampling.prompt.parse_infill`), or integer tokens
            with `mask_id`.
        seed: in [0, 2^64); None draws one from the system, and the result carries it.
        sampler: default `FirstHitting()`, exact, in the blocks that the network's attention asks for.
        options: how tokens are drawn from the network's conditionals; the next four change single values of it.
        temperature: logits are divided by it; 0 takes the arg-max. Other values than 1, the default, change the law to that
            of the tempered conditionals; top_k (0: off) and top_p (1: off) change the law to truncated conditionals.
        banned_tokens: ids that are never drawn; the conditionals are truncated to the others. The model's special tokens and
            ids that stand for no token are not drawn anyway: they have no part in its law.
        allowed: position -> the only ids that may be drawn there, or a boolean [L, V]; positions count from the start of the
            result's tokens, the frame included. At each event the conditional is cut to the position's set and normalised
            again, which the result's law calls "truncated".
        special_tokens: let the model draw its special tokens too.
        tokenizer: text <-> ids for a model without its own: a `Tokenizer`, or a tokenizer of `tokenizers` or `transformers`.
        time_conditioned, chosen_rows, logit_shift: forms of a callable, see `pymdm.network.callable.callable_network`.
        batch_size: sequences in one network call, default all. The samples do not depend on it.
        sequence_ids: random addresses of the sequences, default 0 .. B-1. A sequence's sample depends on seed and id alone.
        max_calls: stop after this many network calls; `resume` goes on from the result.
        dtype: "float32" or "bfloat16", for models this call loads itself; default as in `load`.
        device: "cpu" or "cuda", for models this call loads itself; default the CPU. On a CUDA device plain first-hitting
            stays there whole; other samplers run their loop on the host (docs/cuda.md).
        watch: called with the running state after network calls, at most every `watch_interval` seconds. Of the state it may
            read `tokens` int64 [T], all sequences one after the other, `mask_id` where nothing is drawn yet; `offsets` int64
            [B+1], sequence b is tokens[offsets[b]:offsets[b+1]]; `remaining` int64 [B], masks left; `rank` int64 [T], the
            place of each drawn token in its sequence's order, -1 before; `calls`, network calls so far. It may change nothing.
        progress: show a bar on stderr: rich's on a terminal, a rewritten line in a notebook, else a line a tenth.

    Returns:
        `Samples` with tokens, text, times, rank, nfe, seed and law.

    Raises:
        ValueError, TypeError: bad input, in one line that begins with "sample:".

    Source: Zheng et al., ICLR 2025, Proposition 4.1 and section 4.

    >>> import torch
    >>> uniform = lambda tokens: torch.zeros(*tokens.shape, 4)
    >>> out = sample(uniform, mask_id=4, length=6, num_samples=2, seed=1)
    >>> out.law, out.calls, tuple(out.tokens.shape)
    ('exact', 6, (2, 6))
    """
    from pymdm.network.loading import resolve, with_tokenizer

    network = with_tokenizer(resolve(model, dtype, device), tokenizer, mask_id)
    mask = mask_id if mask_id is not None else network.mask_id
    if mask is None:
        raise ValueError("sample: mask_id is needed for a network that is a plain callable")
    mask, seed = integer("mask_id", mask, 0, MAX_COUNT), check_seed(seed)
    sampler = fitted(sampler if sampler is not None else FirstHitting(), network, time_conditioned)
    options = changed(options, temperature, top_k, top_p, banned_tokens, allowed)
    starts, ids = given_tokens(
        network,
        mask,
        seed,
        num_samples=num_samples,
        length=length,
        prompt=prompt,
        infill=infill,
        sequence_ids=sequence_ids,
        options=options,
    )
    check_calls(sampler, starts, mask, sum(map(len, network.frame)))
    drawable = network.tokenizer.size if network.tokenizer is not None else 0
    return _drawn(
        open_state(sampler, starts, mask, seed, ids),
        network,
        network.tokenizer,
        sampler,
        Settings(described(sampler), options, drawable, special_tokens=special_tokens),
        forms=dict(time_conditioned=time_conditioned, chosen_rows=chosen_rows, logit_shift=logit_shift),
        batch_size=batch_size,
        max_calls=max_calls,
        watch=watch,
        watch_interval=watch_interval,
        progress=progress,
    )


def resume(
    model: Any,
    state: Samples | dict[str, Any],
    *,
    sampler: Sampler | None = None,
    options: SampleOptions | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    banned_tokens: Sequence[int] | None = None,
    allowed: Any = None,
    special_tokens: bool | None = None,
    tokenizer: Any = None,
    time_conditioned: bool = False,
    chosen_rows: bool = False,
    logit_shift: bool = False,
    batch_size: int | None = None,
    max_calls: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    watch: Callable[[Any], None] | None = None,
    watch_interval: float = 0.0,
    progress: bool = False,
) -> Samples:
    """Goes on with a run that `max_calls` stopped; the outcome is that of the run without the stop.

    Sampler and options are those of the stopped run. Options that are given change it: the law of the whole is then
    "approximate", and a warning says why.

    Args:
        model: as in `sample`, with the mask and the number of classes of the stopped run.
        state: the stopped `Samples`, or its plain data, `samples.to_dict()` or `samples.state.to_dict()`.
        sampler: needed only where plain data cannot say it: a schedule of the user's own functions.
        options, temperature, top_k, top_p, banned_tokens, allowed, special_tokens: None is that of the stopped run.
        others: as in `sample`.

    Returns:
        `Samples` of the whole run, or of its next part where `max_calls` stops it again.

    Raises:
        ValueError, TypeError: a state that is damaged, contradicts itself, or is of another sampler, mask or tokenizer.

    >>> import torch
    >>> uniform = lambda tokens: torch.zeros(*tokens.shape, 4)
    >>> half = sample(uniform, mask_id=4, length=6, seed=1, max_calls=3)
    >>> whole = sample(uniform, mask_id=4, length=6, seed=1)
    >>> torch.equal(resume(uniform, half.state.to_dict()).tokens, whole.tokens)
    True
    """
    from pymdm.network.loading import resolve, with_tokenizer

    network = resolve(model, dtype, device)
    given = state.to_dict() if isinstance(state, Samples) else state
    saved = Samples.from_dict(given, sampler=state.sampler if isinstance(state, Samples) else sampler)
    stopped = Settings.from_json(saved.state.settings)
    network = with_tokenizer(network, tokenizer, saved.state.mask_id)
    tokenizer = network.tokenizer or (state.tokenizer if isinstance(state, Samples) else None)
    sampler = fitted(sampler or saved.sampler, network, time_conditioned)
    if not stopped.made_by(sampler):
        raise ValueError(f"sample: the state is of another sampler: {stopped.sampler_text()}, got {sampler}")
    for name, own, of in (
        ("mask id", network.mask_id, saved.state.mask_id),
        ("number of classes", network.vocab_size, saved.state.vocab or None),
        ("number of tokens", tokenizer.size if tokenizer is not None else None, stopped.drawable or None),
    ):
        if own is not None and of is not None and own != of:
            raise ValueError(f"sample: the state is of another vocabulary: its {name} is {of}, the model's {own}")
    starts = (part.tolist() for part in saved.state.tokens.split(saved.state.offsets.diff().tolist()))
    check_given(starts, saved.state.mask_id, network.config)
    options = changed(options or saved.options, temperature, top_k, top_p, banned_tokens, allowed)
    special = stopped.special_tokens if special_tokens is None else bool(special_tokens)
    other = options != saved.options or (special != stopped.special_tokens and bool(network.banned))
    mixed = saved.mixed or (saved.calls > 0 and other)
    drawable = stopped.drawable or (tokenizer.size if tokenizer is not None else 0)
    return _drawn(
        saved.state,
        network,
        tokenizer,
        sampler,
        Settings(stopped.sampler, options, drawable, mixed, special),
        forms=dict(time_conditioned=time_conditioned, chosen_rows=chosen_rows, logit_shift=logit_shift),
        batch_size=batch_size,
        max_calls=max_calls,
        watch=watch,
        watch_interval=watch_interval,
        progress=progress,
    )


def _drawn(
    state: C.State,
    network: Network,
    tokenizer: Any,
    sampler: Sampler,
    settings: Settings,
    *,
    forms: dict[str, bool],
    **how: Any,
) -> Samples:
    """What `sample` and `resume` do alike: runs the state, which keeps the settings, and gives it as the result."""
    score = _score(network, **forms)
    options = RunOptions(settings.options, () if settings.special_tokens else network.banned, settings.drawable, **how)
    state.settings = settings.to_json()
    with ExitStack() as modes:  # modules behind a callable and behind a sampler's score are in evaluation mode
        for function in (network.callable, getattr(sampler, "score", None)):
            if function is not None:
                modes.enter_context(evaluation_mode(function))
        seconds = run(state, sampler, score, options)
    return Samples(state, sampler, settings.options, seconds, tokenizer, settings.mixed)


def _score(network: Network, time_conditioned: bool, chosen_rows: bool, logit_shift: bool) -> Any:
    """What the compiled loop calls: the engine itself, or a wrapped callable."""
    if network.engine is not None:
        for name, value in (
            ("time_conditioned", time_conditioned),
            ("chosen_rows", chosen_rows),
            ("logit_shift", logit_shift),
        ):
            if value:
                raise ValueError(f"sample: {name} is for callables; a loaded model knows its own form")
        return network.engine
    assert network.callable is not None
    if isinstance(network.callable, HuggingFaceNetwork):
        return HuggingFaceNetwork(network.callable.model, logit_shift)
    return callable_network(
        network.callable, time_conditioned=time_conditioned, chosen_rows=chosen_rows, logit_shift=logit_shift
    )
