"""One number at a time, with Python's own sums, and a softmax of its own."""

import math

import numpy as np


def _weights(scores, allowed):
    largest = max(score for score, may in zip(scores, allowed, strict=True) if may)
    powers = [math.exp(score - largest) if may else 0.0 for score, may in zip(scores, allowed, strict=True)]
    return [power / math.fsum(powers) for power in powers]


def _attend(query, key, value, scale, mask):
    weights = np.zeros((len(query), len(key)))
    output = np.zeros((len(query), value.shape[1]))
    for i in range(len(query)):
        scores = [sum(float(a) * float(b) for a, b in zip(query[i], row, strict=True)) * scale for row in key]
        weights[i] = _weights(scores, mask[i])
        for j in range(len(key)):
            output[i] += weights[i, j] * value[j]
    return output, weights


def _dtype(*arrays):
    wide = np.result_type(*arrays)
    return wide if wide.kind == "f" else np.float64


def dot_product_attention(hidden_states, previous_state):
    mask = np.ones((len(previous_state), len(hidden_states)), dtype=bool)
    c_t, w_n = _attend(previous_state, hidden_states, hidden_states, 1.0, mask)
    dtype = _dtype(hidden_states, previous_state)
    return w_n.astype(dtype), c_t.astype(dtype)


def causal_mask(seq_len):
    return np.array([[key <= query for key in range(seq_len)] for query in range(seq_len)])


def scaled_dot_product_attention(query, key, value, mask=None):
    batch, dtype = query.shape[:-2], _dtype(query, key, value)
    shape = (*batch, query.shape[-2], key.shape[-2])
    mask = np.broadcast_to(True if mask is None else mask, shape)
    output, weights = np.zeros((*shape[:-1], value.shape[-1]), dtype), np.zeros(shape, dtype)
    for item in np.ndindex(batch):
        output[item], weights[item] = _attend(query[item], key[item], value[item], query.shape[-1] ** -0.5, mask[item])
    return output, weights
