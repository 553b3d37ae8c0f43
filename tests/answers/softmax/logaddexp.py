"""One score after another: logaddexp adds exponentials without leaving the logarithms."""

import numpy as np


def log_softmax(scores, axis=-1):
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(float)
    slices = np.moveaxis(scores, axis, 0)
    total = slices[0].copy()
    for one in slices[1:]:
        total = np.logaddexp(total, one)
    return np.moveaxis(np.stack([one - total for one in slices]), 0, axis)


def softmax(scores, axis=-1):
    return np.exp(log_softmax(scores, axis))
