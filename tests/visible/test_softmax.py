"""Softmax, visible: the worked example, and the few properties that say what is meant."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import arrays, assert_close, assert_dtype, points

MATRICES = arrays(st.tuples(st.integers(2, 3), st.integers(2, 4)), low=-5, high=5)
EXPONENTIALS = np.exp([1.0, 2.0, 3.0])  # 2.718, 7.389, 20.086; together 30.193
LARGE = np.array([[1000.0, 0.0, 0.0, 0.0], [-1000.0, -1000.0, -2000.0, -2000.0]])


@points(0.5, "The worked example comes out")
def test_worked_example(softmax):
    """softmax([1, 2, 3]) is the example in the text: exponentials divided by their sum.

    Without an `axis`, each row is a distribution of its own.
    """
    assert_close(softmax.softmax(np.array([1.0, 2.0, 3.0])), EXPONENTIALS / 30.19287485057736, terms=8)
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    assert_close(softmax.softmax(rows), EXPONENTIALS[[[0, 1, 2], [2, 0, 1]]] / 30.19287485057736, terms=8)


@points(0.5, "Every slice sums to 1, along the axis asked for")
@given(scores=MATRICES, axis=st.sampled_from([0, 1, -1]))
def test_slices_sum_to_one(softmax, scores, axis):
    """The probabilities of one slice along `axis` sum to 1, whichever axis that is."""
    probabilities = softmax.softmax(scores, axis=axis)
    assert_close(probabilities.sum(axis=axis), np.ones(scores.shape[1 - axis % 2]), digits=6)


@points(0.5, "Scores of ±1000 neither overflow nor vanish")
def test_large_scores(softmax):
    """exp(1000) is infinite, and inf / inf is nan: subtract each slice's largest score before exp.

    Its own largest: where all scores of a slice are far below 0, or below another slice's, nothing may become 0 / 0.
    """
    assert_close(softmax.softmax(np.array([0.0, 1000.0, 1000.0])), np.array([0.0, 0.5, 0.5]), digits=6)
    expected = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    assert_close(softmax.softmax(LARGE, axis=1), expected, digits=6)
    assert_close(softmax.softmax(LARGE.T, axis=0), expected.T, digits=6)


@points(0.5, "The logarithm of the worked example comes out")
def test_log_softmax_example(softmax):
    """log_softmax([1, 2, 3]) is the natural logarithm of the example's probabilities."""
    expected = np.log(EXPONENTIALS / 30.19287485057736)
    assert_close(softmax.log_softmax(np.array([1.0, 2.0, 3.0])), expected, terms=8)
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    assert_close(softmax.log_softmax(rows), expected[[[0, 1, 2], [2, 0, 1]]], terms=8)


@points(0.5, "The logarithm stays finite")
def test_log_softmax_stays_finite(softmax):
    """The logarithm of a probability too small for a float is -inf: work with the scores, not the probabilities."""
    assert_close(softmax.log_softmax(np.array([0.0, 1000.0])), np.array([-1000.0, 0.0]))
    half = -np.log(2)
    expected = np.array([[0.0, -1000.0, -1000.0, -1000.0], [half, half, half - 1000, half - 1000]])
    assert_close(softmax.log_softmax(LARGE, axis=1), expected, terms=8)
    assert_close(softmax.log_softmax(LARGE.T, axis=0), expected.T, terms=8)


@points(0.5, "float32 stays float32, and whole numbers become floats")
def test_dtypes(softmax):
    """The result has the dtype of the scores where they are floats; whole numbers are computed as floats."""
    for function in (softmax.softmax, softmax.log_softmax):
        for dtype in (np.float32, np.float64):
            assert_dtype(function(np.array([1, 2, 3], dtype)), dtype)
    assert_close(softmax.softmax(np.array([1, 2, 3])), EXPONENTIALS / 30.19287485057736, digits=6)
