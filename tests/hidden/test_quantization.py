"""Quantization, hidden: every whole number against its own weight in float64, for matrices of many sizes and dtypes.

Rounding: a weight in steps, w / s, is at most 127. Weights, scale and quotient are each rounded once or twice, which in
float32 moves it by less than 127 · 8 · 6e-8 < 1e-4 steps, in float16 (two roundings) by less than 127 · 2^-10 < 0.13.
A weight that close to the middle between two whole numbers may go to either; every other one must go to the nearest.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import (
    Mismatch,
    arrays,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
    rests_on,
)

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6))
MATRICES = SHAPES.flatmap(lambda shape: arrays(shape, low=-1, high=1))
FLOAT32_STEPS, FLOAT16_STEPS = 1e-4, 0.13


def quantize(quantization, weights, *args, **kwargs):
    """`quantize_absmax`, and that it returned a pair whose first half is int8 in the shape of the weights."""
    got = quantization.quantize_absmax(weights, *args, **kwargs)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than the pair (quantized, scale)", got, None)
    quantized, scale = got
    assert_shape(quantized, weights.shape, like=np.zeros(1))
    assert_dtype(quantized, np.int8)
    return quantized, scale


def scale_of(weights, per_row):
    """The largest size over 127, in float64, [] or [out, 1]."""
    sizes = np.abs(weights.astype(np.float64))
    return (sizes.max(axis=1, keepdims=True) if per_row else sizes.max()) / 127


def assert_scale(scale, expected):
    """Passes for the expected scale, as exact as float32 is; it may be an array, a NumPy number or a float."""
    assert_shape(scale, np.shape(expected))
    assert_close(np.asarray(scale).astype(np.float32), np.asarray(expected).astype(np.float32), terms=4)


def assert_nearest(quantized, weights, expected_scale, slack=FLOAT32_STEPS):
    """Passes when every whole number is the one nearest to its weight in steps."""
    steps = weights.astype(np.float64) / expected_scale
    wrong = np.abs(quantized - steps) > 0.5 + slack
    if wrong.any():
        text = f"{int(wrong.sum())} of {wrong.size} are not the nearest"
        raise Mismatch(text, quantized, np.rint(steps).astype(np.int8), wrong)


@points(1, "One scale for all: each weight goes to the nearest step")
@rests_on("`s = max |w| / 127` and `q = round(w / s)`")
@given(weights=MATRICES, size=st.sampled_from([0.02, 1.0, 50.0]))
def test_one_scale(quantization, weights, size):
    """The scale is the largest size of all weights over 127; a weight over the scale, rounded, is its whole number."""
    weights = size * weights
    weights[0, -1] = -size  # not all zero, and the largest is negative
    quantized, scale = quantize(quantization, weights)
    assert_scale(scale, scale_of(weights, per_row=False))
    assert_nearest(quantized, weights, scale_of(weights, per_row=False))


@points(1, "A scale for each row: each weight goes to the nearest step of its row")
@rests_on("whether each row has a scale of its own, or all weights share one")
@given(weights=MATRICES, sizes=st.permutations([1e-3, 0.5, 1.0, 200.0]))
def test_per_row(quantization, weights, sizes):
    """With `per_row=True`, the scale of a row is the largest size in it over 127, whatever the other rows hold."""
    sizes = np.array(sizes)[: len(weights), None]
    weights = weights * sizes
    weights[:, :1] = sizes * np.array([[-1], [1], [-1], [1]])[: len(weights)]
    quantized, scale = quantize(quantization, weights, per_row=True)
    assert_scale(scale, scale_of(weights, per_row=True))
    assert_nearest(quantized, weights, scale_of(weights, per_row=True))


@points(0.5, "The scale is [] or [out, 1], and one scale is the default")
@rests_on("the scale, `[]` or `[out, 1]`, always positive")
def test_scale_shapes(quantization):
    """A single scale has no axes, and scales of rows are a column. So both broadcast against the whole numbers."""
    weights = np.arange(-6.0, 9.0).reshape(3, 5) ** 3
    for choice in ({}, {"per_row": False}, {"per_row": True}):
        _, scale = quantize(quantization, weights, **choice)
        assert_shape(scale, (3, 1) if choice.get("per_row") else ())
        if not np.all(np.asarray(scale) > 0):
            raise Mismatch("a scale is not positive", scale, None)


@points(0.5, "Rows of zeros, alone and among others")
@rests_on("Any positive scale is right for it, because all its weights are 0 steps")
@given(weights=arrays((3, 4), low=-2, high=2))
def test_zeros(quantization, weights):
    """0 / 0 is not a number. A row of zeros is all 0 with a positive scale, and the rows beside it do not notice."""
    for zeros, per_row in ((np.zeros((2, 5)), False), (np.zeros((2, 5), np.float32), True)):
        quantized, scale = quantize(quantization, zeros, per_row=per_row)
        assert_equal(quantized, np.zeros((2, 5), np.int8))
        if not (np.all(np.asarray(scale) > 0) and np.all(np.isfinite(scale))):
            raise Mismatch("the scale of zeros is not a positive number", scale, None)
    weights[:, 2] = 1.5
    weights[1] = 0
    quantized, scale = quantize(quantization, weights, per_row=True)
    assert_equal(quantized[1], np.zeros(4, np.int8))
    others = np.array([0, 2])
    assert_nearest(quantized[others], weights[others], scale_of(weights[others], per_row=True))
    tiny, _ = quantize(quantization, 1e-9 * weights, per_row=True)
    assert_nearest(tiny[others], weights[others], scale_of(weights[others], per_row=True))
    if not np.all(np.asarray(scale) > 0):
        raise Mismatch("the scale of a row of zeros is not positive", scale, None)


@points(0.5, "Weights of any size, however small or large")
@rests_on("so no weight is off by more than half a step")
@given(
    weights=arrays((2, 5), low=-1, high=1, dtype=np.float32),
    exponent=st.sampled_from([-60, -40, -10, 10, 60]),
    per_row=st.booleans(),
)
def test_any_size(quantization, weights, exponent, per_row):
    """Twice the weights have twice the scale and the same whole numbers.

    A small number that is added to the scale, to be safe from zeros, breaks that for small weights.
    """
    weights = weights * np.float32(2.0**exponent)
    weights[:, 1] = 2.0**exponent
    quantized, scale = quantize(quantization, weights, per_row=per_row)
    assert_scale(scale, scale_of(weights, per_row))
    assert_nearest(quantized, weights, scale_of(weights, per_row))


@points(0.5, "Opposite weights are opposite whole numbers, from -127 to 127")
@rests_on("int8 `[out, in]`, from -127 to 127")
@given(weights=arrays((2, 6), low=-2, high=2))
def test_symmetry(quantization, weights):
    """The steps are the same on both sides of zero: -128 is never used, and the sign changes nothing but the sign."""
    weights[0, :2] = 3, -3
    weights[1, 3:5] = -2, 2
    for per_row in (False, True):
        expected = scale_of(weights, per_row)
        for sign in (1, -1):
            quantized, _ = quantize(quantization, sign * weights, per_row=per_row)
            assert_nearest(quantized, sign * weights, expected)
            assert_equal(quantized[0, :2], np.array([127, -127], np.int8) * np.int8(sign))
            if per_row:
                assert_equal(quantized[1, 3:5], np.array([-127, 127], np.int8) * np.int8(sign))


@points(0.5, "float32, float16 and whole numbers are weights, too")
@rests_on("in any floating dtype, or whole numbers; computed in float32 at least")
@given(
    single=arrays((3, 4), low=-8, high=8, dtype=np.float32),
    half=arrays((3, 4), low=-8, high=8, dtype=np.float16),
    per_row=st.booleans(),
)
def test_dtypes(quantization, single, half, per_row):
    """Whatever the dtype of the weights, the whole numbers are int8 and the scale is a fraction."""
    for weights, slack in ((single, FLOAT32_STEPS), (half, FLOAT16_STEPS)):
        weights[:, 0] = 8
        quantized, _ = quantize(quantization, weights, per_row=per_row)
        assert_nearest(quantized, weights, scale_of(weights, per_row), slack)
    whole = np.array([[3, -7, 1], [100, 20, -41]])
    quantized, scale = quantize(quantization, whole, per_row=per_row)
    assert_scale(scale, scale_of(whole, per_row))
    assert_nearest(quantized, whole, scale_of(whole, per_row))


@points(0.5, "Back to float32: whole numbers times their scale")
@rests_on("float32 `[out, in]`: off by half a step at most")
@given(numbers=MATRICES, scales=arrays((4, 1), low=1e-3, high=10), dtype=st.sampled_from([np.float32, np.float64]))
def test_dequantize(quantization, numbers, scales, dtype):
    """Each weight is its whole number times the scale: the one scale, or that of its row. The result is float32."""
    quantized = (127 * numbers).astype(np.int8)
    columns = scales[: len(numbers)].astype(dtype)
    for scale in (columns, np.array(columns[0, 0]), columns[0, 0]):
        got = quantization.dequantize(quantized, scale)
        assert_dtype(got, np.float32)
        assert_close(got, (quantized.astype(np.float64) * scale).astype(np.float32), terms=4)


@points(0.5, "The bytes of every dtype")
@rests_on("`bytes = number · bits / 8`, rounded up")
def test_memory(quantization):
    """32, 16, 16, 8 and 4 bits a weight, 8 bits a byte; the result is an `int`, also for a large model."""
    for number in (0, 2, 1000, 134_515_008, 405 * 10**9):
        for dtype, half_bytes in (("float32", 8), ("float16", 4), ("bfloat16", 4), ("int8", 2), ("int4", 1)):
            assert_equal(quantization.memory_bytes(number, dtype), number * half_bytes // 2)


@points(0.25, "An odd int4 has a byte to itself")
@rests_on("an odd one out has a byte to itself")
def test_odd_int4(quantization):
    """Two int4 share a byte. Half a byte cannot be had, so an odd number is rounded up, and only for int4."""
    for number, expected in ((1, 1), (3, 2), (7, 4), (1001, 501), (405 * 10**9 + 1, 202_500_000_001)):
        assert_equal(quantization.memory_bytes(number, "int4"), expected)
    assert_equal(quantization.memory_bytes(3, "int8"), 3)


@points(0.25, "An unknown dtype is a ValueError that says so")
@rests_on("ValueError: another dtype.")
def test_unknown_dtype(quantization):
    """Another name is an error, not a guess: whoever asks for it gets a sentence and not a wrong number."""
    for dtype in ("float64", "int", "int16", "Int8", "fp16", "", "nf4"):
        assert_raises_value_error(quantization.memory_bytes, 10, dtype)
