"""One weight at a time, with Python's own numbers."""

import math

import numpy as np


def _row(numbers, largest):
    scale = largest / 127 if largest else 1.0
    return [max(-127, min(127, math.floor(number / scale + 0.5))) for number in numbers], scale


def quantize_absmax(weights, per_row=False):
    rows = [[float(number) for number in row] for row in weights]
    sizes = [max(abs(number) for number in row) for row in rows]
    if not per_row:
        sizes = [max(sizes)] * len(rows)
    pairs = [_row(row, size) for row, size in zip(rows, sizes, strict=True)]
    quantized = np.array([numbers for numbers, _ in pairs], dtype=np.int8)
    if per_row:
        return quantized, np.array([[scale] for _, scale in pairs])
    return quantized, pairs[0][1]


def dequantize(quantized, scale):
    scales = np.broadcast_to(scale, quantized.shape)
    result = np.empty(quantized.shape, np.float32)
    for place, number in np.ndenumerate(quantized):
        result[place] = int(number) * float(scales[place])
    return result


def memory_bytes(num_parameters, dtype):
    if dtype == "int4":
        pairs, odd = divmod(num_parameters, 2)
        return pairs + odd
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
    try:
        return num_parameters * sizes[dtype]
    except KeyError:
        raise ValueError(f"unknown dtype: {dtype}") from None
