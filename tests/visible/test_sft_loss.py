"""Supervised fine-tuning, visible: the worked example, and the few properties that say what is meant."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_equal, points

IDS = st.lists(st.integers(0, 50), min_size=1, max_size=6)

# Six words. At each place the probabilities of the next word; a number added to all logits of a place changes nothing.
PROBABILITIES = torch.tensor(
    [
        [0.1, 0.1, 0.1, 0.4, 0.1, 0.2],
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.5],
        [0.3, 0.25, 0.15, 0.1, 0.1, 0.1],
        [0.2, 0.1, 0.2, 0.1, 0.1, 0.3],
    ],
    dtype=torch.float64,
)
LOGITS = (PROBABILITIES.log() + torch.tensor([[1.0], [-2.0], [0.5], [3.0]]))[None]


@points(0.5, "The labels of the worked example")
def test_worked_labels(sft_loss):
    """The model reads the prompt and the answer. The labels are as long, with -100 for each token of the prompt.

    Or with another `ignore_index`, if one is given.
    """
    input_ids, labels = sft_loss.build_labels([7, 3], [5, 1])
    assert_equal(input_ids, [7, 3, 5, 1])
    assert_equal(labels, [-100, -100, 5, 1])
    assert_equal(sft_loss.build_labels([7, 3], [5, 1], ignore_index=4)[1], [4, 4, 5, 1])


@points(0.5, "Inputs and labels have the same length, and agree where a label counts")
@given(prompt=IDS, completion=IDS)
def test_same_length(sft_loss, prompt, completion):
    """A label stands at its own token's place. Nothing is shifted here: the loss does that."""
    input_ids, labels = sft_loss.build_labels(prompt, completion)
    assert_equal(len(labels), len(input_ids))
    counting = [(token, label) for token, label in zip(input_ids, labels, strict=True) if label != -100]
    assert_equal(counting, [(token, token) for token in completion])


@points(0.5, "The loss of the worked example is 1.040")
def test_worked_loss(sft_loss):
    """The 5 has probability 0.5 and the 1 has 0.25, both by the logits one place earlier: a mean of two logarithms.

    A number added to all logits of a place changes nothing, not even a large one. float64 stays float64.
    """
    expected = -(math.log(0.5) + math.log(0.25)) / 2
    for added in (0.0, 1000.0):
        loss = sft_loss.sft_loss(LOGITS + added, torch.tensor([[-100, -100, 5, 1]]))
        assert_close(loss, torch.tensor(expected, dtype=torch.float64), terms=8, scale=4.0 + added)
        assert_dtype(loss, torch.float64)
    impossible = torch.tensor(
        [[[0.0, 1000.0], [0.0, 0.0]]]
    )  # the word that came has a probability too small for a float
    assert_close(sft_loss.sft_loss(impossible, torch.tensor([[-100, 0]])), torch.tensor(1000.0))


@points(0.5, "Padding changes nothing")
def test_padding(sft_loss):
    """Labels of -100 are neither in the sum nor in the number that it is divided by.

    Nor are those of another `ignore_index`, which may be a word's id: then that word does not count.
    """
    padded = torch.cat([LOGITS, torch.full((1, 3, 6), 2.0)], dim=1)
    loss = sft_loss.sft_loss(padded, torch.tensor([[-100, -100, 5, 1, -100, -100, -100]]))
    expected = -(math.log(0.5) + math.log(0.25)) / 2
    assert_close(loss, torch.tensor(expected, dtype=torch.float64), terms=8, scale=4.0)
    loss = sft_loss.sft_loss(padded, torch.tensor([[4, 4, 5, 1, 4, 4, 4]]), ignore_index=4)
    assert_close(loss, torch.tensor(expected, dtype=torch.float64), terms=8, scale=4.0)


@points(0.5, "One mean over all tokens of the batch")
def test_one_mean(sft_loss):
    """Three tokens count, two in the first sequence and one in the second. Each of the three weighs the same.

    A label in the first place does not count: nothing predicts it.
    """
    labels = torch.tensor([[-100, -100, 5, 1], [2, 3, -100, -100]])
    loss = sft_loss.sft_loss(LOGITS.expand(2, -1, -1), labels)
    expected = -(math.log(0.5) + math.log(0.25) + math.log(0.4)) / 3
    assert_close(loss, torch.tensor(expected, dtype=torch.float64), terms=8, scale=4.0)


@points(0.5, "Equal logits have loss log V")
@given(vocabulary=st.integers(2, 30))
def test_guessing(sft_loss, vocabulary):
    """A model that finds all V words equally probable gives each the probability 1/V: a loss of log V."""
    labels = torch.tensor([[-100, -100, 0, 1, 1], [-100, 1, 0, 0, -100]])
    loss = sft_loss.sft_loss(torch.full((2, 5, vocabulary), 0.5), labels)
    assert_close(loss, torch.tensor(math.log(vocabulary)), terms=8 + vocabulary)
