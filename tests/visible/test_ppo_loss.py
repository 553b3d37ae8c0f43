"""Proximal policy optimization, visible: the two worked examples, and the properties that say what is meant."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, points


def wholes(low, high, size):
    """Whole numbers as floats: when a test fails, its example is easy to compute by hand."""
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(
        lambda numbers: torch.tensor(numbers).double()
    )


@points(0.5, "The worked example of the advantages comes out")
def test_advantages_worked_example(ppo_loss):
    """The example in the text: surprises [0.1, 0.2, 0.2], and half of each advantage handed to the step before it.

    Without γ and λ, they are 0.99 and 0.95. Whole numbers are computed as floats, and float64 stays float64.
    """
    rewards, values = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.6, 0.8, 0.0])
    advantages = ppo_loss.generalized_advantage_estimate(rewards, values, gamma=1.0, lam=0.5)
    assert_close(advantages, torch.tensor([0.25, 0.3, 0.2]), terms=6)
    rewards, values = torch.tensor([0, 1]), torch.tensor([1, 1, 0])
    expected = torch.tensor([0.99 - 1 + 0.99 * 0.95 * 0.0, 0.0])  # surprises of -0.01 and 0
    assert_close(ppo_loss.generalized_advantage_estimate(rewards, values), expected, terms=6, scale=1)
    whole = ppo_loss.generalized_advantage_estimate(torch.tensor([1, 2]), torch.tensor([0, 0, 0]), 1.0, 0.5)
    assert_close(whole, torch.tensor([2.0, 2.0]), terms=4)
    zeros = torch.zeros(3).double()
    assert_dtype(ppo_loss.generalized_advantage_estimate(zeros[:2], zeros), torch.float64)


@points(0.5, "With lam = 1, advantage + value is the discounted sum of what came")
@given(rewards=wholes(-2, 2, 3), values=wholes(-2, 2, 4), gamma=st.sampled_from([1.0, 0.9, 0.5]))
def test_lam_one_is_what_came(ppo_loss, rewards, values, gamma):
    """With lam = 1 the guesses in between cancel: A_t + V_t = r_t + γ r_{t+1} + γ² r_{t+2} + … + γ^(T−t) V_T."""
    advantages = ppo_loss.generalized_advantage_estimate(rewards, values, gamma=gamma, lam=1.0)
    coming, expected = values[3], []
    for t in reversed(range(3)):
        coming = rewards[t] + gamma * coming
        expected.insert(0, coming - values[t])
    # Three steps with five roundings each, on sums of at most 3 · (2 + 2 + 2).
    assert_close(advantages, torch.stack(expected), terms=15, scale=18)


@points(1, "The worked example of the loss comes out: too far, and too far the wrong way, for both signs")
def test_loss_worked_example(ppo_loss):
    """The smaller of r · A and clip(r) · A counts: the clip bites where the news is good, and never where it is bad.

    The band is as wide as `epsilon` says.
    """
    new, old = torch.tensor([-0.8, -0.8, -1.5, -1.5]), torch.full((4,), -1.0)
    up, down = torch.exp(torch.tensor([0.2, -0.5])).tolist()
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    for i, objective in enumerate([1.2, -up, down, -0.8]):
        one = slice(i, i + 1)
        # A difference of numbers of size 1.5, an exponential and a product.
        assert_close(ppo_loss.ppo_loss(new[one], old[one], signs[one]), torch.tensor(-objective), terms=6)
    assert_close(ppo_loss.ppo_loss(new, old, signs), torch.tensor((up - down - 0.4) / 4), terms=10, scale=1.3)
    wide = ppo_loss.ppo_loss(new, old, signs, epsilon=0.5)
    assert_close(wide, torch.tensor(-(down - down) / 4), terms=10, scale=1.3)


@points(0.5, "What the mask drops does not count")
def test_mask_drops_entries(ppo_loss):
    """Padding belongs neither in the sum nor in the number of entries that the sum is divided by."""
    advantages = torch.tensor([[1.0, 2.0, -3.0], [4.0, 50.0, -60.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    log_probs = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -1.0, -1.0]])
    # All ratios are 1, so the four advantages that count are averaged: (1 + 2 - 3 + 4) / 4 = 1.
    assert_close(ppo_loss.ppo_loss(log_probs, log_probs, advantages, mask=mask), torch.tensor(-1.0), terms=10, scale=10)


@points(0.5, "The gradient is minus the advantage, averaged, and only the new log-probabilities have one")
@given(log_probs=wholes(-5, -1, 4), advantages=wholes(-3, 3, 4))
def test_gradient_at_the_start(ppo_loss, log_probs, advantages):
    """At new = old all ratios are 1, and each log-probability is pulled by its advantage: the plain policy gradient.

    The old log-probabilities and the advantages are data, and no gradient reaches them.
    """
    found = ppo_loss.ppo_loss.gradients(log_probs, log_probs.clone(), advantages)
    assert_close(found.args[0], -advantages / 4, terms=6, scale=1)
    for gradient in found.args[1:]:
        assert_close(torch.zeros(4).double() if gradient is None else gradient, torch.zeros(4).double())
