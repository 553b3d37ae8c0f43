"""Softmax, hidden: against SciPy, on every axis, shape and dtype, at the extremes.

Rounding: one exponential, one division and a sum of n terms, all at most 1; the shift by the largest score z rounds the
scores by eps·|z|, which the exponential makes a relative error.
"""

import numpy as np
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import arrays, assert_close, assert_dtype, assert_equal, points

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@points(1, "The numbers are right, along any axis of any shape")
@given(data=st.data(), shape=SHAPES)
def test_values(softmax, data, shape):
    """Each slice along `axis` is exponentials divided by their own sum; no other axis takes part."""
    scores = data.draw(arrays(shape, low=-30, high=30))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    assert_close(softmax.softmax(scores, axis=axis), scipy.special.softmax(scores, axis=axis), terms=30 + shape[axis])


@points(0.5, "Without an axis, the last one is meant")
def test_default_axis(softmax):
    """`softmax(scores)` works along the last axis, also of an array with three."""
    scores = np.arange(24.0).reshape(2, 3, 4) ** 1.5 / 10
    assert_close(softmax.softmax(scores), scipy.special.softmax(scores, axis=-1), terms=20)
    assert_close(softmax.log_softmax(scores), scipy.special.log_softmax(scores, axis=-1), terms=20)


@points(1, "Scores up to a million, of either sign, in every slice")
@given(scores=arrays((3, 4), low=-1e6, high=1e6), axis=st.sampled_from([0, 1]))
def test_extreme_scores(softmax, scores, axis):
    """No slice may overflow, and none may vanish because another slice holds the largest score of all."""
    scores = np.concatenate([scores, scores[:1] - 2e6, scores[:1] * 0 + 1e6, scores[:1] * 0 - 1e6])
    assert_close(softmax.softmax(scores, axis=axis), scipy.special.softmax(scores, axis=axis), terms=8)


@points(0.5, "A score of -inf has probability exactly 0")
@given(scores=arrays((4, 5), low=-5, high=5), hidden=arrays((4, 5), low=0, high=1))
def test_minus_infinity(softmax, scores, hidden):
    """-inf means never: weight exactly 0, and the others share the whole."""
    banned = hidden > 0.5
    banned[:, 2] = False  # one finite score in every slice
    scores = np.where(banned, -np.inf, scores)
    probabilities = softmax.softmax(scores)
    assert_close(probabilities, scipy.special.softmax(scores, axis=-1), terms=10)
    assert_equal(probabilities[banned], np.zeros(int(banned.sum())))
    assert_close(softmax.log_softmax(scores), scipy.special.log_softmax(scores, axis=-1), terms=10)


@points(1, "The logarithm is right along any axis, and finite where the scores are")
@given(data=st.data(), shape=SHAPES, size=st.sampled_from([3.0, 1e3, 1e6]))
def test_log_softmax_values(softmax, data, shape, size):
    """log softmax is the score minus the logarithm of the sum of exponentials: never log(0)."""
    scores = data.draw(arrays(shape, low=-size, high=size))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    expected = scipy.special.log_softmax(scores, axis=axis)
    assert_close(softmax.log_softmax(scores, axis=axis), expected, terms=8 + shape[axis], scale=size)


@points(0.5, "float32 stays float32, float64 stays float64")
def test_dtypes_are_kept(softmax):
    """The result has the dtype of the scores: a float32 model must not turn into a float64 one on the way."""
    for dtype in (np.float32, np.float64):
        scores = np.array([[0.5, -1.0, 3.0], [2.0, 2.0, 1.0]], dtype)
        for axis in (0, 1):
            assert_dtype(softmax.softmax(scores, axis=axis), dtype)
            assert_dtype(softmax.log_softmax(scores, axis=axis), dtype)


@points(0.5, "Whole numbers are computed as floats")
def test_integers(softmax):
    """Integer scores are scores too: the result is a floating-point array."""
    scores = np.array([[1, 2, 3], [-4, 0, 1000]])
    assert_close(softmax.softmax(scores), scipy.special.softmax(scores.astype(float), axis=-1), terms=8)
    assert_close(softmax.log_softmax(scores), scipy.special.log_softmax(scores.astype(float), axis=-1), terms=8)


@points(1, "Adding the same number to all scores changes nothing")
@given(scores=arrays((3, 5), low=-8, high=8), shift=st.integers(-1000, 1000))
def test_shift_invariance(softmax, scores, shift):
    """Softmax only sees differences between scores. The shift itself rounds each score by eps·1000."""
    shifted = scores + shift
    back = shifted - shift  # what the shift left of the scores
    assert_close(softmax.softmax(shifted), scipy.special.softmax(back, axis=-1), terms=30)
