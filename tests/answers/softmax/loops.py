"""Softmax one slice at a time, with Python's own sums, in float64 throughout."""

import math

import numpy as np


def _slice_log_softmax(scores):
    largest = max(scores)
    total = math.fsum(math.exp(score - largest) for score in scores)
    return [score - largest - math.log(total) for score in scores]


def log_softmax(scores, axis=-1):
    scores = np.asarray(scores)
    dtype = scores.dtype if np.issubdtype(scores.dtype, np.floating) else np.float64
    rows = np.moveaxis(scores, axis, -1).astype(np.float64)
    result = np.array([_slice_log_softmax(list(row)) for row in rows.reshape(-1, rows.shape[-1])])
    return np.moveaxis(result.reshape(rows.shape), -1, axis).astype(dtype)


def softmax(scores, axis=-1):
    return np.exp(log_softmax(scores, axis))
