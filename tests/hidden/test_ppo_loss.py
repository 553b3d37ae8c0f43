"""Proximal policy optimization, hidden: against sums in float64 NumPy, for ratios inside and outside the band.

Rounding. An advantage is a sum of at most T surprises, each at most |r| + 2 |V|, and every step back rounds a handful
of times. A term of the loss is an exponential of a difference, times an advantage; the difference of log-probabilities
up to 6 is off by 6 eps, which the exponential turns into a relative error; a mean of n terms adds n roundings.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_shape, points, rests_on, seeds, tensors

SIZE = 3.0  # of rewards and values
DISCOUNTS = st.floats(0.3, 1.0)
EPISODES = st.integers(1, 7).flatmap(
    lambda steps: st.tuples(
        tensors((steps,), -SIZE, SIZE, np.float64),  # rewards
        tensors((steps + 1,), -SIZE, SIZE, np.float64),  # values
    )
)


def discounted(rewards, values, gamma, lam):
    """The advantages as a sum: A_t = sum over l of (gamma lam)^l delta_{t+l}, in float64."""
    rewards, values = rewards.double().numpy(), values.double().numpy()
    deltas = rewards + gamma * values[1:] - values[:-1]
    steps = np.arange(len(deltas))
    ahead = steps[None, :] - steps[:, None]  # [T, T]
    return torch.from_numpy(np.where(ahead >= 0, (gamma * lam) ** np.maximum(ahead, 0.0), 0.0) @ deltas)


def assert_advantages(got, expected):
    """Close, up to the rounding of T steps."""
    steps = len(expected)
    assert_close(got, expected, terms=2 * steps + 6, scale=3 * SIZE * steps)


def assert_change(estimate, before, after, gamma, lam, expected):
    """From one episode to the other the advantages change by `expected`, up to the rounding of both."""
    results = [estimate(*episode, gamma=gamma, lam=lam) for episode in (before, after)]
    for result in results:
        assert_shape(result, before[0].shape, like=before[0])
    steps = len(expected)
    expected = torch.tensor(expected, dtype=torch.float64)
    assert_close(results[1] - results[0], expected, terms=4 * steps + 12, scale=3 * SIZE * steps)


def batch(seed, shape, spread=1.0):
    """New and old log-probabilities and advantages; with spread 1 half of the ratios are outside the band."""
    numbers = np.random.default_rng(seed)
    old = -numbers.uniform(1.0, 5.0, shape)
    new = old + numbers.uniform(-spread, spread, shape)
    return tuple(torch.from_numpy(array) for array in (new, old, numbers.normal(size=shape)))


def terms_of(new, old, advantages, epsilon):
    """Minus the objective of each entry, by cases: good news counts up to the band's edge, bad news without limit."""
    new, old, advantages = (tensor.double().numpy() for tensor in (new, old, advantages))
    ratio = np.exp(new - old)
    believed = np.where(advantages > 0, np.minimum(ratio, 1 + epsilon), np.maximum(ratio, 1 - epsilon))
    return torch.from_numpy(-believed * advantages)


def assert_loss(got, terms):
    """The mean of the terms, up to rounding."""
    assert_close(got, terms.mean(), terms=20 + terms.numel(), scale=float(terms.abs().max()))


@points(0.25, "The advantages are right")
@rests_on("A_t = delta_t + gamma lam A_{t+1}, delta_t = r_t + gamma V_{t+1} - V_t")
@given(episode=EPISODES, gamma=DISCOUNTS, lam=DISCOUNTS)
def test_advantages(ppo_loss, episode, gamma, lam):
    """A_t is this step's surprise plus γλ times the advantage of the step after it: start at the end and walk back."""
    got = ppo_loss.generalized_advantage_estimate(*episode, gamma=gamma, lam=lam)
    assert_advantages(got, discounted(*episode, gamma, lam))


@points(0.25, "Long episodes, from their last step to their first")
@rests_on("So walk from the end to the start")
@given(seed=seeds(), steps=st.sampled_from([30, 200]))
@settings(max_examples=6)
def test_long_episodes(ppo_loss, seed, steps):
    """An episode may have hundreds of steps, and with γ and λ near 1 a surprise at its end reaches far back."""
    numbers = np.random.default_rng(seed)
    rewards, values = (torch.from_numpy(numbers.uniform(-SIZE, SIZE, size)) for size in (steps, steps + 1))
    got = ppo_loss.generalized_advantage_estimate(rewards, values, gamma=0.999, lam=0.98)
    assert_advantages(got, discounted(rewards, values, 0.999, 0.98))


@points(0.5, "With lam = 0, an advantage is its own step's surprise")
@rests_on("With λ = 0 an advantage is δ alone")
@given(episode=EPISODES, gamma=DISCOUNTS)
def test_surprises(ppo_loss, episode, gamma):
    """δ_t is the reward plus the discounted value after the step, less the value before it. λ has no part in it."""
    got = ppo_loss.generalized_advantage_estimate(*episode, gamma=gamma, lam=0.0)
    assert_advantages(got, discounted(*episode, gamma, 0.0))


@points(0.5, "A reward is credited to its own step and to those before it, less to each by γλ")
@rests_on("how much of the surprises after it a step is credited with")
@given(episode=EPISODES, gamma=DISCOUNTS, lam=DISCOUNTS, place=st.integers(0, 100))
def test_credit(ppo_loss, episode, gamma, lam, place):
    """A reward larger by 1 raises its step's advantage by 1, the one before by γλ, then (γλ)², and none after it."""
    rewards, values = episode
    t = place % len(rewards)
    more = rewards.clone()
    more[t] += 1
    shares = [(gamma * lam) ** (t - step) if step <= t else 0.0 for step in range(len(rewards))]
    assert_change(ppo_loss.generalized_advantage_estimate, episode, (more, values), gamma, lam, shares)


@points(0.5, "The value after the last step counts")
@rests_on("0 where the episode ended, the next state's value where it was only cut off")
@given(episode=EPISODES, gamma=DISCOUNTS, lam=DISCOUNTS)
def test_bootstrap(ppo_loss, episode, gamma, lam):
    """The last of the T + 1 values stands for all that comes after the last reward. It is not always 0."""
    rewards, values = episode
    more = values.clone()
    more[-1] += 1
    shares = [gamma * (gamma * lam) ** steps_before for steps_before in reversed(range(len(rewards)))]
    assert_change(ppo_loss.generalized_advantage_estimate, episode, (rewards, more), gamma, lam, shares)


@points(0.5, "gamma is 0.99 and lam 0.95 where nothing else is said")
@rests_on("gamma: float = 0.99, lam: float = 0.95")
def test_advantage_defaults(ppo_loss):
    """The defaults are part of the contract: gamma=0.99, lam=0.95, in this order, each used where it is left out."""
    episode = (torch.tensor([0.5, -1.0, 2.0, 0.25]).double(), torch.tensor([1.0, -0.5, 1.5, 0.75, -2.0]).double())
    estimate = ppo_loss.generalized_advantage_estimate
    assert_advantages(estimate(*episode), discounted(*episode, 0.99, 0.95))
    assert_advantages(estimate(*episode, lam=0.5), discounted(*episode, 0.99, 0.5))
    assert_advantages(estimate(*episode, gamma=0.5), discounted(*episode, 0.5, 0.95))
    assert_advantages(estimate(*episode, 0.7, 0.4), discounted(*episode, 0.7, 0.4))


@points(0.5, "Advantages keep their dtype, and whole numbers become floats")
@rests_on("Floating dtypes are kept; integers are computed as floats.")
def test_advantage_dtypes(ppo_loss):
    """The result has the dtype of what came in; rewards that are whole numbers must not round the advantages."""
    rewards, values = torch.tensor([1, 0, -2, 3]), torch.tensor([2, 1, 0, -1, 1])
    expected = discounted(rewards, values, 0.9, 0.8)
    assert_dtype(ppo_loss.generalized_advantage_estimate(rewards.half(), values.half()), torch.float16)
    for dtype in (torch.float32, torch.float64):
        got = ppo_loss.generalized_advantage_estimate(rewards.to(dtype), values.to(dtype), gamma=0.9, lam=0.8)
        assert_dtype(got, dtype)
        assert_advantages(got, expected)
    assert_advantages(ppo_loss.generalized_advantage_estimate(rewards, values.float(), gamma=0.9, lam=0.8), expected)
    assert_advantages(ppo_loss.generalized_advantage_estimate(rewards, values, gamma=0.9, lam=0.8), expected)
    undiscounted = ppo_loss.generalized_advantage_estimate(rewards, values, gamma=1, lam=0.5)
    assert_advantages(undiscounted, discounted(rewards, values, 1.0, 0.5))


@points(0.5, "The clip bites on both sides, and only where the news is good")
@rests_on("believes good news up to the edge of the band, and bad news without limit")
@given(
    epsilon=st.sampled_from([0.1, 0.2, 0.3]), size=st.floats(0.5, 4), past=st.floats(0.01, 3), part=st.floats(0.1, 0.9)
)
def test_one_entry(ppo_loss, epsilon, size, past, part):
    """The ratio below, in or above the band, the action good or bad: in two of these six cases the clip decides."""
    above, below = np.log1p(epsilon), np.log1p(-epsilon)
    old = torch.full((1,), -4.0, dtype=torch.float64)
    for log_ratio in (below - past, below * part, above * part, above + past):
        for advantage in (size, -size):
            entry = (old + log_ratio, old, torch.full((1,), advantage, dtype=torch.float64))
            assert_loss(ppo_loss.ppo_loss(*entry, epsilon=epsilon), terms_of(*entry, epsilon))


@points(0.5, "The loss is one mean over all entries, of any shape")
@rests_on("a mean over all entries that count")
@given(
    seed=seeds(),
    shape=st.sampled_from([(5,), (3, 7), (7, 3), (2, 3, 4), (1,), (1, 1), (4, 4)]),
    epsilon=st.floats(0.05, 0.6),
)
def test_mean_over_all(ppo_loss, seed, shape, epsilon):
    """First the smaller product of each entry, then minus the mean over all of them: one number."""
    entries = batch(seed, shape)
    assert_loss(ppo_loss.ppo_loss(*entries, epsilon=epsilon), terms_of(*entries, epsilon))


@points(0.25, "epsilon is 0.2 where nothing else is said")
@rests_on("epsilon: float = 0.2")
def test_default_epsilon(ppo_loss):
    """The default is part of the contract: a ratio counts from 0.8 to 1.2. epsilon is the fourth argument."""
    ratios = torch.tensor([0.75, 0.85, 1.15, 1.25], dtype=torch.float64)
    for sign in (1.0, -1.0):
        entries = (ratios.log() - 1, torch.full_like(ratios, -1.0), torch.full_like(ratios, sign))
        assert_loss(ppo_loss.ppo_loss(*entries), terms_of(*entries, 0.2))
        assert_loss(ppo_loss.ppo_loss(*entries, 0.22), terms_of(*entries, 0.22))


@points(0.25, "The mask counts each entry that it keeps once, and no other")
@rests_on("True for the entries that count, at least one; None for all")
@given(seed=seeds(), counts=st.permutations([1, 2, 4, 6]), columns=st.permutations(range(6)))
def test_mask(ppo_loss, seed, counts, columns):
    """The mean is over the kept entries of all rows together: a token of a short answer weighs as much as any other."""
    entries = batch(seed, (4, 6), spread=0.2)  # all ratios are in the band, for this is about the mask alone
    mask = (torch.arange(6) < torch.tensor(counts)[:, None])[:, columns]  # [4, 6], another count in each row
    assert_loss(ppo_loss.ppo_loss(*entries, epsilon=0.3, mask=mask), terms_of(*entries, 0.3)[mask])


@points(0.25, "Mask and clip together, and the gradient then")
@rests_on("it belongs neither in the sum nor in the count that the sum is divided by")
@given(seed=seeds(), epsilon=st.sampled_from([0.1, 0.3]))
def test_mask_and_clip(ppo_loss, seed, epsilon):
    """The clip decides for each entry, with a mask as without, and only the kept entries teach."""
    new, old, advantages = batch(seed, (4, 6))
    mask = torch.arange(6) < torch.tensor([2, 6, 1, 4])[:, None]  # [4, 6]
    found = ppo_loss.ppo_loss.gradients(new, old, advantages, epsilon=epsilon, mask=mask)
    assert_loss(found.value, terms_of(new, old, advantages, epsilon)[mask])
    ratio = torch.exp(new - old)
    enough = torch.where(advantages > 0, ratio > 1 + epsilon, ratio < 1 - epsilon)
    expected = torch.where(enough | ~mask, torch.zeros_like(ratio), -ratio * advantages / 13)
    assert_close(found.args[0], expected, terms=20)


@points(0.5, "The gradient is right, and zero where the clip decides")
@rests_on("It does not depend on the new policy, so its gradient is zero")
@given(seed=seeds(), epsilon=st.sampled_from([0.1, 0.3]))
def test_gradient(ppo_loss, seed, epsilon):
    """An entry that went far enough is left alone; every other one is pulled by its ratio times its advantage."""
    new, old, advantages = batch(seed, (4, 5))
    found = ppo_loss.ppo_loss.gradients(new, old, advantages, epsilon=epsilon)
    ratio = torch.exp(new - old)
    enough = torch.where(advantages > 0, ratio > 1 + epsilon, ratio < 1 - epsilon)
    expected = torch.where(enough, torch.zeros_like(ratio), -ratio * advantages / 20)
    assert_close(found.args[0], expected, terms=20)


@points(0.5, "No gradient reaches the old policy or the advantages")
@rests_on("Gradients reach `new_log_probs` alone.")
@given(seed=seeds())
def test_data_gets_no_gradient(ppo_loss, seed):
    """What the old policy did, and how well it went, are facts. Only the new log-probabilities are there to learn."""
    found = ppo_loss.ppo_loss.gradients(*batch(seed, (3, 4)), epsilon=0.3)
    for gradient in found.args[1:]:
        assert_close(torch.zeros(3, 4) if gradient is None else gradient, torch.zeros(3, 4))


@points(0.25, "The loss keeps its dtype, and whole numbers become floats")
@rests_on("in the dtype of the log-probabilities; whole numbers are computed as floats")
def test_loss_dtypes(ppo_loss):
    """The loss has the dtype of the log-probabilities; advantages of +1 and -1 may come as whole numbers."""
    new, old, advantages = torch.tensor([-1, -3, -2]), torch.tensor([-2, -2, -2]), torch.tensor([1, -1, 4])
    expected = terms_of(new, old, advantages, 1.8)  # e and 1/e are in the band
    assert_dtype(ppo_loss.ppo_loss(new.half(), old.half(), advantages.half(), epsilon=1.8), torch.float16)
    for dtype in (torch.float32, torch.float64):
        got = ppo_loss.ppo_loss(new.to(dtype), old.to(dtype), advantages.to(dtype), epsilon=1.8)
        assert_dtype(got, dtype)
        assert_loss(got, expected)
        assert_loss(ppo_loss.ppo_loss(new.to(dtype), old.to(dtype), advantages, epsilon=1.8), expected)
    assert_loss(ppo_loss.ppo_loss(new, old, advantages, epsilon=1.8), expected)
