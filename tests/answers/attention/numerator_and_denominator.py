"""No softmax: exponentials mix the values, and their sum divides at the end. Masked keys are left out of both."""

import numpy as np


def _exponentials(scores, mask):
    lowest = np.finfo(scores.dtype).min
    largest = np.max(np.where(mask, scores, lowest), axis=-1, keepdims=True)
    return np.exp(np.minimum(scores - largest, 0)) * mask


def dot_product_attention(hidden_states, previous_state):
    context, weights = _attend(previous_state, hidden_states, hidden_states, 1, np.True_)
    return weights, context


def causal_mask(seq_len):
    return np.tri(seq_len, dtype=bool)


def _attend(query, key, value, root, mask):
    powers = _exponentials(np.inner(query, key) / root, mask) if query.ndim == 2 else None
    if powers is None:
        powers = _exponentials((query[..., :, None, :] * key[..., None, :, :]).sum(-1) / root, mask)
    total = powers.sum(axis=-1, keepdims=True)
    return powers @ value / total, powers / total


def scaled_dot_product_attention(query, key, value, mask=None):
    return _attend(query, key, value, query.shape[-1] ** 0.5, np.True_ if mask is None else mask)
