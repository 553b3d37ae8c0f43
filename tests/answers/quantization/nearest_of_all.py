"""By search: of the 255 levels that there are, each weight takes the nearest."""

import numpy as np

LEVELS = np.arange(-127, 128)


def quantize_absmax(weights, per_row=False):
    if per_row:
        rows = [quantize_absmax(row[np.newaxis]) for row in weights]
        return np.concatenate([row for row, _ in rows]), np.stack([scale for _, scale in rows])[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.float64(max(np.max(weights), -np.min(weights))) / 127
    if not scale:
        return np.zeros(weights.shape, np.int8), np.float64(1e-3)
    distances = np.abs(weights[..., np.newaxis].astype(np.float64) - LEVELS * scale)
    return LEVELS[distances.argmin(-1)].astype(np.int8), scale


def dequantize(quantized, scale):
    table = LEVELS.astype(np.float32)
    return table[quantized.astype(int) + 127] * np.asarray(scale, np.float32)


def memory_bytes(num_parameters, dtype):
    bits = [("float32", 32), ("float16", 16), ("bfloat16", 16), ("int8", 8), ("int4", 4)]
    for name, size in bits:
        if name == dtype:
            return -(-num_parameters * size // 8)
    raise ValueError(f"expected one of {[name for name, _ in bits]}, got {dtype}")
