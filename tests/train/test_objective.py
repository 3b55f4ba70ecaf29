"""Objectives: all masked ones estimate one bound, the chunked head is the plain one, gradients are true."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pymdm.data.masking import causal_inputs
from pymdm.evaluate.any_order import BetaTimes, order_nats
from pymdm.evaluate.autoregressive import causal_losses
from pymdm.evaluate.bound import evaluate_bound, exact_bound
from pymdm.network.config import ModelConfig
from pymdm.network.cross_entropy import cross_entropy
from pymdm.network.transformer import MaskedTransformer
from pymdm.reference.forward import forward as reference_forward
from pymdm.sampling.schedules import Schedule
from pymdm.train.loss import count_weights
from pymdm.train.objective import Objective

V, L, MASK = 3, 4, 3
X = torch.tensor([0, 1, 2, 0])


def table(seed=0, slope=0.0):
    """log mu of any partly masked tokens [B, L] at times [B]: in no way consistent; surer of X the later and the more masks."""
    a = torch.randn((V + 1,) * L + (L, V), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    right = torch.nn.functional.one_hot(X, V).double()

    def log_probs(tokens, time):
        sure = slope * time * (tokens == MASK).sum(1) / L
        return (a[tuple(tokens.T)] + sure[:, None, None] * right).log_softmax(-1)

    return log_probs


def nll(log_probs, masks, times):
    """Sum over the masked positions of -log mu, for each row -> [B]."""
    rows = X.expand(len(masks), L)
    logs = log_probs(rows.masked_fill(masks, MASK), times)
    return (-logs.gather(-1, rows.unsqueeze(-1)).squeeze(-1) * masks).sum(1)


def continuous_bound(log_probs, schedule):
    """Integral of dm/m over m of the expected masked losses, by Gauss-Legendre quadrature over m."""
    masks = (torch.arange(1, 2**L)[:, None] >> torch.arange(L)) % 2 == 1
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total, n = 0.0, masks.sum(1).double()
    for m, w in zip((nodes + 1) / 2, weights / 2, strict=True):
        time = torch.full((len(masks),), schedule.time_of(m), dtype=torch.float64)
        total += w * float((m**n * (1 - m) ** (L - n) / m * nll(log_probs, masks, time)).sum())
    return total


@pytest.mark.parametrize("name", ["linear", "cosine", "geometric"])
@pytest.mark.parametrize("slope", [0.0, 4.0])
def test_continuous_and_count_bound_agree_in_expectation(name, slope):
    """Without and with time in the network (then n masks come with a time of Beta(L-n+1, n)), whatever the schedule."""
    log_probs, schedule = table(slope=slope), Schedule(name)
    right = continuous_bound(log_probs, schedule)
    if slope == 0.0:
        assert right == pytest.approx(exact_bound(lambda t: log_probs(t, torch.zeros(len(t))), X, MASK), rel=1e-9)
    rows = 60_000
    for kind in ("continuous", "count", "order-agnostic"):
        noise = Objective(kind, "stratified", name).noise(rows, L, np.random.default_rng(5))
        masks, times = torch.from_numpy(noise.masks), torch.from_numpy(noise.times)
        value = L * nll(log_probs, masks, times).numpy() * noise.bound_weights
        error = value.std() / math.sqrt(rows)
        assert error < 0.05 * right
        assert abs(value.mean() - right) < 6 * error, (kind, value.mean(), right, error)
        if kind == "count" and slope:  # a net that is always told the same time gives another number
            fixed = L * nll(log_probs, masks, torch.ones(rows)).numpy() * noise.bound_weights
            assert abs(fixed.mean() - right) > 6 * error


@pytest.mark.parametrize("name", ["linear", "cosine", "geometric"])
def test_rate_is_the_logarithmic_derivative(name):
    schedule = Schedule(name)
    for t in (0.01, 0.3, 0.7, 0.99):
        low, high = (math.log(schedule.mask_rate(t + d)) for d in (-1e-6, 1e-6))
        assert schedule.rate(t) == pytest.approx((high - low) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("kind", ["count", "order-agnostic"])
def test_masks_of_n_are_uniform_and_n_is(kind):
    noise = Objective(kind, "independent").noise(24_000, 3, np.random.default_rng(1))
    codes = np.bincount(noise.masks @ np.array([1, 2, 4]), minlength=8)
    counts = noise.masks.sum(1)
    assert (noise.bound_weights == 1.0 / counts).all() and codes[0] == 0
    expected = np.array([24_000 / 3 / math.comb(3, bin(code).count("1")) for code in range(1, 8)])
    assert ((codes[1:] - expected) ** 2 / expected).sum() < 50.0  # chi-square, 6 degrees: p = 5e-9


def test_the_mean_over_all_orders_is_the_bound():
    log_probs = table(3)
    still = lambda tokens: log_probs(tokens, torch.zeros(len(tokens)))  # noqa: E731
    orders = [order_nats(still, X, order, MASK) for order in itertools.permutations(range(L))]
    assert np.mean(orders) == pytest.approx(exact_bound(still, X, MASK), rel=1e-12)


def test_any_positive_weights():
    w = [3.0, 1.0, 1.0, 5.0]
    n = np.arange(1, 5)
    assert count_weights(n, 4, weights=w) * n == pytest.approx(np.array(w) / np.mean(w))
    noise = Objective(weights=w).noise(64, 4, np.random.default_rng(0))
    ratio = noise.weights / noise.bound_weights
    assert ratio == pytest.approx(np.array(w)[noise.masks.sum(1) - 1] / np.mean(w))
    for bad in ([1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, math.nan, 1.0, 1.0]):
        with pytest.raises(ValueError, match=r"^count_weights: weights must be 4 positive"):
            count_weights(n, 4, weights=bad)
    with pytest.raises(ValueError, match=r"^objective: weights w_n belong to mask counts"):
        Objective("continuous", weights=w)


def causal_network():
    torch.manual_seed(0)
    model = MaskedTransformer(ModelConfig(V, L, 16, 2, 2, attention="causal")).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model


def test_autoregressive_likelihood_is_a_distribution():
    model = causal_network()
    every = torch.tensor(list(itertools.product(range(V), repeat=L)))
    nats = causal_losses(model, every).double()
    assert float(torch.exp(-nats.sum(1)).sum()) == pytest.approx(1.0, abs=1e-5)
    objective = Objective("autoregressive")
    noise = objective.noise(2, L, np.random.default_rng(0))
    inputs = objective.inputs(every[:2], torch.from_numpy(noise.masks), MASK)
    assert noise.masks.all() and torch.equal(inputs, causal_inputs(every[:2], MASK))
    total, _ = model(inputs, rows=torch.arange(2 * L), targets=every[:2].flatten())
    assert float(total.detach()) == pytest.approx(float(nats[:2].sum()), rel=1e-5)


def test_time_conditioned_bound_averages_over_beta():
    class Timed(torch.nn.Module):
        def forward(self, tokens, time, rows):
            return table(slope=4.0)(tokens, time.double()).flatten(0, 1)[rows]

    network = BetaTimes(Timed(), MASK, "cosine", seed=2)
    bound = evaluate_bound(network, [X.expand(400, L)], MASK, samples=8)
    right = continuous_bound(table(slope=4.0), Schedule("cosine"))
    assert abs(bound.nats / 400 - right) < 6 * bound.std_error / 400 < 0.1 * right


# ---- the chunked head -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
@pytest.mark.parametrize("bias", [True, False])
def test_chunks_give_the_plain_loss_and_gradients(chunk, bias):
    g = torch.Generator().manual_seed(1)
    hidden, weight, offset = (torch.randn(*s, generator=g) for s in ((7, 6), (11, 6), (11,)))
    targets, weights = torch.randint(11, (7,), generator=g), torch.rand(7, generator=g)
    leaves = [hidden, weight, offset] if bias else [hidden, weight]
    plain = [t.double().requires_grad_() for t in leaves]
    losses = F.cross_entropy(F.linear(*plain), targets, reduction="none")
    (losses * weights).sum().mul(2.5).backward()
    ours = [t.clone().requires_grad_() for t in leaves]
    total, mine = cross_entropy(ours[0], ours[1], ours[2] if bias else None, targets, weights, chunk)
    (2.5 * total).backward()
    torch.testing.assert_close(mine.double(), losses.detach(), rtol=1e-5, atol=1e-5)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-5, atol=1e-5)


def test_chunked_head_against_finite_differences():
    g = torch.Generator().manual_seed(2)
    inputs = [torch.randn(*s, generator=g, dtype=torch.float64, requires_grad=True) for s in ((5, 3), (4, 3), (4,))]
    targets, weights = torch.tensor([0, 3, 1, 1, 2]), torch.tensor([1.0, 0.5, 2.0, 0.1, 1.0], dtype=torch.float64)
    loss = lambda: cross_entropy(*inputs, targets, weights, 2)[0]  # noqa: E731
    loss().backward()
    for t in inputs:
        for place in itertools.product(*map(range, t.shape)):
            with torch.no_grad():
                here = float(t[place])
                values = []
                for step in (1e-6, -1e-6):
                    t[place] = here + step
                    values.append(float(loss()))
                t[place] = here
            assert float(t.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-8)
    total = loss()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"^cross_entropy: its gradients can be taken once only"):
        total.backward()


def test_chunked_head_in_bfloat16_and_for_extreme_logits():
    g = torch.Generator().manual_seed(3)
    hidden, weight = torch.randn(40, 32, generator=g), torch.randn(50, 32, generator=g).requires_grad_()
    targets = torch.randint(50, (40,), generator=g)
    with torch.autocast("cpu", torch.bfloat16):
        total, losses = cross_entropy(hidden, weight, None, targets, chunk=16)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(
        losses, F.cross_entropy(hidden @ weight.detach().T, targets, reduction="none"), rtol=0.03, atol=0.2
    )
    total.backward()
    assert weight.grad.dtype == torch.float32 and weight.grad.isfinite().all()
    _, far = cross_entropy(1e4 * torch.eye(2), torch.eye(2), None, torch.tensor([0, 0]))
    assert far.tolist() == pytest.approx([0.0, 1e4])
    with pytest.raises(ValueError, match=r"^cross_entropy: hidden must be"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(4, 5), None, torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"^cross_entropy: targets and weights must be \[2\]"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), None, torch.tensor([0]))


@pytest.mark.parametrize("conditioning", ["none", "time"])
def test_gradients_of_the_network_against_finite_differences_of_the_float64_reference(conditioning):
    config = ModelConfig(V, L, 8, 2, 2, conditioning=conditioning, cond_dim=6, tied_head=True, qkv_bias=True)
    torch.manual_seed(4)
    model = MaskedTransformer(config)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    objective = Objective("continuous" if conditioning == "time" else "count")
    noise = objective.noise(3, L, np.random.default_rng(9))
    tokens, masks = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 0, 0, 2]]), torch.from_numpy(noise.masks)
    rows = masks.flatten().nonzero().squeeze(1)
    weights, targets = torch.from_numpy(noise.weights)[rows // L], tokens.flatten()[rows]
    seen = objective.inputs(tokens, masks, MASK)
    time = torch.from_numpy(noise.times).float()
    total, _ = model(seen, time, rows, targets, weights)
    total.backward()

    def loss(state):
        logits = reference_forward(config, state, seen.numpy(), time.double().numpy())
        chosen = torch.from_numpy(logits).flatten(0, 1)[rows]
        return float((F.cross_entropy(chosen, targets, reduction="none") * weights).sum())

    state = {name: t.detach().double().numpy() for name, t in model.state_dict().items()}
    assert loss(state) == pytest.approx(float(total.detach()), rel=1e-5)
    rng = np.random.default_rng(0)
    for name, p in model.named_parameters():
        place = tuple(int(rng.integers(n)) for n in p.shape)
        values = []
        for step in (1e-5, -1e-5):
            moved = {**state, name: state[name].copy()}
            moved[name][place] += step
            values.append(loss(moved))
        slope = (values[0] - values[1]) / 2e-5
        assert float(p.grad[place]) == pytest.approx(slope, rel=2e-4, abs=2e-5), name
