"""The maximum as minus the minimum of the negated scores, ufuncs that write into arrays of their own, base 2 inside."""

import numpy as np

LOG2_E = 1 / np.log(2.0).item()


def _shifted(scores, axis):
    negated = np.negative(scores)
    return np.subtract(np.minimum.reduce(negated, axis=axis, keepdims=True), negated)


def softmax(scores, axis=-1):
    powers = np.exp2(_shifted(scores, axis) * LOG2_E)
    np.divide(powers, np.add.reduce(powers, axis=axis, keepdims=True), out=powers)
    return powers


def log_softmax(scores, axis=-1):
    shifted = _shifted(scores, axis)
    total = np.sum(np.exp(shifted), axis=axis)
    return shifted - np.expand_dims(np.log(total), axis)
