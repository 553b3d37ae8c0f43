"""Group relative policy optimization, hidden: against NumPy in float64, each part by itself and all together.

Rounding. A group's mean rounds at the size of its rewards, and the division by std + eps carries that into the
advantages. A token's loss is made of exponentials of differences up to 2 between log-probabilities up to 7; the two
means add a rounding for each number. The penalty e^x - x - 1 loses digits near x = 0, but none of them is above 1 eps.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_shape, points, rests_on, seeds, tensors

SHAPES = st.sampled_from([(4, 4), (3, 5), (5, 3), (2, 7), (1, 1), (1, 4), (4, 1)])
GROUPS = st.tuples(st.integers(1, 4), st.integers(2, 6)).flatmap(lambda shape: tensors(shape, -3, 3, np.float64))


def standardized(rewards, eps):
    """The advantages, a group at a time."""
    groups = [np.asarray(group) for group in rewards.double()]
    return torch.from_numpy(np.stack([(group - group.mean()) / (group.std(ddof=1) + eps) for group in groups]))


def assert_advantages(got, rewards, eps):
    """Close, up to the roundings of a group's mean and deviation."""
    smallest = float(rewards.double().std(dim=1).min()) + eps
    scale = float(rewards.double().abs().max()) / smallest
    assert_close(got, standardized(rewards, eps), terms=rewards.shape[1] + 6, scale=scale)


def batch(seed, shape, spread=1.0):
    """New, old and reference log-probabilities `[B, T]` and advantages `[B]` of both signs."""
    numbers = np.random.default_rng(seed)
    old = -numbers.uniform(1.0, 5.0, shape)
    new = old + numbers.uniform(-spread, spread, shape)  # with spread 1, half of the ratios are outside the band
    reference = new + numbers.uniform(-2.0, 2.0, shape)
    advantages = numbers.normal(size=shape[:1]) + np.where(np.arange(shape[0]) % 2, 1.0, -1.0)
    return tuple(torch.from_numpy(array) for array in (new, old, reference, advantages))


def objective(new, old, reference, advantages, epsilon):
    """The clipped objective `[B, T]`, by cases: good news counts up to the band's edge, bad news without limit."""
    ratio, advantages = np.exp((new - old).double().numpy()), advantages.double().numpy()[:, None]
    return np.where(advantages > 0, np.minimum(ratio, 1 + epsilon), np.maximum(ratio, 1 - epsilon)) * advantages


def penalty(new, old, reference, advantages):
    """The estimate of the divergence `[B, T]`."""
    x = (reference - new).double().numpy()
    return np.expm1(x) - x


def assert_loss(got, entries, epsilon, beta, mask=None):
    """The mean over the answers of the means over their tokens, up to rounding."""
    tokens = beta * penalty(*entries) - objective(*entries, epsilon)
    kept = np.ones(tokens.shape, bool) if mask is None else mask.numpy()
    answers = [row[keep].mean() for row, keep in zip(tokens, kept, strict=True)]
    scale = np.abs(tokens).max() + beta * 8.0  # e^2 is the largest term of a penalty
    assert_close(got, torch.tensor(np.mean(answers)), terms=24 + tokens.size, scale=float(scale))


@points(0.75, "The advantages are right, each group by itself")
@rests_on("A = (r - mean(r)) / (std(r) + eps), within each group")
@given(rewards=GROUPS, eps=st.sampled_from([1e-4, 0.01, 0.5]))
def test_advantages(grpo_loss, rewards, eps):
    """Each reward less its group's mean, divided by its group's standard deviation (with G − 1 below) plus eps."""
    assert_advantages(grpo_loss.group_relative_advantages(rewards, eps=eps), rewards, eps)


@points(0.5, "A group that earned more, or all the same, changes nothing for the others")
@rests_on("the group is its own yardstick")
@given(rewards=tensors((3, 5), -3, 3, np.float64), bonus=st.integers(-8, 8), same=st.integers(-2, 2))
def test_groups_are_apart(grpo_loss, rewards, bonus, same):
    """An answer is compared with its siblings only: an easy question raises all of their rewards, and no advantage."""
    easy = torch.tensor([0.0, 1.0, 1.0, 0.0, 3.0], dtype=torch.float64)
    moved = torch.cat([(easy + bonus)[None], torch.full_like(easy, same)[None], rewards])  # [5, 5]
    advantages = grpo_loss.group_relative_advantages(moved, eps=0.001)
    assert_shape(advantages, (5, 5), like=rewards)
    assert_close(advantages[0], standardized(easy[None], 0.001)[0], terms=12, scale=12)
    assert_close(advantages[1], torch.zeros(5).double())
    assert_advantages(advantages[2:], rewards, 0.001)
    high = 1000 + 16 * bonus + easy.float()[None]  # float32 holds these exactly, and their squares not
    expected = standardized(easy[None], 0.001).float()
    assert_close(grpo_loss.group_relative_advantages(high, eps=0.001), expected, digits=4)
    # One question, with another answer that is best each time.
    for group in (easy[None], easy.flip(0)[None]):
        assert_advantages(grpo_loss.group_relative_advantages(group, eps=0.001), group, 0.001)


@points(0.25, "eps is 0.0001 where nothing else is said")
@rests_on("eps: float = 1e-4")
def test_default_eps(grpo_loss):
    """The default is part of the contract. It shows where the rewards of a group lie close together."""
    rewards = torch.tensor([[1.0, 1.0002, 0.9999], [5.0, 5.001, 5.0]], dtype=torch.float64)
    assert_advantages(grpo_loss.group_relative_advantages(rewards), rewards, 1e-4)
    assert_advantages(grpo_loss.group_relative_advantages(rewards, 0.001), rewards, 0.001)


@points(0.25, "Advantages keep their dtype, and whole numbers become floats")
@rests_on("Floating dtypes are kept; integers are computed as floats.")
def test_advantage_dtypes(grpo_loss):
    """The result has the dtype of the rewards; right and wrong may come as the whole numbers 1 and 0."""
    rewards = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 4, 0, -2]])
    assert_dtype(grpo_loss.group_relative_advantages(rewards.half()), torch.float16)
    for dtype in (torch.float32, torch.float64):
        advantages = grpo_loss.group_relative_advantages(rewards.to(dtype), eps=0.01)
        assert_dtype(advantages, dtype)
        assert_advantages(advantages, rewards, 0.01)
    assert_advantages(grpo_loss.group_relative_advantages(rewards, eps=0.01), rewards, 0.01)


@points(0.5, "Without the penalty, each token has PPO's clipped objective with its answer's advantage")
@rests_on("Each token has PPO's clipped objective")
@given(seed=seeds(), shape=SHAPES, epsilon=st.floats(0.05, 0.6))
def test_objective(grpo_loss, seed, shape, epsilon):
    """Good news counts up to the band's edge, bad news without limit; an answer's advantage goes to all its tokens."""
    entries = batch(seed, shape)
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=epsilon, beta=0.0), entries, epsilon, 0.0)


@points(0.5, "Without advantages, the loss is the penalty for leaving the reference")
@rests_on("KL = exp(ref - new) - (ref - new) - 1")
@given(seed=seeds(), shape=SHAPES, beta=st.floats(0.01, 2))
def test_penalty(grpo_loss, seed, shape, beta):
    """β times e^x − x − 1 with x = reference − new, averaged: 0 at the reference, positive elsewhere, not symmetric."""
    new, old, reference, advantages = batch(seed, shape)
    entries = (new, old, reference, torch.zeros_like(advantages))
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=0.3, beta=beta), entries, 0.3, beta)


@points(0.25, "Objective and penalty are put together rightly")
@rests_on("L = mean_i mean_t -(min(rho A, clip(rho, 1 - epsilon, 1 + epsilon) A) - beta KL)")
@given(seed=seeds(), shape=SHAPES, beta=st.floats(0.01, 2), epsilon=st.sampled_from([0.1, 0.3]))
def test_loss(grpo_loss, seed, shape, beta, epsilon):
    """The objective should grow and the penalty should shrink. The loss is minus the one plus β times the other."""
    entries = batch(seed, shape)
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=epsilon, beta=beta), entries, epsilon, beta)


@points(0.25, "Improbable tokens, and models far apart")
@rests_on("A log-probability of −200 is one, too")
@given(seed=seeds(), far=st.sampled_from([1.0, 12.0, 30.0]))
def test_wide_ranges(grpo_loss, seed, far):
    """exp(-200) is 0 in float32: subtract log-probabilities, never divide. And a ratio may be anything, both ways."""
    new, old, reference, advantages = batch(seed, (4, 5), spread=far)
    entries = (new - 200, old - 200, new - 200 + far * torch.sin(reference), advantages)
    single = tuple(entry.float() for entry in entries)
    # A log-probability of -200 is rounded by 1e-5, which an exponential makes a relative error.
    tokens = 0.5 * penalty(*single) - objective(*single, 0.2)
    expected = torch.tensor(tokens.mean(axis=1).mean(), dtype=torch.float32)
    got = grpo_loss.grpo_loss(*single, epsilon=0.2, beta=0.5)
    assert_close(got, expected, digits=4, scale=float(np.abs(tokens).max()))


@points(0.25, "epsilon is 0.2 and beta 0.04 where nothing else is said")
@rests_on("epsilon: float = 0.2, beta: float = 0.04")
def test_defaults(grpo_loss):
    """The defaults are part of the contract: epsilon=0.2, beta=0.04, no mask, in this order."""
    entries = batch(1, (6, 8))
    assert_loss(grpo_loss.grpo_loss(*entries), entries, 0.2, 0.04)
    assert_loss(grpo_loss.grpo_loss(*entries, beta=0.5), entries, 0.2, 0.5)
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=0.1), entries, 0.1, 0.04)
    assert_loss(grpo_loss.grpo_loss(*entries, 0.3, 0.7, torch.ones(6, 8).bool()), entries, 0.3, 0.7)


@points(0.5, "The mask: a mean over each answer's tokens, then a mean over the answers")
@rests_on("True for the tokens that count, at least one in every answer")
@given(seed=seeds(), counts=st.permutations([1, 2, 4, 5]), columns=st.permutations(range(6)))
def test_mask(grpo_loss, seed, counts, columns):
    """Each answer's sum is divided by its own number of kept tokens. What the mask drops counts nowhere."""
    entries = batch(seed, (4, 6), spread=0.2)  # all ratios are in the band, for this is about the mask alone
    mask = (torch.arange(6) < torch.tensor(counts)[:, None])[:, columns]  # [4, 6], another count in each row
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=0.3, beta=0.0, mask=mask), entries, 0.3, 0.0, mask)
    entries = (*entries[:3], torch.zeros_like(entries[3]))
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=0.3, beta=1.0, mask=mask), entries, 0.3, 1.0, mask)


@points(0.25, "Mask and clip together, and the gradient then")
@rests_on("The loss of an answer is the mean over its tokens")
@given(seed=seeds(), epsilon=st.sampled_from([0.1, 0.3]))
def test_mask_and_clip(grpo_loss, seed, epsilon):
    """The clip decides for each token, with a mask as without, and only the kept tokens teach."""
    entries = new, old, reference, advantages = batch(seed, (4, 6))
    mask = torch.arange(6) < torch.tensor([2, 6, 1, 4])[:, None]  # [4, 6]
    found = grpo_loss.grpo_loss.gradients(*entries, epsilon=epsilon, beta=0.5, mask=mask)
    assert_loss(found.value, entries, epsilon, 0.5, mask)
    ratio, signed = torch.exp(new - old), advantages[:, None]
    enough = torch.where(signed > 0, ratio > 1 + epsilon, ratio < 1 - epsilon)
    pull = torch.where(enough, torch.zeros_like(ratio), -ratio * signed) - 0.5 * torch.expm1(reference - new)
    expected = torch.where(mask, pull / mask.sum(dim=1, keepdim=True) / 4, torch.zeros_like(pull))
    assert_close(found.args[0], expected, terms=24, scale=8.0)


@points(0.5, "The objective's gradient is right, and zero where the clip decides")
@rests_on("Each token has PPO's clipped objective")
@given(seed=seeds(), epsilon=st.sampled_from([0.1, 0.3]))
def test_gradient_of_objective(grpo_loss, seed, epsilon):
    """A token that went far enough is left alone; others are pulled by their ratio times their answer's advantage."""
    new, old, reference, advantages = batch(seed, (4, 5))
    found = grpo_loss.grpo_loss.gradients(new, old, reference, advantages, epsilon=epsilon, beta=0.0)
    ratio, signed = torch.exp(new - old), advantages[:, None]
    enough = torch.where(signed > 0, ratio > 1 + epsilon, ratio < 1 - epsilon)
    expected = torch.where(enough, torch.zeros_like(ratio), -ratio * signed / 20)
    assert_close(found.args[0], expected, terms=24)


@points(0.5, "The penalty's gradient is right, and pulls towards the reference")
@rests_on("pays for leaving the *reference* model")
@given(seed=seeds(), beta=st.sampled_from([0.1, 1.5]))
def test_gradient_of_penalty(grpo_loss, seed, beta):
    """The derivative of e^x − x − 1 by new is 1 − e^x: what is rarer than in the reference is pulled up."""
    new, old, reference, advantages = batch(seed, (4, 5))
    found = grpo_loss.grpo_loss.gradients(new, old, reference, torch.zeros_like(advantages), epsilon=0.3, beta=beta)
    assert_close(found.args[0], -beta * torch.expm1(reference - new) / 20, terms=24, scale=beta * 8 / 20)


@points(0.5, "No gradient reaches the old model, the reference or the advantages")
@rests_on("Gradients reach `new_log_probs` alone.")
@given(seed=seeds())
def test_data_gets_no_gradient(grpo_loss, seed):
    """What the old model did, what the reference thinks, and how well it went are facts. Only the new model learns."""
    entries = batch(seed, (3, 4))
    found = grpo_loss.grpo_loss.gradients(*entries, epsilon=0.3, beta=0.5)
    for gradient, entry in zip(found.args[1:], entries[1:], strict=True):
        assert_close(torch.zeros_like(entry) if gradient is None else gradient, torch.zeros_like(entry))


@points(0.25, "The loss keeps its dtype, and whole numbers become floats")
@rests_on("in the dtype of the log-probabilities; whole numbers are computed as floats")
def test_loss_dtypes(grpo_loss):
    """The loss has the dtype of the log-probabilities; advantages of +1 and -1 may come as whole numbers."""
    new, old = torch.tensor([[-1, -3, -2], [-2, -2, -1]]), torch.tensor([[-2, -2, -2], [-2, -3, -1]])
    entries = (new, old, torch.tensor([[-1, -2, -2], [-3, -2, -1]]), torch.tensor([1, -1]))
    assert_dtype(grpo_loss.grpo_loss(*(entry.half() for entry in entries)), torch.float16)
    for dtype in (torch.float32, torch.float64):
        floats = tuple(entry.to(dtype) for entry in entries)
        loss = grpo_loss.grpo_loss(*floats, epsilon=1.8, beta=0.5)  # e and 1/e are in the band
        assert_dtype(loss, dtype)
        assert_loss(loss, entries, 1.8, 0.5)
        assert_loss(grpo_loss.grpo_loss(*floats[:3], entries[3], epsilon=1.8, beta=0.5), entries, 1.8, 0.5)
    assert_loss(grpo_loss.grpo_loss(*entries, epsilon=1.8, beta=0.5), entries, 1.8, 0.5)
