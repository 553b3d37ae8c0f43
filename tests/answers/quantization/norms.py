"""The largest size as a norm, in float32 throughout; the sign apart from the size.

Better: sizes and signs apart, so that both sides of zero are rounded alike, whatever the rule for halves.
"""

import numpy as np


def quantize_absmax(weights, per_row=False):
    flat = np.array(weights, dtype=np.float32)
    axis = -1 if per_row else None
    peak = np.linalg.norm(flat if per_row else flat.ravel(), ord=np.inf, axis=axis, keepdims=per_row)
    scale = np.float32(peak) / np.float32(127) if not per_row else peak / np.float32(127)
    safe = scale + (scale == 0)
    sizes = np.floor(np.abs(flat) / safe + np.float32(0.5))
    return np.copysign(sizes, flat).clip(-127, 127).astype("int8"), safe


def dequantize(quantized, scale):
    return np.multiply(quantized, scale, dtype=np.float32)


def memory_bytes(num_parameters, dtype):
    match dtype:
        case "float32":
            return 4 * num_parameters
        case "float16" | "bfloat16":
            return 2 * num_parameters
        case "int8":
            return num_parameters
        case "int4":
            return num_parameters // 2 + num_parameters % 2
    raise ValueError("This dtype is not known here.")
