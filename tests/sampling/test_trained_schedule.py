"""A time-conditioned network is told the times of the schedule that it was trained with, whatever samples it."""

import pytest
import torch
from helpers.command_line import run, run_json

import pymdm
from pymdm.data.tokenizer import Tokenizer
from pymdm.network.checkpoint import save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer
from pymdm.sampling.fitting import with_schedule

LETTERS = Tokenizer.train(["abcdefgh"], "char")
FIRST = pymdm.FirstHitting
TELLING = [
    lambda **s: FIRST(**s),
    lambda **s: FIRST(tokens_per_call=2, order=2, **s),
    lambda **s: FIRST(tokens_per_call=2, corrector=True, **s),
    lambda **s: pymdm.Ancestral(steps=4, **s),
    lambda **s: pymdm.Ancestral(steps=4, form="literal", cache=False, **s),
    lambda **s: pymdm.Remask(steps=4, **s),
]


def folder(path, schedule, conditioning="time", objective="continuous"):
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=8, length=8, width=16, layers=1, heads=2, conditioning=conditioning, cond_dim=8)
    model = MaskedTransformer(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(("ada_final", "time_mlp", "head.weight")):
                p.normal_(0.0, 0.3)  # a fresh network does not see the time
    recipe = {"schedule": schedule, "objective": objective, "conditioning": conditioning}
    save_checkpoint(path, config, model.state_dict(), LETTERS, {"recipe": recipe})
    return path


@pytest.mark.parametrize("make", TELLING)
def test_the_default_is_the_schedule_of_training(make, tmp_path):
    """The checkpoint's own schedule without a word, the same with it; and the network sees other times with another."""
    model = pymdm.load(folder(tmp_path / "geometric", "geometric"))
    by_default = pymdm.sample(model, num_samples=20, seed=1, sampler=make())
    assert by_default.sampler == make(schedule="geometric")
    named = pymdm.sample(model, num_samples=20, seed=1, sampler=make(schedule="geometric"))
    assert torch.equal(by_default.tokens, named.tokens)
    unknown = pymdm.sample(
        model.engine, num_samples=20, seed=1, sampler=make()
    )  # an engine says nothing of its training
    linear = pymdm.sample(model.engine, num_samples=20, seed=1, sampler=make(schedule="linear"))
    assert torch.equal(unknown.tokens, linear.tokens) and not torch.equal(linear.tokens, named.tokens)


@pytest.mark.parametrize("make", TELLING)
def test_a_contradiction_is_refused(make, tmp_path):
    model = pymdm.load(folder(tmp_path / "geometric", "geometric"))
    for schedule in ("linear", "cosine", pymdm.Schedule("geometric", sigma_max=10.0)):
        with pytest.raises(
            ValueError, match=r"^sample: the network was trained with times of the geometric schedule, but"
        ):
            pymdm.sample(model, seed=1, sampler=make(schedule=schedule))
    half = pymdm.sample(model, seed=1, sampler=make(), max_calls=1)
    with pytest.raises(ValueError, match=r"^sample: the network was trained with times of the geometric schedule, but"):
        pymdm.resume(model, half, sampler=make(schedule="cosine"))
    assert torch.equal(pymdm.resume(model, half).tokens, pymdm.sample(model, seed=1, sampler=make()).tokens)


def test_confidence_tells_shares_of_masks(tmp_path):
    rule = pymdm.Confidence()
    pymdm.sample(pymdm.load(folder(tmp_path / "linear", "linear")), seed=1, sampler=rule)
    with pytest.raises(ValueError, match=r"^sample: .* cosine schedule, but Confidence tells it those of the linear"):
        pymdm.sample(pymdm.load(folder(tmp_path / "cosine", "cosine")), seed=1, sampler=rule)


def test_a_network_without_time_may_have_any_schedule(tmp_path):
    model = pymdm.load(folder(tmp_path / "free", "geometric", conditioning="none"))
    a, b = (pymdm.sample(model, seed=1, sampler=FIRST(schedule=s)) for s in (None, "cosine"))
    assert torch.equal(a.tokens, b.tokens) and not torch.equal(a.times, b.times)
    assert with_schedule(FIRST(), None) == FIRST()


def test_on_the_command_line(tmp_path):
    path = folder(tmp_path / "geometric", "geometric")
    texts = [run_json("sample", path, "--seed", 1, *more)["samples"] for more in ((), ("--schedule", "geometric"))]
    assert texts[0] == texts[1]
    for sampler in ("first-hitting", "ancestral", "remask"):
        result = run("sample", path, "--schedule", "linear", "--sampler", sampler)
        assert result.exit_code == 2 and "was trained with times of the geometric schedule" in result.stderr
    for bad, message in (("square", "schedule: expected linear, cosine"), ("user", "schedule: `user`")):
        assert message in run("sample", path, "--schedule", bad).stderr
    result = run("sample", path, "--schedule", "linear", "--sampler", "confidence")
    assert (
        result.exit_code == 2
        and "--schedule belongs to --sampler first-hitting or ancestral or remask, got" in result.stderr
    )


def test_from_training_to_samples(tmp_path):
    """The user's trial: train with a geometric schedule and time, then sample without a word of it."""
    (tmp_path / "s.txt").write_text("".join(f"line {i} of the text to learn from\n\n" for i in range(300)))
    small = ["--width", 16, "--layers", 1, "--heads", 2, "--length", 16, "--steps", 2, "--precision", "float32"]
    kind = ["--objective", "continuous", "--schedule", "geometric", "--conditioning", "time"]
    assert run("train", tmp_path / "s.txt", "--out", tmp_path / "run", "--vocab", "byte", *small, *kind).exit_code == 0
    out = pymdm.sample(pymdm.load(tmp_path / "run"), seed=1)
    assert out.sampler.schedule == "geometric" and out.law == "exact"
    assert "geometric" in run("sample", tmp_path / "run", "--schedule", "linear").stderr
