"""No angle is ever multiplied by its position: each position turns the hands of the one before by one step more."""

import numpy as np


def _turn(a, b, cos, sin):
    return a * cos - b * sin, a * sin + b * cos


def _steps(width, base):
    if width % 2:
        raise ValueError("only an even number of entries makes pairs")
    angles = np.array([base ** (-2.0 * i / width) for i in range(width // 2)], dtype=np.longdouble)
    return np.cos(angles), np.sin(angles)


def sinusoidal_positional_encoding(seq_len, d_model, base=10000.0):
    step = _steps(d_model, base)
    hands = np.ones(d_model // 2, np.longdouble), np.zeros(d_model // 2, np.longdouble)
    encoding = np.zeros((seq_len, d_model))
    for row in encoding:
        row[1::2], row[0::2] = hands
        hands = _turn(*hands, *step)
    return encoding


def apply_rotary_embedding(x, base=10000.0):
    step = _steps(x.shape[-1], base)
    half = x.shape[-1] // 2
    result = np.array(x, dtype=np.longdouble)
    for start in range(1, x.shape[-2]):
        later = result[..., start:, :]
        later[..., :half], later[..., half:] = _turn(later[..., :half].copy(), later[..., half:].copy(), *step)
    return result.astype(x.dtype if np.issubdtype(x.dtype, np.inexact) else np.float64)
