"""Speculative decoding, visible: the worked examples, and steps in which chance decides little or is counted.

A count of draws is binomial. One is refused only where a count so small, or so large, has a chance below 1e-12.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc

from autograder.suites import Mismatch, assert_close, assert_equal, assert_raises_value_error, points, seeds

P, Q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])


def seeded(module, seed):
    """A fresh generator over there."""
    return module.library("torch").Generator().manual_seed(seed)


def check_count(count, draws, probability, what):
    """Whether something of this probability may well happen so often."""
    if min(bdtr(count, draws, probability), bdtrc(count - 1, draws, probability)) < 1e-12:
        raise Mismatch(f"{what}: {count} times in {draws} steps, and the probability is {probability:.3f}", None, None)


@points(0.5, "The worked example: which tokens are accepted how often")
def test_acceptance_example(speculative_decoding):
    """Tokens that the target wants more often are always accepted, token 2 once in three times."""
    for token, expected in enumerate((1.0, 1.0, 1 / 3)):
        assert_close(speculative_decoding.acceptance_probability(P, Q, token), expected, digits=6)


@points(0.75, "The worked example: what is left, in every row")
def test_residual_example(speculative_decoding):
    """[0.3, 0.1, 0] of 0.4 is [0.75, 0.25, 0]; where nothing is left it is the target's own row."""
    expected = torch.tensor([0.75, 0.25, 0.0])
    assert_close(speculative_decoding.residual_distribution(P, Q), expected, terms=20)
    target = torch.stack([P, Q, P])
    draft = torch.stack([Q, Q, torch.tensor([0.4, 0.1, 0.5])])
    rows = torch.stack([expected, Q, torch.tensor([1 / 3, 2 / 3, 0.0])])
    assert_close(speculative_decoding.residual_distribution(target, draft), rows, terms=20)


@points(0.5, "How many tokens a step gives")
def test_expected_tokens(speculative_decoding):
    """1 + 0.8 + 0.64 + 0.512 + 0.4096 = 3.3616; all of them for α = 1, and one for α = 0 or K = 0."""
    for rate, num_draft, expected in ((0.8, 4, 3.3616), (1.0, 4, 5.0), (0.0, 3, 1.0), (0.5, 0, 1.0), (0.5, 2, 1.75)):
        assert_close(speculative_decoding.expected_tokens(rate, num_draft), expected, terms=40)
    for rate, num_draft in ((-0.1, 2), (1.1, 2), (0.5, -1)):
        assert_raises_value_error(speculative_decoding.expected_tokens, rate, num_draft)


@points(0.5, "Where nothing is left to chance")
@settings(max_examples=8)
@given(seed=seeds(), accepted=st.integers(0, 3))
def test_certain(speculative_decoding, seed, accepted):
    """Drafts that the target is sure of are kept; the first that it never writes is replaced, and ends the step."""
    draft = torch.tensor([0.5, 0.5, 0.0, 0.0]).expand(3, 4)
    target = torch.eye(4)[[0, 1, 0, 2]]
    if accepted < 3:
        target[accepted] = torch.eye(4)[3]
    got = speculative_decoding.speculative_step(
        target, draft, torch.tensor([0, 1, 0]), seeded(speculative_decoding, seed)
    )
    assert_equal(got, [*[0, 1, 0][:accepted], 3 if accepted < 3 else 2])


@points(0.75, "What comes out is distributed as the target's")
@pytest.mark.parametrize("token", [0, 2])
def test_distribution(speculative_decoding, token):
    """A draft of 2 stays once in three times, and else becomes 0 three times as often as 1; a draft of 0 stays."""
    last = torch.tensor([0.1, 0.1, 0.8])
    target, draft, drafted = torch.stack([P, last]), Q[None], torch.tensor([token])
    steps = []
    for seed in range(12):
        generator = seeded(speculative_decoding, seed)
        steps += [speculative_decoding.speculative_step(target, draft, drafted, generator) for _ in range(20)]
    first = [1.0, 0.0, 0.0] if token == 0 else [0.5, 1 / 6, 1 / 3]
    for wanted, probability in enumerate(first):
        check_count(sum(step[0] == wanted for step in steps), 240, probability, f"token {wanted} comes first")
    going_on = [step for step in steps if len(step) == 2]
    assert [step for step in steps if step[0] == token] == going_on, "another token follows just where the draft stays"
    for wanted, probability in enumerate(last.tolist()):
        count = sum(step[1] == wanted for step in going_on)
        check_count(count, len(going_on), probability, f"token {wanted} comes after an accepted one")
