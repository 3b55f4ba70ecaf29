"""The likelihood bound: unbiased, above the exact likelihood, and with an interval that covers."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.joint_law import MASK, L, V, joint, true_conditionals

from pymdm.data.masking import draw_masks
from pymdm.evaluate.bound import evaluate_bound, exact_bound, token_losses
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.loss import count_weights, draw_counts


def any_table(seed=0):
    """A denoiser given by a table: for every partly masked sequence its own log-probabilities, in no way consistent."""
    table = torch.randn((V + 1,) * L + (L, V), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    table = torch.log_softmax(1.5 * table, dim=-1)
    return lambda tokens: table[tuple(tokens.T)]


def likelihood(log_probs, x):
    """What the any-order model gives to x: the mean over all orders of the product of its conditionals."""
    total = 0.0
    for order in itertools.permutations(range(L)):
        row, log_p = torch.full((1, L), MASK), 0.0
        for l in order:
            log_p += float(log_probs(row)[0, l, x[l]])
            row[0, l] = x[l]
        total += math.exp(log_p)
    return total / math.factorial(L)


SEQUENCES = [(0, 1, 2, 0), (2, 2, 2, 2), (1, 0, 0, 2)]


def test_expectation_of_the_training_loss_is_the_bound():
    """Mean over n and over all masks of n positions, exactly; the weights are those of the code that trains."""
    log_probs = any_table()
    for x in SEQUENCES:
        tokens = torch.tensor([x])
        mean = 0.0
        for n in range(1, L + 1):
            subsets = list(itertools.combinations(range(L), n))
            for subset in subsets:
                masks = torch.zeros(1, L, dtype=torch.bool)
                masks[0, list(subset)] = True
                losses = token_losses(log_probs, tokens, masks, MASK).double()
                mean += float(count_weights(np.array([n]), L)[0] * losses.sum()) / len(subsets) / L  # nats per token
        assert L * mean == pytest.approx(exact_bound(log_probs, tokens[0], MASK), rel=1e-6)


def test_bound_is_never_below_the_likelihood():
    for seed in range(5):
        log_probs = any_table(seed)
        for x in SEQUENCES:
            bound = exact_bound(log_probs, torch.tensor(x), MASK)
            assert bound > -math.log(likelihood(log_probs, x)) + 1e-6  # strictly: its orders disagree


def test_bound_is_exact_for_true_conditionals():
    p = joint()
    log_probs = true_conditionals(p)
    for x in SEQUENCES:
        assert exact_bound(log_probs, torch.tensor(x), MASK) == pytest.approx(-math.log(float(p[x])), rel=1e-10)


def test_estimates_are_unbiased_and_intervals_cover():
    """120 estimates: their mean agrees with the exact bound and 95% intervals hold it nearly that often."""
    log_probs = any_table(3)
    sequences = [torch.tensor(SEQUENCES)]
    exact = sum(exact_bound(log_probs, torch.tensor(x), MASK) for x in SEQUENCES)
    for exact_counts in (False, True):
        values, inside = [], 0
        for seed in range(120):
            b = evaluate_bound(
                log_probs,
                sequences,
                MASK,
                characters=20,
                samples=16,
                seed=seed,
                exact_counts=exact_counts,
                batch_size=512,
            )
            low, high = (side * math.log(2) * 20 for side in b.bits.interval)
            inside += low <= exact <= high
            values.append(b.nats)
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - exact) < 5 * error
        assert inside >= 108


def test_network_and_callable_give_the_same_number_and_counts_add_up():
    torch.manual_seed(0)
    model = MaskedTransformer(ModelConfig(vocab_size=7, length=10, width=16, layers=1, heads=2, dropout=0.5)).train()
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(0, 7, (2, 10), generator=generator), torch.randint(0, 7, (1, 3), generator=generator)]
    a = evaluate_bound(model, sequences, 7, characters=46, samples=4)
    assert model.training  # as it was; dropout was off meanwhile, or the next line would fail
    b = evaluate_bound(lambda x: model.eval()(x), sequences, 7, characters=46, samples=4, batch_size=3)
    assert a.nats == pytest.approx(b.nats, rel=1e-5)
    assert (a.tokens, a.draws, a.characters) == (23, 12, 46)
    assert a.bits.value == pytest.approx(a.nats / math.log(2) / 46)
    assert a.perplexity == pytest.approx(math.exp(a.nats / 23))
    assert evaluate_bound(model, sequences, 7, samples=2, exact_counts=True).draws == 2 * (2 * 10 + 3)


def test_uniform_predictions_cost_log_v_per_token_without_error():
    b = evaluate_bound(lambda x: torch.zeros(*x.shape, 5), [torch.zeros(3, 8, dtype=torch.long)], 5, samples=2)
    assert b.nats == pytest.approx(24 * math.log(5), rel=1e-6) and b.std_error < 1e-5
    assert math.isnan(b.bits.value)


def test_bad_settings():
    def call(**settings):
        return evaluate_bound(lambda x: torch.zeros(*x.shape, 2), [torch.zeros(1, 2, dtype=torch.long)], 2, **settings)

    for samples in (0, 1, 3, -2):
        with pytest.raises(ValueError, match=r"^evaluate_bound: samples must be even"):
            call(samples=samples)
    with pytest.raises(ValueError, match=r"^evaluate_bound: batch_size must be at least 1"):
        call(batch_size=0)
    with pytest.raises(ValueError, match=r"^evaluate_bound: no text"):
        evaluate_bound(lambda x: x, [], 2)
    with pytest.raises(ValueError, match=r"^exact_bound: 2\^L masks"):
        exact_bound(lambda x: x, torch.zeros(17, dtype=torch.long), 2)


class Fixed:
    """A generator whose uniforms are given."""

    def __init__(self, values):
        self.values = values

    def random(self, size):
        return np.full(size, self.values)


@pytest.mark.parametrize(("B", "length"), [(4, 8), (3, 7), (8, 4), (5, 1)])
def test_low_discrepancy_counts_are_uniform_on_1_to_L_exactly(B, length):
    """Over a grid of u that hits every cell alike, each n comes up alike; and one batch is spread over all strata."""
    tally = np.zeros(length + 1, dtype=int)
    for j in range(length):
        counts = draw_counts(B, length, Fixed((j + 0.5) / length))
        tally[: length + 1] += np.bincount(counts, minlength=length + 1)
        i = np.arange(B)
        assert (counts >= np.floor(length * i / B)).all() and (counts <= np.ceil(length * (i + 1) / B)).all()
    assert tally.tolist() == [0] + [B] * length


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_counts_stay_in_range_at_the_ends_of_u(u):
    for draw in ("low-discrepancy", "stratified", "independent"):
        counts = draw_counts(4, 8, Fixed(u), draw)
        assert counts.min() >= 1 and counts.max() <= 8
    with pytest.raises(ValueError, match=r"^draw_uniforms: draw must be one of"):
        draw_counts(4, 8, Fixed(u), "sobol")


def test_stratified_and_independent_counts_are_uniform():
    """Chi-square of 40,000 counts on 8 cells; 45 is the 1e-6 quantile at 7 degrees of freedom (45.1)."""
    rng = np.random.default_rng(5)
    for draw in ("stratified", "independent"):
        counts = np.concatenate([draw_counts(4, 8, rng, draw) for _ in range(10_000)])
        observed = np.bincount(counts, minlength=9)[1:]
        assert ((observed - 5000.0) ** 2 / 5000.0).sum() < 45


def test_masks_have_their_count_and_every_subset_alike():
    """Chi-square on the 10 subsets of 2 of 5 positions, 20,000 draws; 1e-6 quantile at 9 degrees of freedom: 48.7."""
    rng = np.random.default_rng(6)
    counts = rng.integers(1, 6, size=50)
    assert (draw_masks(counts, 5, rng).sum(1) == counts).all()
    masks = draw_masks(np.full(20_000, 2), 5, rng)
    codes = np.bincount(masks @ (1 << np.arange(5)), minlength=32)
    observed = codes[codes > 0]
    assert len(observed) == 10 and ((observed - 2000.0) ** 2 / 2000.0).sum() < 48.7


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_other_weights_keep_the_scale_of_the_bound(power):
    """With every loss 1, each power gives 1 on average over n = 1..L; power 0 weighs every masked token alike."""
    n = torch.arange(1, 9)
    one_each = count_weights(n.numpy(), 8, power) * n.numpy()
    assert np.mean(one_each) == pytest.approx(1.0, rel=1e-6)
    per_token = np.array(one_each) / n.numpy()
    assert per_token == pytest.approx(per_token[0] * n.numpy().astype(float) ** -power, rel=1e-6)
