"""Stand-in for `softmax`, by SciPy's functions."""

from scipy.special import log_softmax as _log_softmax
from scipy.special import softmax as _softmax


def softmax(scores, axis=-1):
    """As the exercise asks."""
    return _softmax(scores, axis=axis)


def log_softmax(scores, axis=-1):
    """As the exercise asks."""
    return _log_softmax(scores, axis=axis)
