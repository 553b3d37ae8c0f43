"""DPO, visible: the worked examples, and the few properties that say what is meant."""

import math

import torch
from hypothesis import given

from autograder.suites import assert_close, assert_dtype, assert_shape, points, tensors

# Words: 0 `Sky:`, 1 `blue`, 2 `.`, 3 padding. A number added to all logits of a place changes nothing.
LABELS = torch.tensor([[0, 1, 2, 3]])
PROBABILITIES = torch.tensor(
    [[[0.1, 0.5, 0.1, 0.3], [0.1, 0.2, 0.6, 0.1], [0.3, 0.1, 0.2, 0.4], [0.25, 0.25, 0.4, 0.1]]], dtype=torch.float64
)
LOGITS = PROBABILITIES.log() + torch.tensor([[[2.0], [-1.0], [0.5], [4.0]]])


@points(0.5, "The answer of the worked example has log-probability log 0.3")
def test_worked_example(dpo_loss):
    """`blue` has probability 0.5 and `.` has 0.6, both from the logits one place earlier. The logarithms add up.

    A number added to all logits of a place changes nothing, not even a large one. float64 stays float64.
    """
    mask = torch.tensor([[False, True, True, False]])
    expected = torch.tensor([math.log(0.5) + math.log(0.6)], dtype=torch.float64)
    for added in (0.0, 1000.0):
        result = dpo_loss.sequence_log_probs(LOGITS + added, LABELS, mask)
        assert_close(result, expected, terms=4, scale=4.0 + added)
        assert_dtype(result, torch.float64)
    impossible = torch.tensor([[[0.0, 1000.0], [0.0, 0.0]]])  # the label has a probability too small for a float
    ids, mask = torch.tensor([[1, 0]]), torch.tensor([[False, True]])
    assert_close(dpo_loss.sequence_log_probs(impossible, ids, mask), torch.tensor([-1000.0]))


@points(0.5, "Each sequence of a batch has its own mask")
def test_masks_of_a_batch(dpo_loss):
    """Only labels where the mask is True count, row by row: the rest of a row adds nothing. One number per sequence.

    The first label never counts: nothing predicts it.
    """
    mask = torch.tensor([[True, True, False, False], [False, False, True, False], [False, True, True, True]])
    result = dpo_loss.sequence_log_probs(LOGITS.expand(3, -1, -1), LABELS.expand(3, -1), mask)
    expected = torch.tensor([0.5, 0.6, 0.5 * 0.6 * 0.4], dtype=torch.float64).log()
    assert_close(result, expected, terms=4, scale=4.0)


@points(0.5, "The loss of the worked example is 0.656")
def test_worked_loss(dpo_loss):
    """The chosen answer improved by 0.5, the rejected one by -0.25: the loss is -log sigmoid(0.1 · 0.75).

    Its slope by the chosen answer is -0.1 · sigmoid(-0.1 · 0.75), and by the rejected one the opposite.
    """
    policy_chosen, policy_rejected = torch.tensor([[-1.0], [-2.0]])
    reference_chosen, reference_rejected = torch.tensor([[-1.5], [-1.75]])
    found = dpo_loss.dpo_loss.gradients(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    assert_close(found.value, torch.tensor(0.6563501408267951), terms=4)
    slope = torch.tensor([0.1 / (1 + math.exp(0.075))])
    assert_close(found.args[0], -slope, terms=8)
    assert_close(found.args[1], slope, terms=8)


@points(0.5, "β multiplies the margin")
def test_beta(dpo_loss):
    """With references of 0, log-probabilities -1 and -2, and beta = 10: -log sigmoid(10 · 1) = 4.54e-05."""
    chosen, rejected, reference = torch.tensor([[-1.0], [-2.0], [0.0]])
    loss = dpo_loss.dpo_loss(chosen, rejected, reference, reference, beta=10)
    assert_close(loss, torch.tensor(4.539889921686465e-05), scale=1.0)


@points(0.5, "A policy that still equals its reference has loss log 2")
@given(chosen=tensors((3,), -50, 0), rejected=tensors((3,), -50, 0))
def test_untrained(dpo_loss, chosen, rejected):
    """Only what has changed since the reference counts. With no change, each margin is 0: -log sigmoid(0) is log 2."""
    loss = dpo_loss.dpo_loss(chosen, rejected, chosen, rejected, beta=0.5)
    assert_close(loss, torch.tensor(math.log(2)), terms=4)


@points(0.5, "A margin of ±1000 does not overflow")
def test_large_margins(dpo_loss):
    """sigmoid(-1000) is 0 as a float, and log(0) is infinite. That pair's loss is 1000: find a stable log-sigmoid."""
    margins, nothing = torch.tensor([-1000.0, 1000.0]), torch.zeros(2)
    loss = dpo_loss.dpo_loss(margins, nothing, nothing, nothing, beta=1.0)
    assert_shape(loss, (), like=loss)
    assert_close(loss, torch.tensor(500.0), terms=4)
