"""Reward models, hidden: the loss against NumPy's `logaddexp`, the penalized rewards against a loop in float64.

Rounding, in units of half an eps. A margin is one difference of rewards; the loss changes no faster than its margin,
and log(sigmoid) taken in two steps is off by an eps of 1; the mean of B losses adds B roundings. Losses are in float32:
there, a softplus that is a straight line beyond 20, or a sigmoid with something tiny added, costs no test but the
extremes. A penalized reward takes a difference, a product and a sum, of numbers below 6·beta + |reward|.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_equal, points, rests_on, seeds

SIZES = st.sampled_from([(1, 4), (2, 3), (3, 7), (5, 4), (4, 6), (4, 4), (1, 1)])  # sequences and tokens
# How masks look: a completion with padding behind, a prompt before, both, holes, one token, all.
MASKS = torch.tensor(
    [
        [1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 0, 0],
        [0, 1, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [1, 0, 1, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ],
    dtype=torch.bool,
)


def draw_rewards(seed, batch, dtype=torch.float32):
    """Rewards of chosen and of rejected answers, `[2, batch]`, of either sign."""
    return 1.5 * torch.randn((2, batch), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expected_losses(rewards):
    """The loss of each pair: log(1 + exp(rejected - chosen))."""
    chosen, rejected = rewards.double().numpy()
    return np.logaddexp(0, rejected - chosen)


def draw_sequences(seed, sizes, dtype=torch.float64):
    """Rewards, log-probabilities by policy and reference from -6 to 0, and a mask that keeps a token in each row."""
    generator = torch.Generator().manual_seed(seed)
    rewards = 3 * torch.randn(sizes[0], generator=generator, dtype=dtype)
    policy, reference = -6 * torch.rand((2, *sizes), generator=generator, dtype=dtype)
    mask = torch.rand(sizes, generator=generator) < 0.5
    mask[torch.arange(sizes[0]), torch.randint(sizes[1], sizes[:1], generator=generator)] = True
    return rewards, policy, reference, mask


def expected_rewards(rewards, policy, reference, mask, beta):
    """Token by token, from the last to the first: the first kept one on this way is the last of the sequence."""
    result = np.zeros(mask.shape)
    for row in range(mask.shape[0]):
        open_reward = float(rewards[row])
        for place in reversed(range(mask.shape[1])):
            if mask[row, place]:
                result[row, place] = open_reward - beta * float(policy[row, place] - reference[row, place])
                open_reward = 0.0
    return torch.from_numpy(result)


def scalar(number):
    """A tensor without axes."""
    return torch.tensor(float(number))


@points(0.5, "The loss of any batch of pairs")
@rests_on("The mean of -log sigmoid(chosen - rejected)")
@given(seed=seeds(), batch=st.integers(1, 6))
def test_loss_values(reward_model, seed, batch):
    """The mean of -log sigmoid(chosen - rejected): small for a pair in the right order, large in the wrong one."""
    rewards = draw_rewards(seed, batch)
    loss = reward_model.bradley_terry_loss(*rewards)
    assert_close(loss, scalar(expected_losses(rewards).mean()), terms=4 + batch, scale=10.0)


@points(0.5, "Every pair has its own loss, and the batch their mean")
@rests_on("a batch has the mean of its pairs")
@given(margins=st.lists(st.floats(1, 8), min_size=1, max_size=4), level=st.floats(-5, 5))
def test_mean_of_losses(reward_model, margins, level):
    """The sigmoid comes before the mean: a pair in the right order by far must not hide one in the wrong order."""
    margins = torch.tensor([sign * margin for margin in margins for sign in (1, -1)])
    rejected = torch.full_like(margins, level)
    expected = np.logaddexp(0, -((rejected + margins) - rejected).double().numpy()).mean()
    loss = reward_model.bradley_terry_loss(rejected + margins, rejected)
    assert_close(loss, scalar(expected), terms=4 + len(margins), scale=20.0)


@points(0.5, "Learning raises the chosen rewards and lowers the rejected ones")
@rests_on("so the loss of a pair is minus the logarithm of that probability")
@given(seed=seeds(), batch=st.integers(2, 5))
def test_gradients(reward_model, seed, batch):
    """The slope of a loss is -sigmoid(-margin) by the chosen reward, and its opposite by the rejected one."""
    rewards = draw_rewards(seed, batch)
    chosen, rejected = reward_model.bradley_terry_loss.gradients(*rewards).args
    assert chosen is not None, "no gradient reaches the chosen rewards"
    assert rejected is not None, "no gradient reaches the rejected rewards"
    # exp(-loss) is the sigmoid of the margin, and 1 minus it the sigmoid of its opposite.
    slopes = -np.expm1(-expected_losses(rewards)) / batch
    assert_close(chosen, torch.from_numpy(-slopes), terms=8, scale=10.0)
    assert_close(rejected, torch.from_numpy(slopes), terms=8, scale=10.0)


@points(0.5, "Differences of ±10000 give a finite loss and a finite gradient")
@rests_on("finite also for large differences", "is right at both ends")
def test_extreme_margins(reward_model):
    """A pair in the wrong order by far teaches most: its loss is large, its gradient neither 0 nor nan."""
    chosen, rejected = torch.tensor([[-1e4, 5e3, 0.5], [0.0, -5e3, -0.5]])  # margins of -10000, 10000 and 1
    result = reward_model.bradley_terry_loss.gradients(chosen, rejected)
    assert_close(result.value, scalar((1e4 + np.log1p(np.exp(-1))) / 3), terms=4)
    for gradient in result.args:
        assert gradient is not None, "no gradient reaches the rewards"
        assert_close(gradient.abs().sum(), scalar((1 + 1 / (1 + np.e)) / 3), terms=4)


@points(1, "The penalized rewards of any batch")
@rests_on("R_t = -beta * (policy_t - reference_t) at kept tokens, plus the reward at the last of them")
@given(seed=seeds(), sizes=SIZES, beta=st.sampled_from([0.02, 0.3, 1.0, 2.5]))
def test_penalized_values(reward_model, seed, sizes, beta):
    """-beta · (policy - reference) at every kept token, and the reward on top of it at the last kept one."""
    rewards, policy, reference, mask = draw_sequences(seed, sizes)
    result = reward_model.kl_penalized_rewards(rewards, policy, reference, mask, beta)
    expected = expected_rewards(rewards, policy, reference, mask, beta)
    assert_close(result, expected, terms=4, scale=12 + 6 * beta)


@points(0.5, "A kept token pays for what the policy likes more than the reference")
@rests_on("A token that the policy likes more than the reference does costs something")
@given(seed=seeds(), beta=st.sampled_from([0.0, 0.1, 0.5, 2.0]))
def test_penalty(reward_model, seed, beta):
    """What the policy likes more than the reference costs beta · (log policy - log reference); less gives back."""
    _, policy, reference, _ = draw_sequences(seed, (8, 7))
    nothing = torch.zeros(8, dtype=torch.float64)
    result = reward_model.kl_penalized_rewards(nothing, policy, reference, MASKS, beta=beta)
    expected = torch.where(MASKS, beta * (reference - policy), 0.0)
    assert_close(result, expected, terms=4, scale=6 * beta)
    # Log-probabilities of -200, whose probabilities are 0 in float32, and models that are 30 apart.
    policy, reference = (policy - 200).float(), (reference - 200 + 30 * torch.sin(policy)).float()
    result = reward_model.kl_penalized_rewards(nothing.float(), policy, reference, MASKS, beta=beta)
    assert_close(result, torch.where(MASKS, beta * (reference - policy), 0.0), terms=4, scale=40 * beta)


@points(1, "The reward stands at the last kept token, wherever that is")
@rests_on("at least one in each sequence, not always side by side")
@given(seed=seeds(), beta=st.sampled_from([0.1, 0.8]))
def test_where_the_reward_stands(reward_model, seed, beta):
    """Padding may follow, a prompt may precede, there may be gaps: the last True of a row is the place."""
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    mask, last = MASKS[order], torch.tensor([2, 6, 4, 5, 0, 5, 6, 6])[order]
    rewards, logps, _, _ = draw_sequences(seed, (8, 7))
    expected = torch.zeros(8, 7, dtype=torch.float64)
    expected[torch.arange(8), last] = rewards
    assert_close(reward_model.kl_penalized_rewards(rewards, logps, logps, mask, beta), expected, terms=4)


@points(0.5, "Each reward is paid out once, and whole")
@rests_on("it is paid out once, with the answer's last token")
@given(seed=seeds(), sizes=SIZES, beta=st.sampled_from([0.05, 0.4, 3.0]))
def test_sum_of_a_sequence(reward_model, seed, sizes, beta):
    """All tokens together get the reward minus beta times the log-ratio of the kept tokens: no more, no less."""
    rewards, policy, reference, mask = draw_sequences(seed, sizes)
    result = reward_model.kl_penalized_rewards(rewards, policy, reference, mask, beta)
    expected = rewards - beta * ((policy - reference) * mask).sum(dim=1)
    assert_close(result.sum(dim=1), expected, terms=4 + sizes[1], scale=12 + 6 * beta * sizes[1])


@points(0.5, "Nothing at tokens that are not kept, whatever stands there")
@rests_on("0 at tokens that are not kept")
@given(seed=seeds(), beta=st.sampled_from([0.1, 1.0]))
def test_masked_tokens(reward_model, seed, beta):
    """Prompts and padding have log-probabilities too, some of them absurd. What they get is exactly 0."""
    _, policy, reference, _ = draw_sequences(seed, (8, 7))
    policy = torch.where(MASKS, policy, -1e30)
    nothing = torch.zeros(8, dtype=torch.float64)
    result = reward_model.kl_penalized_rewards(nothing, policy, reference, MASKS, beta)
    assert_equal(result[~MASKS], torch.zeros(int((~MASKS).sum()), dtype=torch.float64))


@points(0.5, "Floats keep their dtype")
@rests_on("A scalar in the dtype of the rewards", "`[B, T]` in the dtype of the log-probabilities")
def test_dtypes_are_kept(reward_model):
    """The loss has the dtype of the rewards; the penalized rewards that of the log-probabilities."""
    for dtype in (torch.float16, torch.float32, torch.float64):
        assert_dtype(reward_model.bradley_terry_loss(*draw_rewards(0, 3, dtype)), dtype)
        assert_dtype(reward_model.kl_penalized_rewards(*draw_sequences(0, (2, 5), dtype), 0.1), dtype)
