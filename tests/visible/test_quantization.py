"""Quantization, visible: the worked example, a scale for each row, half a step, zeros, and the bill."""

import numpy as np
from hypothesis import given

from autograder.suites import (
    Mismatch,
    arrays,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
)


def quantize(quantization, *args, **kwargs):
    """`quantize_absmax`, and that it returned a pair."""
    got = quantization.quantize_absmax(*args, **kwargs)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than the pair (quantized, scale)", got, None)
    return got


@points(0.5, "The worked example comes out")
def test_worked_example(quantization):
    """The largest size is 1.27, so a step is 0.01; then 0.034 is 3.4 steps, and the nearest whole number is 3."""
    quantized, scale = quantize(quantization, np.array([[0.5, -1.27, 0.034, 1.0]]))
    assert_shape(scale, ())
    assert_close(np.float32(scale), np.float32(0.01), terms=4)
    assert_equal(quantized, np.array([[50, -127, 3, 100]], np.int8))
    assert_dtype(quantized, np.int8)


@points(0.5, "With `per_row`, each row has its own scale")
def test_scale_of_each_row(quantization):
    """The second row's weights are far smaller than the first's, and so is its scale: a column, [out, 1]."""
    first = np.array([1.27, 0.5, -0.2])
    quantized, scale = quantize(quantization, np.array([first, first * [1e-12, -1e-12, -1e-12]]), per_row=True)
    assert_shape(scale, (2, 1))
    assert_close(np.asarray(scale, float) * [[1], [1e12]], np.array([[0.01], [0.01]]), digits=6)
    assert_equal(quantized, np.array([[127, 50, -20], [127, -50, 20]], np.int8))


@points(1, "There and back, no weight is off by more than half a step")
@given(weights=arrays((3, 5), low=-4, high=4, dtype=np.float32))
def test_round_trip(quantization, weights):
    """Rounding to the nearest whole number is off by half a step at most; cutting the fraction off is not."""
    weights[:, 1] = -4, 3, 2
    for per_row in (False, True):
        quantized, scale = quantize(quantization, weights, per_row=per_row)
        back = quantization.dequantize(quantized, scale)
        assert_shape(back, weights.shape, like=weights)
        assert_dtype(back, np.float32)
        # A thousandth of a step covers the roundings of float32, each of which is 127 · 6e-8 steps at most.
        wrong = np.abs(back - weights) > 0.501 * np.broadcast_to(scale, weights.shape)
        if wrong.any():
            raise Mismatch(f"{int(wrong.sum())} of {wrong.size} weights are off by more", back, weights, wrong)


@points(0.5, "Weights of zero stay zero")
def test_zeros_stay_zero(quantization):
    """A row of zeros has nothing to divide by: its whole numbers are 0, and its scale is any positive number."""
    for per_row in (False, True):
        quantized, scale = quantize(quantization, np.zeros((2, 3)), per_row=per_row)
        assert_equal(quantized, np.zeros((2, 3), np.int8))
        assert_equal(bool(np.all(np.asarray(scale) > 0)), True)
    quantized, scale = quantize(quantization, np.array([[0.0, 0.0], [1.27, -0.5]]), per_row=True)
    assert_equal(quantized, np.array([[0, 0], [127, -50]], np.int8))
    assert_equal(bool(np.all(np.asarray(scale) > 0)), True)


@points(0.5, "What a model weighs")
def test_what_a_model_weighs(quantization):
    """float32 takes 4 bytes a weight, bfloat16 two, int8 one; two int4 share one, and an odd one has a byte to itself.

    Any other name is an error.
    """
    assert_equal(quantization.memory_bytes(7_000_000_000, "float32"), 28_000_000_000)
    assert_equal(quantization.memory_bytes(1000, "int8"), 1000)
    assert_equal(quantization.memory_bytes(1000, "int4"), 500)
    assert_equal(quantization.memory_bytes(1001, "int4"), 501)
    assert_equal(quantization.memory_bytes(10, "bfloat16"), 20)
    assert_raises_value_error(quantization.memory_bytes, 1000, "int7")
