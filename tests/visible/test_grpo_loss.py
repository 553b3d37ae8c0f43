"""Group relative policy optimization, visible: the two worked examples, and the properties that say what is meant."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_shape, points


def rows(low, high, height, width):
    """Whole numbers as floats: when a test fails, its example is easy to compute by hand."""
    row = st.lists(st.integers(low, high), min_size=width, max_size=width)
    return st.lists(row, min_size=height, max_size=height).map(lambda numbers: torch.tensor(numbers).double())


@points(0.5, "The worked example of the advantages comes out")
def test_advantages_worked_example(grpo_loss):
    """The example in the text: each reward less its group's mean, in units of its group's deviation (plus eps).

    Whole numbers are computed as floats, and float64 stays float64.
    """
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    common, rare = 0.5 / (3**-0.5 + 1e-4), 0.25 / (0.5 + 1e-4)
    expected = torch.tensor([[common, -common, -common, common], [-rare, -rare, -rare, 3 * rare]])
    assert_close(grpo_loss.group_relative_advantages(rewards), expected, terms=8)
    assert_close(grpo_loss.group_relative_advantages(rewards.long()), expected, terms=8)
    wide = expected * torch.tensor([[3**-0.5 + 1e-4], [0.5 + 1e-4]]) / torch.tensor([[3**-0.5 + 0.5], [1.0]])
    assert_close(grpo_loss.group_relative_advantages(rewards, eps=0.5), wide, terms=16)
    assert_dtype(grpo_loss.group_relative_advantages(rewards.double()), torch.float64)


@points(0.5, "In each group the advantages add up to 0, and where all rewards are equal they are 0")
@given(rewards=rows(-2, 2, 2, 4), equal=st.integers(-2, 2))
def test_groups_are_centered(grpo_loss, rewards, equal):
    """What one answer has above its group's mean, the others have below it. Equal rewards teach nothing."""
    rewards = torch.cat([rewards, torch.full((1, 4), float(equal), dtype=torch.float64)])
    advantages = grpo_loss.group_relative_advantages(rewards)
    assert_shape(advantages, (3, 4), like=rewards)
    # Rewards up to 2, advantages below 2, each of them off by a few roundings.
    assert_close(advantages.sum(dim=1), torch.zeros(3).double(), terms=16, scale=2)
    assert_close(advantages[2], torch.zeros(4).double())


@points(1, "The worked example of the loss comes out")
def test_loss_worked_example(grpo_loss):
    """Each token's clipped objective, less beta times its penalty; then each answer's mean, then the mean of those.

    What the mask drops counts nowhere. Without epsilon and beta, they are 0.2 and 0.04.
    """
    new = torch.tensor([[-1.0, -0.5, -2.0], [-1.5, -1.0, -1.0]])
    old = torch.tensor([[-1.0, -1.0, -2.0], [-1.0, -1.0, -1.0]])
    reference = torch.tensor([[-1.5, -1.5, -1.0], [-1.5, -3.0, -4.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    penalties = [math.exp(x) - x - 1 for x in (-0.5, -1.0, 1.0)]
    first = -sum(objective - 0.04 * penalty for objective, penalty in zip([1.5, 1.8, 1.5], penalties, strict=True)) / 3
    loss = grpo_loss.grpo_loss(new, old, reference, torch.tensor([1.5, -0.5]), epsilon=0.2, beta=0.04, mask=mask)
    assert_close(loss, torch.tensor((first + 0.4) / 2), terms=16, scale=2)
    advantages = torch.tensor([1.5, -0.5])
    assert_close(grpo_loss.grpo_loss(new, old, reference, advantages, mask=mask), loss, terms=16, scale=2)
    # In a band of 0.5 the second token counts 1.5 · 1.5, and the last one its ratio itself, 0.607.
    wide = (first - (2.25 - 1.8) / 3 + 0.5 * math.exp(-0.5)) / 2
    loss = grpo_loss.grpo_loss(new, old, reference, advantages, epsilon=0.5, mask=mask)
    assert_close(loss, torch.tensor(wide), terms=16, scale=2)


@points(0.25, "The penalty is 0 at the reference and positive everywhere else")
@given(new=rows(-4, -1, 1, 3), reference=rows(-4, -1, 1, 3))
def test_penalty_is_never_negative(grpo_loss, new, reference):
    """With advantages of 0, the penalty is all that is left of the loss: e^x − x − 1 with x = reference − new."""
    x = reference - new
    loss = grpo_loss.grpo_loss(new, new.clone(), reference, torch.zeros(1).double(), beta=1.0)
    assert_close(loss, (torch.expm1(x) - x).mean(), terms=10, scale=20)


@points(0.5, "A short answer weighs as much as a long one")
def test_answers_weigh_alike(grpo_loss):
    """First the mean over each answer's tokens, then the mean over the answers: being longer brings no more votes."""
    log_probs = torch.tensor([[-1.0, -2.0, -0.5, -1.0], [-3.0, -1.0, -1.0, -1.0]])
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    # All ratios are 1 and no penalty is due, so each token's loss is minus its answer's advantage.
    loss = grpo_loss.grpo_loss(log_probs, log_probs, log_probs, torch.tensor([1.0, 3.0]), mask=mask)
    assert_close(loss, torch.tensor(-2.0), terms=10)


@points(0.25, "Only the new log-probabilities learn, from the objective and from the penalty")
def test_gradient_at_the_start(grpo_loss):
    """Where new = old, a token's slope is minus its advantage, and beta · (1 − e^x) for the penalty.

    All else is data: no gradient reaches the old log-probabilities, the reference or the advantages.
    """
    new, reference = torch.tensor([[-1.0, -2.0, -0.5]]), torch.tensor([[-2.0, -1.5, -0.5]])
    found = grpo_loss.grpo_loss.gradients(new, new.clone(), reference, torch.tensor([2.0]), beta=0.5)
    assert_close(found.args[0], -2.0 / 3 + 0.5 * (1 - torch.exp(reference - new)) / 3, terms=16, scale=1)
    for gradient in found.args[1:]:
        assert gradient is None or not gradient.any(), "a gradient reaches what is data"
