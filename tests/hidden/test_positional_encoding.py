"""Positional encoding, hidden: against loops over single numbers, with the math module and complex numbers in float64.

Rounding: a frequency base^(-2i/d) is exp(-ln(base)·2i/d), so the rounding of its exponent is a relative error of up to
ln(base)·eps, with ln(base) at most 14 here; 16·eps covers the other roundings. An angle below T is off by 16·T·eps
then, and so is its sine or cosine. Turning a vector multiplies that by the size of its entries. In float32 the same
with that eps.
"""

import cmath
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import (
    assert_close,
    assert_dtype,
    assert_raises_value_error,
    assert_shape,
    points,
    rests_on,
    seeds,
)

LENGTHS = st.integers(3, 12)
WIDTHS = st.sampled_from([2, 4, 6, 8, 10, 16, 32])  # also such as are no power of two
BASES = st.sampled_from([2.0, 37.5, 1000.0, 500000.0])
BATCHES = st.sampled_from([(3,), (1,), (2, 3), (5, 1), (3, 1, 2)])


def expected_sinusoids(seq_len, d_model, base=10000.0):
    """One number after the other, as the formula has them."""
    result = np.zeros((seq_len, d_model))
    for position in range(seq_len):
        for i in range(d_model // 2):
            angle = position / base ** (2 * i / d_model)
            result[position, 2 * i] = math.sin(angle)
            result[position, 2 * i + 1] = math.cos(angle)
    return result


def expected_rotation(x, base=10000.0):
    """Each pair as a complex number, multiplied by e^(i·angle), in float64."""
    seq_len, width = x.shape[-2:]
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape[:-2]):
        for position in range(seq_len):
            for i in range(width // 2):
                a, b = x[(*index, position, i)], x[(*index, position, i + width // 2)]
                turned = complex(a, b) * cmath.rect(1.0, position / base ** (2 * i / width))
                result[(*index, position, i)], result[(*index, position, i + width // 2)] = turned.real, turned.imag
    return result


def normal(seed, shape, dtype=np.float64):
    """Inputs that no symmetry hides anything in; with more than one in size, so that errors show."""
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def assert_rotated(got, x, base=10000.0):
    """Passes when `got` is `x` turned, up to the rounding that stands at the top."""
    assert_close(got, expected_rotation(x, base), terms=16 * x.shape[-2], scale=float(np.abs(x).max()))


def assert_turned(got, x):
    """Passes when every vector after position 0 has turned, and none has changed its length."""
    assert_shape(got, x.shape, like=x)
    still = np.abs(got - x).max(axis=-1)[..., 1:] < 1e-6
    assert not still.any(), "nothing turned at a position after the first"
    # Lengths are sums of d squares; a pair that turns keeps its length up to a few roundings, whatever its angle.
    assert_close(np.sum(got**2, axis=-1), np.sum(x.astype(np.float64) ** 2, axis=-1), terms=x.shape[-1] + 8)


@points(1, "Every number of the sinusoidal encoding is right")
@rests_on("PE[pos, 2i] = sin(pos * theta_i), PE[pos, 2i + 1] = cos(pos * theta_i)")
@given(seq_len=st.integers(1, 12), d_model=WIDTHS)
def test_sinusoidal_values(positional_encoding, seq_len, d_model):
    """Column 2i is sin(pos / base^(2i/d_model)), and column 2i + 1 is the cosine of the same angle.

    If only some columns are wrong, look at the frequencies; if only row 0 is right, look at all of them.
    """
    got = positional_encoding.sinusoidal_positional_encoding(seq_len, d_model)
    assert_close(got, expected_sinusoids(seq_len, d_model), terms=16 * seq_len)


@points(0.5, "The sinusoids use the base that they are given")
@rests_on("base: how much slower the last columns swing than the first.")
@given(seq_len=LENGTHS, d_model=WIDTHS, base=BASES)
def test_sinusoidal_base(positional_encoding, seq_len, d_model, base):
    """`base` is an argument: models for long texts choose a larger one. The frequencies must follow it."""
    got = positional_encoding.sinusoidal_positional_encoding(seq_len, d_model, base=base)
    assert_close(got, expected_sinusoids(seq_len, d_model, base), terms=16 * seq_len)


@points(0.5, "Each pair of columns is one hand of a clock, with an even pace")
@rests_on("belong to the same hand, so both have the same angle")
@given(seq_len=LENGTHS, d_model=WIDTHS)
def test_sinusoidal_pairs(positional_encoding, seq_len, d_model):
    """Columns 2i and 2i + 1 are the sine and cosine of one angle.

    So they lie on a circle of radius 1, begin at the angle 0, and turn by the same angle from each position to the
    next: the first pair by 1.
    """
    encoding = positional_encoding.sinusoidal_positional_encoding(seq_len, d_model)
    assert_shape(encoding, (seq_len, d_model), like=np.zeros(1))
    sines, cosines = encoding[:, 0::2], encoding[:, 1::2]
    assert_close(sines**2 + cosines**2, np.ones(sines.shape), terms=4)
    assert_close(encoding[0], np.array([0.0, 1.0] * (d_model // 2)), terms=4)
    # sin(b - a) and cos(b - a) of the angles a and b at neighboring positions: the same everywhere.
    turns = (
        sines[1:] * cosines[:-1] - cosines[1:] * sines[:-1],
        cosines[1:] * cosines[:-1] + sines[1:] * sines[:-1],
    )
    for turn, first in zip(turns, (math.sin(1.0), math.cos(1.0)), strict=True):
        assert_close(turn, np.broadcast_to(turn[:1], turn.shape), terms=16 * seq_len, scale=1.0)
        assert_close(turn[:, 0], np.full(seq_len - 1, first), terms=16 * seq_len)


@points(0.25, "The sinusoids are float64, at far positions too")
@rests_on("One row per position, float64 `[T, d]`.")
def test_sinusoidal_precision(positional_encoding):
    """The table is float64, and computed so.

    With float32 angles, far positions lose the digits that tell neighbors apart.
    """
    encoding = positional_encoding.sinusoidal_positional_encoding(2000, 8)
    assert_dtype(encoding, np.float64)
    assert_close(encoding, expected_sinusoids(2000, 8), terms=16 * 2000)


@points(0.25, "The sinusoids refuse an odd size")
@rests_on("ValueError: `d_model` is odd.")
@given(seq_len=st.integers(1, 5), d_model=st.sampled_from([1, 3, 7, 9]))
def test_sinusoidal_odd(positional_encoding, seq_len, d_model):
    """With an odd `d_model` one column has no partner: raise a ValueError that says why."""
    assert_raises_value_error(positional_encoding.sinusoidal_positional_encoding, seq_len, d_model)


@points(1, "Every pair turns by its own angle, in the right direction")
@rests_on("Turns the pair (x[p, i], x[p, i + d/2]) by the angle p * base^(-2i/d)")
@given(seed=seeds(), seq_len=st.integers(1, 12), width=WIDTHS)
def test_rotary_values(positional_encoding, seed, seq_len, width):
    """The partners are x[i] and x[i + d/2].

    At position p they turn by p · base^(-2i/d), from the first towards the second: (1, 0) becomes (cos, sin).
    """
    x = normal(seed, (seq_len, width))
    assert_rotated(positional_encoding.apply_rotary_embedding(x), x)


@points(0.5, "The rotation uses the base that it is given")
@rests_on("base: how much slower the last pairs turn than the first.")
@given(seed=seeds(), seq_len=LENGTHS, width=WIDTHS, base=BASES)
def test_rotary_base(positional_encoding, seed, seq_len, width, base):
    """`base` is an argument: Llama 2 has 10000, Llama 3 has 500000. The angles must follow it."""
    x = normal(seed, (seq_len, width))
    assert_rotated(positional_encoding.apply_rotary_embedding(x, base=base), x, base)


@points(0.5, "Any number of axes may come before the last two")
@rests_on("position p stands at index p of the axis before the last")
@given(seed=seeds(), batch=BATCHES, seq_len=st.integers(1, 5), width=st.sampled_from([4, 6, 8]))
def test_rotary_leading_axes(positional_encoding, seed, batch, seq_len, width):
    """With batches and heads, `[B, H, T, d]`, the position is still the index on the axis before the last.

    Every batch and head is turned as it would be alone.
    """
    x = normal(seed, (*batch, seq_len, width))
    got = positional_encoding.apply_rotary_embedding(x)
    assert_turned(got, x)
    alone = np.empty_like(x)
    for index in np.ndindex(batch):
        alone[index] = positional_encoding.apply_rotary_embedding(x[index])
    assert_close(got, alone, terms=16 * seq_len)


@points(0.5, "A score depends on how far apart two words are, not on where they stand")
@rests_on("depends on *how far apart* two words are")
@given(seed=seeds(), seq_len=LENGTHS, width=WIDTHS)
def test_rotary_scores_are_relative(positional_encoding, seed, seq_len, width):
    """Put one query and one key at every position.

    The dot product of the turned query at p with the turned key at q is the same wherever q - p is the same: this is
    what RoPE is for. At distance 0 it is what it was before turning.
    """
    query, key = normal(seed, (2, width))
    queries, keys = (np.tile(vector, (seq_len, 1)) for vector in (query, key))  # [T, d] each
    turned_queries = positional_encoding.apply_rotary_embedding(queries)
    turned_keys = positional_encoding.apply_rotary_embedding(keys)
    assert_turned(turned_queries, queries)
    assert_turned(turned_keys, keys)
    scores = turned_queries @ turned_keys.T  # [T, T], equal along every diagonal
    size = float(np.linalg.norm(query) * np.linalg.norm(key))
    terms = 2 * 16 * seq_len + width  # two turned vectors, and a sum of d products
    assert_close(scores[1:, 1:], scores[:-1, :-1], terms=terms, scale=size)
    assert_close(scores.diagonal(), np.full(seq_len, float(query @ key)), terms=terms, scale=size)


@points(0.25, "The rotation is right at far positions, in float32 too")
@rests_on("Angles in radians, float64 `[T, d/2]`.")
def test_rotary_far(positional_encoding):
    """A text may be of any length, and the angles of its end are large.

    They need float32 at least, whatever the dtype of `x`.
    """
    for dtype in (np.float32, np.float64):
        x = normal(9, (300, 8), dtype)
        assert_rotated(positional_encoding.apply_rotary_embedding(x), x)


@points(0.25, "float16, float32 and float64 stay what they are")
@rests_on("The turned vectors in the shape of `x`. Floating dtypes are kept")
def test_rotary_dtypes(positional_encoding):
    """The result has the dtype of `x`.

    Angles are float64 of their own accord, and make a float64 result out of float32 vectors unless you see to it. And
    float32 must not be computed in less than float32.
    """
    for dtype in (np.float16, np.float32, np.float64):
        x = normal(5, (2, 6, 8), dtype)
        got = positional_encoding.apply_rotary_embedding(x)
        assert_dtype(got, dtype)
        if dtype != np.float16:  # where a rounding is larger than the tolerance
            assert_turned(got, x)


@points(0.25, "Whole numbers are computed as floats")
@rests_on("integers are computed as floats")
def test_rotary_integers(positional_encoding):
    """A turned whole number is rarely a whole number: the result is a floating-point array, and nothing is cut off."""
    x = np.arange(-20, 28).reshape(2, 3, 8)
    got = positional_encoding.apply_rotary_embedding(x)
    assert got.dtype.kind == "f", f"whole numbers came back as {got.dtype}"
    assert_turned(got, x)


@points(0.25, "The rotation refuses an odd size")
@rests_on("ValueError: `d` is odd.")
@given(shape=st.sampled_from([(3, 1), (4, 7), (2, 4, 5), (2, 2, 4, 3)]))
def test_rotary_odd(positional_encoding, shape):
    """With an odd last axis one entry has no partner: raise a ValueError that says why."""
    assert_raises_value_error(positional_encoding.apply_rotary_embedding, np.ones(shape))
