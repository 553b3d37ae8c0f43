"""Speculative decoding, hidden: the formulas in float64, and steps against exact distributions.

A right answer never fails by chance. Every count of steps is binomial; one is refused only when the chance of a count
so small, or so large, is below 1e-12, computed exactly. There are fewer than 100 such decisions, so the chance that a
right one meets such a count is below 1e-10. (Float32 moves these chances by less than a tenth.)

Rounding: a difference of two probabilities is rounded by a part of the larger one; divided by the sum of all of them,
which the examples keep above 0.05, it is off by at most 2 / 0.05 = 40 roundings, and the sum by V more.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    points,
    rests_on,
    seeds,
)

ROWS = st.sampled_from([(), (1,), (3,), (2, 4), (2, 1, 3), (7,)])


def distributions(seed, *shape, dtype=torch.float32):
    """Rows of probabilities, some of them small."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=generator, dtype=torch.float64)).softmax(dim=-1).to(dtype)


def seeded(module, seed):
    """A fresh generator over there."""
    return module.library("torch").Generator().manual_seed(seed)


def check_count(count, draws, probability, what):
    """Whether something of this probability may well happen so often."""
    probability = min(1.0, max(0.0, probability))
    if min(bdtr(count, draws, probability), bdtrc(count - 1, draws, probability)) < 1e-12:
        raise Mismatch(f"{what}: {count} times in {draws} steps, and the probability is {probability:.4f}", None, None)


def run(module, target, draft, tokens, seed, draws):
    """Steps one after the other, each a list of 1 to K + 1 ids.

    Twenty have a generator in common: to judge a call again, all that was drawn before it has to be drawn again.
    """
    steps = []
    for start in range(0, draws, 20):
        generator = seeded(module, 1000 * seed + start)
        steps += [module.speculative_step(target, draft, tokens, generator) for _ in range(min(20, draws - start))]
    for step in steps:
        if type(step) is not list or not all(type(token) is int for token in step):
            raise Mismatch("a step is no list of whole numbers", step, None)
        assert 1 <= len(step) <= len(tokens) + 1, f"a step of {len(tokens)} drafts gave {len(step)} tokens"
    return steps


@points(0.75, "A token is accepted with probability min(1, p / q)")
@rests_on("min(1, p(token) / q(token))")
@given(seed=seeds(), vocabulary=st.sampled_from([2, 5, 30]))
def test_acceptance(speculative_decoding, seed, vocabulary):
    """Of this token, by target over draft, and never more than 1; a token that the target never writes has 0."""
    target, draft = distributions(seed, vocabulary), distributions(seed + 1, vocabulary)
    target[0] = 0.0
    for token in (0, 1, vocabulary - 1):
        expected = min(1.0, float(target[token].double() / draft[token].double()))
        got = speculative_decoding.acceptance_probability(target, draft, token)
        assert_close(got, torch.tensor(expected) if hasattr(got, "dtype") else expected, digits=6)
    same = speculative_decoding.acceptance_probability(draft, draft, 1)
    assert_close(same, torch.tensor(1.0) if hasattr(same, "dtype") else 1.0, digits=6)


@points(1, "The residual is max(p - q, 0), each row divided by its own sum")
@rests_on("`[..., V]`, each row a distribution")
@given(seed=seeds(), rows=ROWS, vocabulary=st.sampled_from([2, 3, 7, 40]))
def test_residual(speculative_decoding, seed, rows, vocabulary):
    """Any number of axes may come before the vocabulary, which is the last."""
    target, draft = distributions(seed, *rows, vocabulary), distributions(seed + 1, *rows, vocabulary)
    # Token 0 moves from the draft to the target, so that something is left over in every row.
    target[..., 0] += 0.3
    target, draft = target / 1.3, draft * (1 - 0.9 * (torch.arange(vocabulary) == 0))
    draft = draft / draft.sum(dim=-1, keepdim=True)
    left = (target.double() - draft.double()).clamp(min=0)
    expected = (left / left.sum(dim=-1, keepdim=True)).float()
    assert_close(speculative_decoding.residual_distribution(target, draft), expected, terms=40 + vocabulary, scale=1.0)


@points(0.5, "Where nothing is left over, the residual is the target's own row")
@rests_on("the target's own row where max(p - q, 0) sums")
def test_residual_of_equals(speculative_decoding):
    """Equal rows leave 0 / 0, which is nan: they give the target's row, and the other rows what they always give."""
    target = distributions(3, 4, 6)
    draft = torch.stack([target[0], distributions(4, 6), target[2], torch.eye(6)[5]])
    left = (target.double() - draft.double()).clamp(min=0)
    expected = (left / left.sum(dim=-1, keepdim=True)).float()
    expected[[0, 2]] = target[[0, 2]]
    assert_close(speculative_decoding.residual_distribution(target, draft), expected, terms=200, scale=1.0)
    assert_equal(speculative_decoding.residual_distribution(target[0], target[0]), target[0])
    apart = speculative_decoding.residual_distribution(torch.eye(3)[0], torch.eye(3)[2])
    assert_equal(apart, torch.eye(3)[0])
    tiny = torch.tensor([0.5 + 2.0**-20, 0.5 - 2.0**-20]), torch.tensor([0.5, 0.5])
    assert_close(speculative_decoding.residual_distribution(*tiny), torch.tensor([1.0, 0.0]))


@points(0.25, "Floats keep their dtype")
@rests_on("in the dtype of the target")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(speculative_decoding, dtype):
    """A residual has the dtype of the rows that it was made from, and in float64 all of its digits."""
    target, draft = (
        torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]], dtype=dtype),
        torch.tensor([0.25, 0.0, 0.75]),
    )
    draft = torch.stack([draft.to(dtype), target[1]])
    got = speculative_decoding.residual_distribution(target, draft)
    assert_dtype(got, dtype)
    assert_close(got, torch.tensor([[0.5, 0.5, 0.0], [0.125, 0.5, 0.375]], dtype=dtype), terms=4)
    if dtype == torch.float64:
        target, draft = distributions(4, 3, 6, dtype=dtype), distributions(5, 3, 6, dtype=dtype)
        left = (target - draft).clamp(min=0)
        expected = left / left.sum(dim=-1, keepdim=True)
        assert_close(speculative_decoding.residual_distribution(target, draft), expected, terms=500)


@points(0.5, "How many tokens a step gives on average")
@rests_on("How many tokens a step gives on average; K + 1 for alpha = 1.")
@given(
    rate=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 0.9, 0.99, 1.0]), num_draft=st.sampled_from([0, 1, 2, 3, 5, 8, 20])
)
def test_expected_tokens(speculative_decoding, rate, num_draft):
    """1 + α + ... + α^K, also for α = 0, where it is 1, and for α = 1, where the quotient would be 0 / 0."""
    expected = math.fsum(rate**power for power in range(num_draft + 1))
    got = speculative_decoding.expected_tokens(rate, num_draft)
    if type(got) is not float:
        raise Mismatch(f"it returned a {type(got).__name__} instead of a float", got, expected)
    assert_close(got, expected, terms=400)


@points(0.25, "Rates that are none, and negative numbers, raise a ValueError")
@rests_on("alpha is outside [0, 1], or K is negative")
def test_bad_arguments(speculative_decoding):
    """A rate is a probability, from 0 to 1, and the draft writes 0 tokens or more: all else is refused."""
    for rate, num_draft in ((-0.01, 2), (1.01, 2), (2, 0), (0.5, -1), (1.0, -1), (0.0, -3), (-1.0, 3)):
        assert_raises_value_error(speculative_decoding.expected_tokens, rate, num_draft)


@points(0.5, "Certain drafts: each place has its own rows")
@rests_on("The first one that is refused is replaced, by a token from the residual of its place, and ends the step")
@settings(max_examples=10)
@given(seed=seeds(), num_draft=st.integers(0, 5), accepted=st.integers(0, 5))
def test_certain(speculative_decoding, seed, num_draft, accepted):
    """What the target is sure of is kept; the first that it never writes is replaced from its place, and ends it."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (num_draft,), generator=generator)
    draft = torch.full((num_draft, 9), 0.125)
    draft[:, 8] = 0.0
    target = torch.zeros(num_draft + 1, 9)
    target[range(num_draft), tokens] = 1.0
    target[num_draft, 4] = 1.0
    expected = [*tokens.tolist(), 4]
    if accepted < num_draft:
        target[accepted] = torch.eye(9)[5]
        expected = [*tokens.tolist()[:accepted], 5]
    assert_equal(
        speculative_decoding.speculative_step(target, draft, tokens, seeded(speculative_decoding, seed)), expected
    )


@points(0.75, "What comes out first is distributed exactly as the rule says")
@rests_on("so that what comes out is distributed as the target")
@pytest.mark.parametrize("token", [0, 1, 2, 3])
def test_first_token(speculative_decoding, token):
    """A draft stays with probability min(1, p / q); a refused one becomes what the residual says, never itself."""
    target, draft = torch.tensor([0.05, 0.15, 0.45, 0.35]), torch.tensor([0.35, 0.4, 0.05, 0.2])
    steps = run(speculative_decoding, torch.stack([target, target]), draft[None], torch.tensor([token]), 5, 160)
    accepted = min(1.0, float(target[token] / draft[token]))
    residual = (target.double() - draft.double()).clamp(min=0)
    residual = (residual / residual.sum()).tolist()
    for wanted in range(4):
        probability = (1 - accepted) * residual[wanted] + accepted * (wanted == token)
        check_count(sum(step[0] == wanted for step in steps), 160, probability, f"{wanted} comes first after {token}")
    refused = [step for step in steps if step[0] != token]
    for wanted in range(4):
        count = sum(step[0] == wanted for step in refused)
        check_count(count, len(refused), residual[wanted], f"{wanted} takes the place of a refused {token}")
    assert all(len(step) == 1 for step in refused), "a step goes on after a refused draft"


@points(0.75, "All accepted: one more token, from the target's last row")
@rests_on("If all K are accepted, the target's last row gives one more token for free")
def test_last_token(speculative_decoding):
    """It follows the target's distribution after all drafts, not the draft's. With K = 0 it is all that comes."""
    last, draft = torch.tensor([0.1, 0.6, 0.0, 0.3]), torch.tensor([[0.5, 0.0, 0.5, 0.0]] * 2)
    target = torch.stack([draft[0], draft[1], last])
    for tokens, rows in ((torch.tensor([2, 0]), slice(0, 3)), (torch.tensor([], dtype=torch.long), slice(2, 3))):
        steps = run(speculative_decoding, target[rows], draft[: len(tokens)], tokens, 6, 120)
        assert all(step[:-1] == tokens.tolist() for step in steps), "accepted drafts come out as they are"
        for wanted, probability in enumerate(last.tolist()):
            count = sum(step[-1] == wanted for step in steps)
            check_count(count, 120, probability, f"{wanted} comes after all drafts")


@points(0.25, "Drafts are judged one by one, each by its own place's rows and with a number of its own")
@rests_on("The drafted tokens are judged in their order")
def test_lengths(speculative_decoding):
    """With a chance of 0.6 in each of three places, all four lengths come as often as independent draws give them.

    The rows of a place say what a refused draft becomes there; another place's would also accept the draft more often.
    """
    tokens, refused = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 3])
    draft, target = torch.full((3, 6), 0.1), torch.zeros(4, 6)
    draft[range(3), tokens] = 0.5
    target[range(3), tokens] = 0.3
    target[range(3), refused] = 0.7
    target[3, 5] = 1.0
    steps = run(speculative_decoding, target, draft, tokens, 7, 200)
    for length, probability in ((1, 0.4), (2, 0.24), (3, 0.144), (4, 0.216)):
        check_count(sum(len(step) == length for step in steps), 200, probability, f"a step has {length} tokens")
    ends = [[3], [0, 4], [0, 1, 3], [0, 1, 2, 5]]
    assert all(step == ends[len(step) - 1] for step in steps), "a step ends with what its last place's rows leave"


@points(0.25, "Every draw is a new one")
@rests_on("a number that has decided about a token must not also choose its replacement")
def test_fresh_numbers(speculative_decoding):
    """A number that has accepted a draft is small, one that has refused it is large: neither may choose the next token.

    The draft stays in one half of all steps; both tokens that may take its place, and both that may follow it, come
    equally often.
    """
    target = torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]])
    steps = run(speculative_decoding, target, torch.eye(3)[2:], torch.tensor([2]), 9, 160)
    for step in ([0], [1], [2, 0], [2, 1]):
        check_count(steps.count(step), 160, 0.25, f"the step {step}")


@points(0.25, "The generator's state decides, and moves on")
@rests_on("Every draw takes the generator, so that the same state gives the same tokens")
def test_repeatable(speculative_decoding):
    """The same state gives the same tokens, whatever was drawn in between; another seed, and the next steps, others."""
    target, draft = distributions(8, 5, 20), torch.full((4, 20), 0.05)
    target = (target + 0.05) / 2  # each draft may stay or go
    tokens = torch.tensor([3, 11, 0, 19])
    one, same, other = (run(speculative_decoding, target, draft, tokens, seed, 20) for seed in (1, 1, 2))
    assert_equal(same, one)
    assert one != other, "another seed gives the same tokens"
    assert one[:10] != one[10:], "the generator does not move on"
