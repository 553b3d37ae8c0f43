"""Reward models, visible: the worked examples, and the few properties that say what is meant."""

import math

import torch
from hypothesis import given

from autograder.suites import assert_close, assert_equal, points, tensors


@points(0.5, "The loss of the worked example is 0.894")
def test_worked_loss(reward_model):
    """The margins are 0.5 and -1, their losses -log sigmoid(0.5) and -log sigmoid(-1), and the loss is the mean."""
    loss = reward_model.bradley_terry_loss(torch.tensor([2.0, 0.0]), torch.tensor([1.5, 1.0]))
    assert_close(loss, torch.tensor((0.474076984180107 + 1.3132616875182228) / 2), terms=4)


@points(0.5, "Equal rewards have loss log 2")
@given(rewards=tensors((4,), -20, 20))
def test_equal_rewards(reward_model, rewards):
    """Two answers with the same reward win equally often: -log of 1/2. Only the difference counts."""
    assert_close(reward_model.bradley_terry_loss(rewards, rewards), torch.tensor(math.log(2)), terms=4)


@points(0.5, "A difference of ±1000 does not overflow")
def test_large_margins(reward_model):
    """sigmoid(-1000) is 0 as a float, and log(0) is infinite. That pair's loss is 1000: find a stable log-sigmoid."""
    loss = reward_model.bradley_terry_loss(torch.tensor([-1000.0, 1000.0]), torch.zeros(2))
    assert_close(loss, torch.tensor(500.0), terms=4)


@points(0.5, "The rewards of the worked example")
def test_worked_rewards(reward_model):
    """Each kept token pays beta times (policy - reference); the last kept one gets the reward on top; others get 0."""
    policy = torch.tensor([[-1.0, -0.5, -2.0, -3.0]])
    reference = torch.tensor([[-1.5, -0.75, -1.0, -4.0]])
    mask = torch.tensor([[False, True, True, False]])
    result = reward_model.kl_penalized_rewards(torch.tensor([1.0]), policy, reference, mask, 0.1)
    assert_close(result, torch.tensor([[0.0, -0.025, 1.1, 0.0]]), terms=4)


@points(0.5, "Each sequence's reward stands at its own last kept token")
def test_where_the_reward_stands(reward_model):
    """Where policy and reference agree, nothing is paid: only the rewards are left. They stand where a mask ends."""
    mask = torch.tensor([[True, True, True, True], [False, True, False, False], [False, False, True, False]])
    logps = torch.full((3, 4), -1.5)
    result = reward_model.kl_penalized_rewards(torch.tensor([2.0, -3.0, 4.0]), logps, logps, mask, 0.5)
    assert_close(result, torch.tensor([[0.0, 0, 0, 2], [0, -3, 0, 0], [0, 0, 4, 0]]))


@points(0.5, "Tokens that are not kept get 0")
@given(policy=tensors((2, 5), -9, 0), reference=tensors((2, 5), -9, 0))
def test_masked_tokens(reward_model, policy, reference):
    """Neither the prompt's tokens nor the padding pay or earn anything."""
    mask = torch.tensor([[False, True, True, False, False], [False, False, False, True, False]])
    result = reward_model.kl_penalized_rewards(torch.tensor([1.0, 2.0]), policy, reference, mask, 0.3)
    assert_equal(result[~mask], torch.zeros(7))
