"""The widest float that the machine has, rows by einsum, and one rounding to the scores' own dtype at the end."""

import numpy as np


def _as_rows(scores, axis):
    rows = np.moveaxis(np.asarray(scores), axis, -1).astype(np.longdouble)
    return rows - rows.max(-1)[..., None]


def _as_before(rows, scores, axis):
    dtype = scores.dtype if scores.dtype.kind == "f" else np.float64
    return np.moveaxis(rows, -1, axis).astype(dtype)


def softmax(scores, axis=-1):
    exponentials = np.exp(_as_rows(scores, axis))
    weights = 1 / np.einsum("...i->...", exponentials)
    return _as_before(np.einsum("...i,...->...i", exponentials, weights), scores, axis)


def log_softmax(scores, axis=-1):
    rows = _as_rows(scores, axis)
    # log(1 + x) where the largest term, exp(0) = 1, is left out of the sum
    exponentials = np.exp(rows)
    np.put_along_axis(exponentials, rows.argmax(-1)[..., None], 0, axis=-1)
    return _as_before(rows - np.log1p(exponentials.sum(-1, keepdims=True)), scores, axis)
