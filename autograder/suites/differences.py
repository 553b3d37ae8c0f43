"""How two arrays differ, in one sentence: what a teacher would see in the numbers before knowing the cause.

Nothing in a sentence depends on single inputs: it says where and how, so it may be shown for hidden tests too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.suites.compare import as_numpy

CLOSE = 1e-3  # patterns are looked for more coarsely than results are judged


def describe(got: Any, expected: Any, wrong: np.ndarray | None) -> str:
    """The most telling: NaN, transposed, sign, factor, offset, shifted, unnormalised, which slices; or nothing.

    Args:
        got: what came back, an array or a tensor.
        expected: what should have.
        wrong: where the two differ; None where their shapes do.
    """
    try:
        actual, wanted = as_numpy(got), as_numpy(expected)
        if np.iscomplexobj(actual) or np.iscomplexobj(wanted):
            return ""
        actual, wanted = actual.astype(np.float64), wanted.astype(np.float64)
    except (TypeError, ValueError):
        return ""
    if actual.shape != wanted.shape:
        return _other_shape(actual, wanted)
    if wrong is None or not actual.size:
        return ""
    for look in (_not_finite, _turned, _scaled, _moved, _unnormalised, _slices):
        if sentence := look(actual, wanted, wrong):
            return sentence
    return ""


def _other_shape(actual: np.ndarray, wanted: np.ndarray) -> str:
    if actual.ndim >= 2 and actual.shape[::-1] == wanted.shape and _same(actual.T, wanted):
        return "The numbers are right, but rows and columns are exchanged."
    if actual.size == wanted.size and _same(actual.ravel(), wanted.ravel()):
        return "The numbers are right, but in another shape."
    if actual.ndim > wanted.ndim and 1 in actual.shape and _same(np.squeeze(actual), np.squeeze(wanted)):
        return "The numbers are right, but an axis of length 1 is left over."
    return ""


def _not_finite(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    for name, test in (("nan", np.isnan), ("inf", np.isinf)):
        bad = test(actual) & ~test(wanted)
        if bad.all():
            return f"Every number is {name}."
        if bad.any():
            return f"Some numbers are {name}{_where(bad)}."
    return ""


def _turned(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    if actual.ndim >= 2 and actual.shape[-1] == actual.shape[-2] and _same(np.swapaxes(actual, -1, -2), wanted):
        return "The numbers are right, but rows and columns are exchanged."
    if _same(-actual, wanted):
        return "Every number has the wrong sign."
    return ""


def _scaled(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    finite = np.isfinite(actual) & np.isfinite(wanted)
    large = finite & (np.abs(wanted) > 1e-6 * (np.abs(wanted[finite]).max(initial=0.0) + 1e-300))
    if large.sum() >= 2:
        factor = float(np.median(actual[large] / wanted[large]))
        if factor and not np.isclose(factor, 1, rtol=CLOSE) and _same(actual, factor * wanted):
            return f"Every number is {factor:.4g} times what it should be."
    if finite.sum() >= 2:
        offset = float(np.median(actual[finite] - wanted[finite]))
        if offset and _same(actual, wanted + offset):
            return f"Every number is {abs(offset):.4g} too {'large' if offset > 0 else 'small'}."
    return ""


def _moved(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    for axis in range(actual.ndim):
        length = actual.shape[axis]
        if length < 3:
            continue
        first, last = np.arange(length - 1), np.arange(1, length)
        for theirs, ours, way in ((last, first, "late"), (first, last, "early")):
            kept = wanted.take(ours, axis)
            if np.ptp(kept) > 0 and _same(actual.take(theirs, axis), kept):
                return f"The numbers stand one place too {way} along axis {axis}."
    return ""


def _unnormalised(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    if actual.ndim and wanted.shape[-1] > 1 and (wanted >= 0).all():
        sums, right = actual.sum(-1), wanted.sum(-1)
        if np.allclose(right, 1, atol=1e-5) and not np.allclose(sums, 1, atol=1e-3):
            return "The numbers along the last axis should sum to 1, and do not."
    return ""


def _slices(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray) -> str:
    return f"What is wrong stands{_where(wrong)}." if _where(wrong) else ""


def _where(bad: np.ndarray) -> str:
    """The slices that hold all that is wrong, if they are wrong throughout and others are right."""
    for axis in range(bad.ndim) if bad.size > 1 else ():
        others = tuple(i for i in range(bad.ndim) if i != axis)
        some, whole = np.asarray(bad.any(axis=others)), np.asarray(bad.all(axis=others))
        if not some.all() and np.array_equal(some, whole):
            return _places(np.flatnonzero(some), len(some), _NAMES.get((bad.ndim, axis), f"place along axis {axis}"))
    if bad.ndim == 2 and bad.shape[0] > 1 and bad.any():
        if not np.tril(bad).any():
            return " only above the diagonal"
        if not np.triu(bad).any():
            return " only below the diagonal"
        if not np.triu(bad, 1).any() and not np.tril(bad, -1).any():
            return " only on the diagonal"
    return ""


_NAMES = {(1, 0): "place", (2, 0): "row", (2, 1): "column"}


def _places(places: np.ndarray, count: int, name: str) -> str:
    """Some of `count` places, as " in row 2", " in the last column", " in every row but 0" or " in rows 0, 2"."""
    noun, _, axis = name.partition(" ")
    axis = axis and f" {axis}"
    if len(places) == 1:
        return f" in the last {name}" if places[0] == count - 1 else f" in {noun} {places[0]}{axis}"
    if len(places) == count - 1:
        missing = next(i for i in range(count) if i not in places)
        return f" in every {name} but {'the last' if missing == count - 1 else missing}"
    return f" in {noun}s {', '.join(map(str, places[:6]))}{', ...' if len(places) > 6 else ''}{axis}"


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=CLOSE, atol=CLOSE * scale, equal_nan=True))
