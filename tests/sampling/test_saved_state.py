"""What a saved state holds, how it goes on, and what is refused."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from helpers.sampler_tables import SAMPLERS, L, V, draw, network, table

import pymdm
from pymdm._native import C


def resumed(state, **options):
    return pymdm.resume(network(table()), state, **options)


OPTIONS = [
    {"temperature": 0.0},
    {"temperature": 0.3},
    {"top_k": 1},
    {"top_p": 0.5},
    {"banned_tokens": [0]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_resume_keeps_the_options_of_the_stopped_run(options):
    whole = draw(pymdm.FirstHitting(), **options)
    half = draw(pymdm.FirstHitting(), max_calls=2, **options)
    for state in (half, half.to_dict(), half.state.to_dict()):
        out = resumed(state)
        assert torch.equal(out.tokens, whole.tokens) and out.law == whole.law and out.options == whole.options


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_resume_keeps_the_sampler_of_the_stopped_run(sampler):
    out = resumed(draw(sampler, max_calls=1).to_dict())
    assert torch.equal(out.tokens, draw(sampler).tokens) and out.law == draw(sampler).law


def test_a_state_of_another_sampler_is_refused():
    saved = draw(pymdm.FirstHitting(tokens_per_call=2, order=2), max_calls=1).to_dict()
    for other in (
        pymdm.FirstHitting(tokens_per_call=2, corrector=True),
        pymdm.FirstHitting(tokens_per_call=2),
        pymdm.FirstHitting(tokens_per_call=2, order=2, schedule="cosine"),
        pymdm.Remask(steps=4),
    ):
        with pytest.raises(ValueError, match="the state is of another sampler: FirstHitting"):
            resumed(saved, sampler=other)
    assert resumed(saved, sampler=pymdm.FirstHitting(tokens_per_call=2, order=2, schedule=pymdm.Schedule())).calls == 2
    assert (
        resumed(draw(pymdm.FirstHitting(lookahead=4), max_calls=1).to_dict(), sampler=pymdm.FirstHitting()).law
        == "exact"
    )


def test_kept_outputs_of_another_sampler_are_refused_by_the_core():
    keeping = [s for s in SAMPLERS if draw(s, max_calls=1).to_dict()["kept_scores"].numel()]
    assert len(keeping) >= 5
    for sampler in keeping:
        saved = draw(sampler, max_calls=1).to_dict()
        for other in SAMPLERS:
            if type(other.native()) is type(sampler.native()) and other in keeping:
                continue
            state = C.restored_state(saved)
            with pytest.raises(ValueError, match="keeps outputs that this sampler would not have kept"):
                C.run(state, other.native(), lambda *_: torch.zeros(1, V))


def test_a_state_of_another_mask_or_vocabulary_is_refused():
    torch.manual_seed(0)
    half = draw(pymdm.FirstHitting(), max_calls=1)
    for mask, words in ((V + 1, "its mask id is 3, the model's 4"), (V, "its number of classes is 3, the model's 4")):
        config = pymdm.ModelConfig(vocab_size=V + 1, length=L, width=16, layers=1, heads=2, mask_id=mask)
        with pytest.raises(ValueError, match=words):
            pymdm.resume(pymdm.Engine(pymdm.MaskedTransformer(config)), half)
    with pytest.raises(ValueError, match="the network gave 7 logits a row after 3"):
        pymdm.resume(lambda tokens: torch.zeros(*tokens.shape, 7), half)


def test_a_schedule_of_the_users_own_is_needed_again():
    sampler = pymdm.FirstHitting(
        schedule=pymdm.Schedule("user", masked=lambda t: t**2, time_of_masked=lambda m: m**0.5)
    )
    half = draw(sampler, max_calls=2)
    with pytest.raises(ValueError, match="cannot be made of plain values; give sampler="):
        resumed(half.to_dict())
    assert torch.equal(resumed(half).times, draw(sampler).times)
    assert torch.equal(resumed(half.to_dict(), sampler=sampler).times, draw(sampler).times)


def damaged(change):
    saved = draw(pymdm.FirstHitting(tokens_per_call=2, corrector=True), n=2, max_calls=1).to_dict()
    return {**saved, **{name: f(saved[name]) for name, f in change.items()}}


def put(i, value):
    def change(t):
        t = t.clone()
        t[i] = value
        return t

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": lambda _: 2}, "has format 2; this version reads format 1"),
        ({"order": lambda t: t[:3]}, "order must have 8 entries, got 3"),
        ({"order": lambda t: torch.where(t == 0, 1, t)}, "does not rank its drawn positions"),
        ({"remaining": lambda t: t + 1}, "contradicts itself"),
        ({"nfe": put(0, 2**63 - 1)}, "contradicts itself"),
        ({"event": put(0, 2**33)}, "contradicts itself"),
        ({"masked": put(0, float("nan"))}, "contradicts itself"),
        ({"calls": lambda _: 2**63 - 1}, "counts are out of range"),
        ({"calls": lambda _: 2**64}, "calls is of the wrong type or range, got 18446744073709551616"),
        ({"mask_id": lambda _: -1}, "the mask id must be in .*, got -1"),
        ({"vocab": lambda _: 2}, "has token|was drawn from 2 classes|would not have kept"),
        ({"tokens": lambda t: t.tolist()}, "tokens must be a tensor, got list"),
        ({"times": lambda t: t + 5}, "at a time in"),
        ({"kept_score_counts": lambda t: t * 0}, "keeps more outputs than its counts say"),
        ({"kept_event_counts": put(0, 2**63 - 1)}, "kept outputs end too early"),
        ({"kept_positions": put(0, 99)}, "keeps position 99 twice or beyond its length 4"),
        ({"kept_events": put(0, -1)}, "keeps event -1"),
        ({"settings": lambda _: "{"}, "the saved state's settings are damaged"),
        ({"settings": lambda _: "[" * 10**5}, "the saved state's settings are damaged"),
        ({"settings": lambda s: s.replace('"tokens_per_call": 2', '"tokens_per_call": 0')}, "sampler is damaged"),
    ],
)
def test_a_damaged_state_is_refused(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        resumed(damaged(change))
    assert str(caught.value).startswith("sample: ") and "\n" not in str(caught.value)


def test_a_state_without_a_part_is_refused():
    saved = draw(pymdm.FirstHitting(), n=2, max_calls=2).to_dict()
    for name in saved:
        if name != "seconds":
            with pytest.raises(ValueError, match=f"the saved state has no {name}"):
                resumed({k: v for k, v in saved.items() if k != name})
    with pytest.raises(TypeError, match="a saved state is a dict, got int"):
        resumed(5)


def test_a_state_past_the_end_of_another_grid_is_refused():
    saved = draw(pymdm.Ancestral(steps=6, cache=False), n=40, max_calls=5).state.to_dict()
    assert int(saved["remaining"].sum()) > 0
    for form in ("choose-then-sample", "literal"):
        with pytest.raises(ValueError, match="is at step 5 of a grid of 3"):
            C.run(C.restored_state(saved), pymdm.Ancestral(steps=3, form=form).native(), lambda *_: torch.zeros(1, V))


def test_a_state_that_no_sampler_has_begun_is_refused():
    one = torch.tensor([0, L])
    state = C.State(torch.full((L,), V), one, torch.tensor([0]), V, 1)
    with pytest.raises(ValueError, match="the state is not initialised"):
        C.run(state, pymdm.FirstHitting().native(), lambda *_: torch.zeros(1, V))
    with pytest.raises(ValueError, match="the state is not initialised"):
        state.to_dict()


def test_samples_are_sliced_pickled_copied_and_saved(tmp_path):
    sampler = pymdm.FirstHitting(tokens_per_call=2, corrector=True)
    out = draw(sampler, max_calls=1, temperature=0.7)
    out.save(tmp_path / "run.safetensors")
    copies = [
        pickle.loads(pickle.dumps(out)),
        copy.deepcopy(out),
        pymdm.Samples.from_dict(out.to_dict()),
        pymdm.Samples.load(tmp_path / "run.safetensors"),
    ]
    torch.save(out.to_dict(), tmp_path / "run.pt")
    copies.append(pymdm.Samples.from_dict(torch.load(tmp_path / "run.pt", weights_only=True)))
    whole = draw(sampler, temperature=0.7)
    for again in copies:
        assert torch.equal(again.tokens, out.tokens) and torch.equal(again.rank, out.rank)
        assert (again.law, again.seed, again.calls, again.sampler, again.options, again.seconds) == (
            (out.law, out.seed, out.calls, out.sampler, out.options, out.seconds)
        )
        assert torch.equal(resumed(again).tokens, whole.tokens)
    part = out[10:20:3]
    assert len(part) == 4 and torch.equal(part.tokens, out.tokens[10:20:3]) and part.calls == out.calls
    assert torch.equal(resumed(part).tokens, whole.tokens[10:20:3])
    assert len(out[:0]) == 0 and out[:0].tokens == [] and "0 of 0 tokens" in repr(out[:0])
    assert torch.equal(out[-1].tokens, out.tokens[-1])
    with pytest.raises(IndexError):
        out[64]


def test_a_file_that_holds_no_samples_is_refused(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "a").write_bytes(b"x" * 100)
    save_file({"tokens": torch.zeros(2)}, tmp_path / "b")
    save_file({}, tmp_path / "c", metadata={"samples": "[1]"})
    for name in "abc":
        with pytest.raises(ValueError, match="does not hold samples"):
            pymdm.Samples.load(tmp_path / name)


def test_repr_is_two_lines_and_html_shows_the_order():
    model = pymdm.load()
    out = pymdm.sample(model, infill="Return the [MASK:4] of <b> [MASK:3].", num_samples=6, seed=1)
    first, second = repr(out).split("\n")
    assert first.startswith("Samples(6 of ") and "law exact" in first and "seed 1" in first
    assert second == repr(out.text[0])
    html = out._repr_html_()
    assert "and 2 more" in html and "law exact" in html and "&lt;" in html
    assert html.count("<i style=") == 4 * 7  # four texts, seven drawn tokens each
    half = pymdm.sample(model, length=9, seed=1, max_calls=2)
    assert "\N{LIGHT SHADE}" in half._repr_html_()


def test_events_that_would_leave_their_32_bits_are_refused():
    # 2^32 with masks left wrapped to event 0, and order=2 then counted 2^32 rows of a call.
    saved = draw(pymdm.FirstHitting(tokens_per_call=2, order=2), n=3, max_calls=1).state.to_dict()
    for first in (2**32, 2**32 - 1):
        damaged = {**saved, "event": torch.tensor([2, first, 2])}
        with pytest.raises(ValueError, match=r"^sample: the state of sequence 1"):
            resumed(damaged)
