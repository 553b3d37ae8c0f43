"""Softmax, hidden: against SciPy, on every axis, shape and dtype, at the extremes.

How far a right answer may be off: softmax takes one exponential, one division and a sum of n terms, all at most 1, so
about n + 4 roundings. Who computes exp(z - log sum exp) instead rounds a number as large as the largest |z| in between,
by eps·|z|, and the exponential makes that a relative error: |z| more roundings. The tolerances allow both. Only the two
tests of values ask for every digit; the others are about something gross, and six digits are enough.
"""

import numpy as np
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import arrays, assert_close, assert_dtype, assert_equal, points, rests_on

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@st.composite
def scores_and_axes(draw, high):
    """Scores of any shape, from -high to high, and one of their axes, counted from either end."""
    shape, dtype = draw(SHAPES), draw(st.sampled_from([np.float64, np.float32]))
    return draw(arrays(shape, -high, high, dtype)), draw(st.integers(-len(shape), len(shape) - 1))


@points(1, "The numbers are right, along any axis of any shape")
@rests_on("Each slice along `axis` is one distribution of its own")
@given(drawn=scores_and_axes(high=30))
def test_values(softmax, drawn):
    """Each slice along `axis` is exponentials divided by their own sum; no other axis takes part."""
    scores, axis = drawn
    expected = scipy.special.softmax(scores.astype(np.float64), axis=axis)
    assert_close(softmax.softmax(scores, axis=axis), expected, terms=34 + scores.shape[axis])


@points(0.5, "Without an axis, the last one is meant")
@rests_on("def softmax(scores: np.ndarray, axis: int = -1)")
def test_default_axis(softmax):
    """Without an `axis`, both functions work along the last one, also where the scores have three axes."""
    scores = np.arange(24.0).reshape(2, 3, 4) ** 1.5 / 10
    softmax.softmax(-scores, axis=0)  # what was asked before, of the same shape, is over
    softmax.log_softmax(-scores, axis=0)
    assert_close(softmax.softmax(scores), scipy.special.softmax(scores, axis=-1), digits=6)
    assert_close(softmax.log_softmax(scores), scipy.special.log_softmax(scores, axis=-1), digits=6)


@points(1, "Scores up to a million, of either sign, in every slice")
@rests_on("any numbers up to ±1e6, or -inf")
@given(
    scores=arrays((3, 4), low=-1e6, high=1e6),
    small=arrays((1, 4), low=0, high=8),
    axis=st.sampled_from([0, 1]),
)
def test_extreme_scores(softmax, scores, small, axis):
    """No slice may overflow, and none may vanish because another slice, or the number 0, is larger than its scores."""
    scores = np.concatenate([scores, small - 1e6, 1e6 - small])
    assert_close(softmax.softmax(scores, axis=axis), scipy.special.softmax(scores, axis=axis), digits=6)


@points(0.5, "No overflow on the way either")
@rests_on("choose *c* well, and no exponential can overflow")
def test_no_overflow(softmax):
    """A step on the way overflows, even if the result looks right. Subtract first: then no exponential is above 1."""
    for dtype in (np.float64, np.float32):
        scores = np.array([[1000, 0, -1000], [-1000, -1000, 1000], [800, 790, 0], [-900, -1000, -950]], dtype)
        for function, reference in (
            (softmax.softmax, scipy.special.softmax),
            (softmax.log_softmax, scipy.special.log_softmax),
        ):
            softmax.library("numpy").seterr(all="warn")  # whatever the module has switched off when it was loaded
            got = function(scores, axis=1)
            assert not any("overflow" in warning for warning in softmax.warnings())
            # In float32, exp(z - log sum exp) is right to 1000 · 6e-8 only.
            assert_close(got, reference(scores.astype(np.float64), axis=1), digits=3)


@points(0.5, "A score of -inf has probability exactly 0")
@rests_on("its probability is exactly 0")
@given(scores=arrays((4, 5), low=-5, high=5), hidden=arrays((4, 5), low=0, high=1))
def test_minus_infinity(softmax, scores, hidden):
    """-inf means never: weight exactly 0, and the others share the whole."""
    banned = hidden > 0.5
    banned[:, 2] = False  # one finite score in every slice
    scores = np.where(banned, -np.inf, scores)
    probabilities = softmax.softmax(scores, axis=1)
    assert_close(probabilities, scipy.special.softmax(scores, axis=1), digits=6)
    assert_equal(probabilities[banned], np.zeros(int(banned.sum())))
    assert_close(softmax.log_softmax(scores, axis=1), scipy.special.log_softmax(scores, axis=1), digits=6)


@points(0.5, "The logarithm is right along any axis of any shape")
@rests_on("log softmax(z)_i = z_i - log sum_j exp(z_j)")
@given(drawn=scores_and_axes(high=30))
def test_log_softmax_values(softmax, drawn):
    """A log-probability is the score minus the natural logarithm of its own slice's sum of exponentials."""
    scores, axis = drawn
    expected = scipy.special.log_softmax(scores.astype(np.float64), axis=axis)
    assert_close(softmax.log_softmax(scores, axis=axis), expected, terms=4 + scores.shape[axis], scale=60)


@points(0.5, "The logarithm is finite wherever the scores are")
@rests_on("finite wherever the scores are")
@given(scores=arrays((3, 5), low=-1, high=1), size=st.sampled_from([1e3, 1e6]), axis=st.sampled_from([0, 1]))
def test_log_softmax_extremes(softmax, scores, size, axis):
    """Even a probability too small for a float has a logarithm: never compute it by way of the probability."""
    scores = size * np.concatenate([scores, scores[:1] * 1e-3 - 0.999, 0.999 - scores[:1] * 1e-3])
    expected = scipy.special.log_softmax(scores, axis=axis)
    assert_close(softmax.log_softmax(scores, axis=axis), expected, terms=9, scale=2 * size)


@points(0.5, "Floats keep their dtype")
@rests_on("Floating dtypes are kept")
def test_dtypes_are_kept(softmax):
    """The result has the dtype of the scores: a float32 model must not turn into a float64 one on the way."""
    for dtype in (np.float32, np.float64, np.float16):
        scores = np.array([[0.5, -1.0, 3.0], [2.0, 2.0, 1.0]], dtype)
        for axis in (0, 1):
            for function, reference in (
                (softmax.softmax, scipy.special.softmax),
                (softmax.log_softmax, scipy.special.log_softmax),
            ):
                got = function(scores, axis=axis)
                assert_close(got, reference(scores.astype(np.float64), axis=axis), digits=3)
                assert_dtype(got, dtype)


@points(0.5, "Whole numbers are computed as floats")
@rests_on("integers are computed as floats")
def test_integers(softmax):
    """Integer scores are scores too: the result is a floating-point array."""
    for dtype in (np.int64, np.int32):
        scores = np.array([[1, 2, 3], [-4, 0, 5]], dtype)
        floats = scores.astype(np.float64)
        assert_close(softmax.softmax(scores, axis=1), scipy.special.softmax(floats, axis=1), digits=6)
        assert_close(softmax.log_softmax(scores, axis=1), scipy.special.log_softmax(floats, axis=1), digits=6)


@points(0.5, "Adding the same number to all scores changes nothing")
@rests_on("softmax does not change when the same number *c* is subtracted from all scores")
@given(scores=arrays((3, 5), low=-8, high=8), shift=st.integers(-300, 300))
def test_shift_invariance(softmax, scores, shift):
    """Softmax only sees differences between scores: what is added to all of them cancels."""
    expected = scipy.special.softmax(scores, axis=1)
    assert_close(softmax.softmax(scores + shift, axis=1), expected, digits=6)
