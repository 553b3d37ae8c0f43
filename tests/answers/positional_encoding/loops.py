"""One number at a time, with the math module."""

import math

import numpy as np


def sinusoidal_positional_encoding(seq_len, d_model, base=10000.0):
    if d_model % 2 != 0:
        raise ValueError("d_model must be even")
    rows = []
    for pos in range(seq_len):
        row = []
        for column in range(d_model):
            angle = pos / math.pow(base, (column - column % 2) / d_model)
            row.append(math.cos(angle) if column % 2 else math.sin(angle))
        rows.append(row)
    return np.array(rows)


def apply_rotary_embedding(x, base=10000.0):
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError("the last axis must have an even size")
    result = np.zeros(x.shape, dtype=x.dtype if x.dtype.kind == "f" else float)
    for p in range(x.shape[-2]):
        for i in range(half):
            angle = p / math.pow(base, i / half)
            a, b = x[..., p, i].astype(float), x[..., p, i + half].astype(float)
            result[..., p, i] = a * math.cos(angle) - b * math.sin(angle)
            result[..., p, i + half] = b * math.cos(angle) + a * math.sin(angle)
    return result
