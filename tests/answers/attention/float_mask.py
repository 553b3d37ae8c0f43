"""The query scaled first, and a float mask added to the scores: 0 where a key may be seen, -1e9 where not."""

import numpy as np
from softmax import softmax


def dot_product_attention(hidden_states, previous_state):
    weights = softmax(np.dot(previous_state, hidden_states.transpose()))
    return weights, np.dot(weights, hidden_states)


def causal_mask(seq_len):
    return ~np.triu(np.ones((seq_len, seq_len), dtype=bool), k=1)


def scaled_dot_product_attention(query, key, value, mask=None):
    scale = float(np.sqrt(np.sqrt(key.shape[-1])))
    scores = np.matmul(query / scale, np.moveaxis(key / scale, -1, -2))
    if mask is not None:
        scores = scores + (1 - mask.astype(scores.dtype)) * -1e9
    weights = softmax(scores)
    return np.matmul(weights, value), weights
