"""RoPE as a product with rotation matrices by einsum; sinusoids with a cosine that is a shifted sine."""

import numpy as np


def sinusoidal_positional_encoding(seq_len, d_model, base=10000.0):
    if d_model & 1:
        raise ValueError("There must be as many cosines as sines, so d_model must be even.")
    columns = np.arange(d_model)
    angles = np.arange(seq_len)[:, np.newaxis] / np.power(base, 2 * (columns // 2) / d_model)
    return np.sin(angles + np.pi / 2 * (columns % 2))


def apply_rotary_embedding(x, base=10000.0):
    *batch, length, width = x.shape
    if width & 1:
        raise ValueError("The entries must pair up, so their number must be even.")
    angles = np.arange(length)[:, np.newaxis] / np.power(base, np.arange(0, width, 2) / width)
    matrices = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    pairs = x.reshape(*batch, length, 2, width // 2)
    turned = np.einsum("jkti,...tki->...tji", matrices, pairs).reshape(x.shape)
    return turned.astype(np.result_type(x.dtype, np.float16) if x.dtype.kind == "f" else np.float64, copy=False)
