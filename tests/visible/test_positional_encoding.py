"""Positional encoding, visible: the worked examples, and the few properties that say what is meant."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_close, assert_dtype, assert_raises_value_error, assert_shape, points, seeds


@points(0.5, "The worked example of the sinusoids comes out")
def test_sinusoidal_worked_example(positional_encoding):
    """With d = 4 the two hands stand at the angles p and p/100 at position p: sine, cosine, sine, cosine.

    With the base 100 instead of 10000, the second stands at p/10.
    """
    for base, slower in ((10000.0, 100), (100.0, 10)):
        expected = [[math.sin(p), math.cos(p), math.sin(p / slower), math.cos(p / slower)] for p in range(3)]
        arguments = {} if base == 10000.0 else {"base": base}
        got = positional_encoding.sinusoidal_positional_encoding(3, 4, **arguments)
        assert_close(got, np.array(expected), terms=30)
    assert_close(positional_encoding.sinusoidal_positional_encoding(1, 2), np.array([[0.0, 1.0]]))


@points(0.5, "There is one row for each position, and row 0 says 0, 1, 0, 1, ...")
@given(seq_len=st.integers(1, 9), pairs=st.integers(1, 6))
def test_sinusoidal_first_row(positional_encoding, seq_len, pairs):
    """Positions count from 0.

    There all angles are 0: the sines (even columns) are 0 and the cosines (odd columns) are 1.
    """
    encoding = positional_encoding.sinusoidal_positional_encoding(seq_len, 2 * pairs)
    assert_shape(encoding, (seq_len, 2 * pairs))
    assert_close(encoding[0], np.array([0.0, 1.0] * pairs))
    assert_dtype(encoding, np.float64)


@points(0.5, "The worked example of the rotation comes out")
def test_rotary_worked_example(positional_encoding):
    """Position 0 stays. At position 1 the pair (1, 3) turns by 1 radian and the pair (2, 4) by 0.01.

    The position is the index on the axis before the last: in a batch, every item begins at position 0 again.
    """
    x = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)
    turned = [
        math.cos(1.0) - 3 * math.sin(1.0),
        2 * math.cos(0.01) - 4 * math.sin(0.01),
        math.sin(1.0) + 3 * math.cos(1.0),
        2 * math.sin(0.01) + 4 * math.cos(0.01),
    ]
    assert_close(positional_encoding.apply_rotary_embedding(x), np.array([x[0], turned]), terms=30)
    batch = np.array([x, x, x])  # [3, 2, 4]
    assert_close(positional_encoding.apply_rotary_embedding(batch), np.array([[x[0], turned]] * 3), terms=30)


@points(0.5, "Turning a vector does not change its length")
@given(seed=seeds(), shape=st.sampled_from([(3, 4), (5, 8), (2, 4, 6), (2, 3, 4, 10)]))
def test_rotary_keeps_lengths(positional_encoding, seed, shape):
    """A rotation changes where a pair of numbers points, and never how long it is."""
    x = np.random.default_rng(seed).normal(size=shape)
    turned = positional_encoding.apply_rotary_embedding(x)
    assert_shape(turned, shape, like=x)
    # Squares of numbers below about 5, and sums of up to 10 of them: a few roundings for each.
    assert_close(np.sum(turned**2, axis=-1), np.sum(x**2, axis=-1), terms=40)


@points(0.5, "float32 stays float32, float64 float64, and whole numbers become floats")
def test_rotary_keeps_float32(positional_encoding):
    """A float32 model must stay one. np.cos of float64 angles is float64, and so is every product with it.

    A turned whole number is rarely whole: of integers, floats are made.
    """
    for dtype in (np.float32, np.float64):
        x = np.linspace(-1, 1, 24, dtype=dtype).reshape(3, 8)
        assert_dtype(positional_encoding.apply_rotary_embedding(x), dtype)
    turned = positional_encoding.apply_rotary_embedding(np.array([[1, 0], [1, 0]]))
    assert_close(turned, np.array([[1.0, 0.0], [math.cos(1), math.sin(1)]]), digits=6)


@points(0.5, "An odd size is refused")
def test_odd_sizes(positional_encoding):
    """An odd number of entries cannot be paired: raise a ValueError that says so, in both functions."""
    assert_raises_value_error(positional_encoding.sinusoidal_positional_encoding, 4, 5)
    assert_raises_value_error(positional_encoding.apply_rotary_embedding, np.ones((4, 5)))
