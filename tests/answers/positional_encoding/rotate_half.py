"""As model code has it: cosines and sines for the full width, `rotate_half`, and everything in the dtype of `x`."""

import numpy as np


def sinusoidal_positional_encoding(seq_len, d_model, base=10000.0):
    if d_model % 2 == 1:
        raise ValueError(f"d_model has to be even, and {d_model} is odd")
    position = np.arange(seq_len, dtype=np.float64).reshape(-1, 1)
    div_term = np.exp(np.arange(0, d_model, 2) * -(np.log(base) / d_model))
    pe = np.zeros((seq_len, d_model))
    pe[:, ::2] = np.sin(position * div_term)
    pe[:, 1::2] = np.cos(position * div_term)
    return pe


def rotate_half(x):
    half = x.shape[-1] // 2
    return np.concatenate((-x[..., half:], x[..., :half]), axis=-1)


def apply_rotary_embedding(x, base=10000.0):
    if x.shape[-1] % 2 == 1:
        raise ValueError(f"the head size has to be even, and {x.shape[-1]} is odd")
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float64)
    inv_freq = (1.0 / base ** (np.arange(0, x.shape[-1], 2) / x.shape[-1])).astype(x.dtype)
    freqs = np.arange(x.shape[-2], dtype=x.dtype)[:, None] * inv_freq[None, :]
    emb = np.concatenate((freqs, freqs), axis=-1)
    return x * np.cos(emb) + rotate_half(x) * np.sin(emb)
