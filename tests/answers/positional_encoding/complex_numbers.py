"""Both encodings as complex numbers on the unit circle: turning is multiplying.

Better: turning is one product, and no sign can be wrong.
"""

import numpy as np


def _phasors(length, width, base):
    if width % 2:
        raise ValueError("an odd number of features has no pairs")
    steps = np.exp(-np.log(base) * np.arange(width // 2) / (width / 2))
    return np.exp(1j * np.outer(np.arange(length), steps))


def sinusoidal_positional_encoding(seq_len, d_model, base=10000.0):
    phasors = _phasors(seq_len, d_model, base)
    return np.stack([phasors.imag, phasors.real], axis=-1).reshape(seq_len, d_model)


def apply_rotary_embedding(x, base=10000.0):
    dtype = x.dtype if x.dtype in (np.float16, np.float32) else np.dtype(np.float64)
    phasors = _phasors(x.shape[-2], x.shape[-1], base)
    a, b = np.split(x.astype(np.float64), 2, axis=-1)
    turned = (a + 1j * b) * phasors
    return np.concatenate([turned.real, turned.imag], axis=-1).astype(dtype)
