"""The leading axes made one, a loop over the batch, logarithms inside, and a list instead of a tuple."""

import numpy as np
from softmax import log_softmax


def causal_mask(seq_len):
    mask = np.zeros((seq_len, seq_len), dtype=np.bool_)
    mask[np.tril_indices(seq_len)] = True
    return mask


def dot_product_attention(hidden_states, previous_state):
    w_n = np.stack([np.exp(log_softmax(hidden_states @ state)) for state in previous_state])
    return [w_n, np.stack([weights @ hidden_states for weights in w_n])]


def scaled_dot_product_attention(query, key, value, mask=None):
    batch = query.shape[:-2]
    shape = (*batch, query.shape[-2], key.shape[-2])
    masks = np.broadcast_to(np.array(True) if mask is None else mask, shape).reshape(-1, *shape[-2:])
    flat = (array.reshape(-1, *array.shape[-2:]) for array in (query, key, value))
    weights, output = [], []
    for one_query, one_key, one_value, one_mask in zip(*flat, masks, strict=True):
        scores = one_key @ one_query.T / float(np.sqrt(query.shape[-1]))
        scores = np.where(one_mask.T, scores, scores.dtype.type(-np.inf))
        weights.append(np.exp(log_softmax(scores, axis=0)).T)
        output.append(weights[-1] @ one_value)
    return [np.stack(output).reshape(*shape[:-1], value.shape[-1]), np.stack(weights).reshape(shape)]
