"""Softmax by way of its logarithm: SciPy's logsumexp, and exp at the very end.

Better: one function does the hard part for both, and the exponential comes at the very end.
"""

import numpy as np
from scipy.special import logsumexp


def log_softmax(scores, axis=-1):
    return scores - logsumexp(scores, axis=axis, keepdims=True)


def softmax(scores, axis=-1):
    return np.exp(log_softmax(scores, axis=axis))
