"""Decoding, visible: the worked example step by step, and what a draw is.

A right sampler never fails: a count is refused only when the chance of one so small, or so large, is below 1e-12.
"""

import math

import numpy as np
import torch
from scipy.special import bdtr, bdtrc

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
)

EXAMPLE = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])


@points(0.5, "Temperature: the worked example comes out")
def test_temperature_example(decoding):
    """A temperature divides the logits: 0.5 doubles all differences between them, 2 halves them."""
    assert_close(decoding.apply_temperature(EXAMPLE, 0.5), torch.tensor([4.0, 2.0, 0.0, -2.0, -4.0]))
    assert_close(decoding.apply_temperature(EXAMPLE, 2.0), torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0]))


@points(0.75, "Top-k: the k largest logits of every row stay")
def test_top_k_example(decoding):
    """The k largest logits stay as they are, wherever in their row they stand; the others become -inf.

    Who shares the k-th place stays too, and of a row shorter than k, all stay.
    """
    cut = -math.inf
    assert_equal(decoding.top_k_filter(EXAMPLE, 2), torch.tensor([2.0, 1.0, cut, cut, cut]))
    rows = torch.tensor([[0.5, -1.0, 3.0, 2.0], [7.0, 4.0, 5.0, 6.0], [-4.0, -1.0, -3.0, -2.0]])
    expected = torch.tensor([[0.5, cut, 3.0, 2.0], [7.0, cut, 5.0, 6.0], [cut, -1.0, -3.0, -2.0]])
    assert_equal(decoding.top_k_filter(rows, 3), expected)
    ties = torch.tensor([1.0, 3.0, 1.0, 0.0])
    assert_equal(decoding.top_k_filter(ties, 2), torch.tensor([1.0, 3.0, 1.0, cut]))
    assert_equal(decoding.top_k_filter(ties, 9), ties)


@points(0.75, "Top-p: the token that takes the sum across p stays")
def test_top_p_example(decoding):
    """With p = 0.9 two tokens hold 0.870, which is too little: a third stays. Each keeps its own place in its row.

    With p = 1 all stay, and with a tiny p the most probable token. Logits of 1000 are no trouble, and float64 is kept.
    """
    cut = -math.inf
    assert_equal(decoding.top_p_filter(EXAMPLE, 0.9), torch.tensor([2.0, 1.0, 0.0, cut, cut]))
    rows = EXAMPLE[torch.tensor([[1, 4, 2, 0, 3], [3, 0, 4, 1, 2]])]  # the example in two other orders
    expected = torch.tensor([[1.0, cut, 0.0, 2.0, cut], [cut, 2.0, cut, 1.0, 0.0]])
    assert_equal(decoding.top_p_filter(rows, 0.9), expected)
    assert_equal(decoding.top_p_filter(EXAMPLE, 1.0), EXAMPLE)
    assert_equal(decoding.top_p_filter(EXAMPLE, 1e-9), torch.tensor([2.0, cut, cut, cut, cut]))
    assert_equal(decoding.top_p_filter(EXAMPLE + 1000, 0.9), torch.tensor([1002.0, 1001.0, 1000.0, cut, cut]))
    assert_dtype(decoding.top_p_filter(EXAMPLE.double(), 0.9), torch.float64)


@points(0.5, "A draw follows the probabilities")
def test_frequencies_example(decoding):
    """In many draws, a token comes as often as its probability says: softmax of its row's logits.

    The ids have the shape of the logits without their last axis, however many there are. A token with -inf never comes,
    and logits of 1000 are no trouble.
    """
    draws, probabilities = 1000, EXAMPLE.double().softmax(-1)
    generator = decoding.library("torch").Generator().manual_seed(0)
    ids = decoding.sample(EXAMPLE.expand(draws, -1), generator)
    for token, probability in enumerate(probabilities.tolist()):
        count = int(np.sum(np.asarray(ids) == token))
        if min(bdtr(count, draws, probability), bdtrc(count - 1, draws, probability)) < 1e-12:
            raise Mismatch(
                f"token {token} has the probability {probability:.3f} and came {count} times in {draws} draws",
                ids,
                None,
            )
    never, sure = -math.inf, torch.tensor([[[0.0, 1000.0, -1000.0]], [[1000.0, 0.0, 0.0]]])
    ids = decoding.sample(sure, generator)
    assert_shape(ids, (2, 1))
    assert_equal(ids, torch.tensor([[1], [0]]))
    assert_equal(decoding.sample(torch.tensor([[never, never, 0.0]] * 50), generator), torch.full((50,), 2))


@points(0.25, "What makes no sense is refused")
def test_refused(decoding):
    """A temperature of 0, k = 0, and a p that is 0 or above 1 raise a ValueError that says why."""
    assert_raises_value_error(decoding.apply_temperature, EXAMPLE, 0.0)
    assert_raises_value_error(decoding.top_k_filter, EXAMPLE, 0)
    for p in (0.0, 90):
        assert_raises_value_error(decoding.top_p_filter, EXAMPLE, p)


@points(0.25, "The same generator state gives the same ids")
def test_repeatable_example(decoding):
    """All chance comes from the generator: start one like it, and the same ids come again. Then it moves on."""
    rows = EXAMPLE.expand(100, -1)
    generator = decoding.library("torch").Generator().manual_seed(1)
    again = decoding.library("torch").Generator().manual_seed(1)
    first, second = decoding.sample(rows, generator), decoding.sample(rows, generator)
    assert_equal(decoding.sample(rows, again), first)
    if np.array_equal(np.asarray(first), np.asarray(second)):
        raise Mismatch("two draws of a hundred ids, one after the other, were exactly the same", second, None)
