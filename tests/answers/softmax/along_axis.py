"""NumPy's apply_along_axis with a function of one slice; the largest score found by sorting."""

import numpy as np


def _softmax_of_one(scores):
    powers = np.exp(scores - np.sort(scores)[-1])
    return powers * (1.0 / powers.sum())


def _log_softmax_of_one(scores):
    ordered = np.sort(scores)[::-1]
    return scores - ordered[0] - np.log(np.exp(ordered - ordered[0])[::-1].sum())


def softmax(scores, axis=-1):
    return np.apply_along_axis(_softmax_of_one, axis, scores)


def log_softmax(scores, axis=-1):
    return np.apply_along_axis(_log_softmax_of_one, axis, scores)
