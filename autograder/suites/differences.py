"""How two arrays differ, in one sentence: what a teacher would see in the numbers before knowing the cause.

A sentence is only said when it holds: the pattern that it names is undone, and what remains must be next to nothing
beside the difference that it explains. For a hidden test no number is in it, which the submission could have chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.suites.compare import as_numpy

CLOSE = 1e-3  # what differs by less, relative to the numbers' size, is no other pattern but less exact
EXPLAINED = 0.01  # of a difference may remain when the pattern that explains it is undone
MOST = 2**20  # numbers that are looked at


def describe(got: Any, expected: Any, wrong: np.ndarray | None, *, numbers: bool = True) -> str:
    """The most telling: not finite, inexact, transposed, sign, order, factor, offset, shifted, unnormalized, slices.

    Args:
        got: what came back; only of an array, a tensor or a number is anything said.
        expected: what should have.
        wrong: where the two differ; None where their shapes do.
        numbers: whether the sentence may hold numbers that come from the two.
    """
    if isinstance(got, (list, tuple, dict, str, bytes)):
        return ""
    try:
        actual, wanted = as_numpy(got), as_numpy(expected)
        if any(array.dtype.kind not in "biuf" or array.size > MOST for array in (actual, wanted)):
            return ""
        actual, wanted = actual.astype(np.float64), wanted.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):  # no numbers, or axes that are too long for wider ones
        return ""
    with np.errstate(all="ignore"):
        if actual.shape != wanted.shape:
            return _other_shape(actual, wanted)
        if wrong is None or not actual.size or not wrong.any():
            return ""
        for look in (_not_finite, _inexact, _turned, _scaled, _moved, _unnormalized, _slices):
            if sentence := look(actual, wanted, wrong, numbers):
                return sentence
    return ""


def _other_shape(actual: np.ndarray, wanted: np.ndarray) -> str:
    if actual.ndim == 2 and actual.shape[::-1] == wanted.shape and _same(actual.T, wanted):
        return "The numbers are right, but rows and columns are exchanged."
    if actual.ndim > wanted.ndim and 1 in actual.shape and _same(np.squeeze(actual), np.squeeze(wanted)):
        return "The numbers are right, but an axis of length 1 is left over."
    if actual.size == wanted.size > 0 and _same(actual.ravel(), wanted.ravel()):
        return "The numbers are right, but in another shape."
    return ""


def _not_finite(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    for name, test in (("nan", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf)):
        bad = test(actual) & ~test(wanted)
        if bad.all():
            return f"Every number is {name}." if bad.size > 1 else f"The number is {name}."
        if bad.any():
            return f"{_some(bad)} {name}{_where(bad, numbers)}."
        lost = test(wanted) & ~test(actual)
        if lost.any():
            verb = "is" if lost.sum() == 1 else "are"
            return f"{_some(lost, 'should be')} {name} and {verb} not{_where(lost, numbers)}."
    return ""


def _some(bad: np.ndarray, verb: str = "") -> str:
    one = bad.sum() == 1
    return f"{'One number' if one else 'Some numbers'} {verb or ('is' if one else 'are')}"


def _inexact(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    finite = np.isfinite(wanted)
    size = np.abs(wanted[finite]).max(initial=0.0)
    if not size or not _same(actual, wanted):
        return ""
    error = float((np.abs(actual - wanted)[finite]).max() / size)
    digits = int(np.floor(-np.log10(error))) if error else 0
    if digits < 2:
        return ""
    about = f"about {digits} digits" if numbers else "a few digits"
    return f"The numbers are right to {about}. An epsilon, float32 or float16 on the way costs as much."


def _turned(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    if actual.ndim >= 2 and actual.shape[-1] == actual.shape[-2] and _same(np.swapaxes(actual, -1, -2), wanted):
        return "The numbers are right, but rows and columns are exchanged."
    if _same(-actual, wanted):
        return "Every number has the wrong sign." if actual.size > 1 else "The number has the wrong sign."
    for axis in range(actual.ndim):
        if actual.shape[axis] > 1 and _same(np.flip(actual, axis), wanted):
            return f"The numbers are right, but in reverse order{_along(axis, actual.ndim)}."
    return ""


def _scaled(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    finite = np.isfinite(actual) & np.isfinite(wanted)
    if len(np.unique(wanted[finite])) < 2:
        return ""  # of one number nobody can tell a factor from an offset
    large = finite & (np.abs(wanted) > 1e-6 * np.abs(wanted[finite]).max())
    factor = float(np.median(actual[large] / wanted[large]))
    if factor and abs(factor - 1) > CLOSE and _same(actual, factor * wanted, abs(factor - 1)):
        return f"Every number is {f'{factor:.4g}' if numbers else 'a constant'} times what it should be."
    offset = float(np.median(actual[finite] - wanted[finite]))
    if offset and wrong[finite].all() and np.abs(actual - wanted - offset)[finite].max() <= EXPLAINED * abs(offset):
        way = "large" if offset > 0 else "small"
        return f"Every number is {f'about {abs(offset):.4g}' if numbers else 'by the same amount'} too {way}."
    return ""


def _moved(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    for axis in range(actual.ndim):
        length = actual.shape[axis]
        if length < 3:
            continue
        first, last = np.arange(length - 1), np.arange(1, length)
        for theirs, ours, way in ((last, first, "late"), (first, last, "early")):
            kept = wanted.take(ours, axis)
            if len(np.unique(kept)) > 1 and _same(actual.take(theirs, axis), kept):
                return f"The numbers stand one place too {way}{_along(axis, actual.ndim)}."
    return ""


def _along(axis: int, ndim: int) -> str:
    return f" along axis {axis}" if ndim > 1 else ""


def _unnormalized(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    if actual.ndim and wanted.shape[-1] > 1 and (wanted >= 0).all():
        sums, right = actual.sum(-1), wanted.sum(-1)
        if np.allclose(right, 1, atol=1e-5) and not np.isclose(sums, 1, atol=CLOSE).any():
            return "The numbers along the last axis should sum to 1, and do not."
    return ""


def _slices(actual: np.ndarray, wanted: np.ndarray, wrong: np.ndarray, numbers: bool) -> str:
    where = _where(wrong, numbers)
    return f"What is wrong stands{where}." if where else ""


def _where(bad: np.ndarray, numbers: bool) -> str:
    """The slices that hold all that is bad, if they are so throughout and others are not."""
    for axis in range(bad.ndim) if bad.size > 1 else ():
        others = tuple(i for i in range(bad.ndim) if i != axis)
        some, whole = np.asarray(bad.any(axis=others)), np.asarray(bad.all(axis=others))
        if not some.all() and np.array_equal(some, whole):
            name = _NAMES.get((bad.ndim, axis), f"index along axis {axis}")
            return _places(np.flatnonzero(some), len(some), name, numbers)
    if bad.ndim == 2 and bad.shape[0] == bad.shape[1] > 1 and bad.any():
        if not np.tril(bad).any():
            return " only above the diagonal"
        if not np.triu(bad).any():
            return " only below the diagonal"
        if not np.triu(bad, 1).any() and not np.tril(bad, -1).any():
            return " only on the diagonal"
    return ""


_NAMES = {(1, 0): "index", (2, 0): "row", (2, 1): "column"}


def _places(places: np.ndarray, count: int, name: str, numbers: bool) -> str:
    """Some of `count` places, as " in row 2", " in the last column", " in every row but 0" or " in rows 0 and 2"."""
    noun, _, axis = name.partition(" ")
    axis = axis and f" {axis}"
    preposition = "at" if noun == "index" else "in"
    if len(places) == 1 and count > 1 and places[0] in (0, count - 1):
        return f" {preposition} the {'first' if places[0] == 0 else 'last'} {name}"
    if len(places) == count - 1 and count > 2:
        missing = next(i for i in range(count) if i not in places)
        if missing in (0, count - 1):
            return f" {preposition} every {name} but the {'first' if missing == 0 else 'last'}"
    plural = {"index": "indices"}.get(noun, f"{noun}s")
    if not numbers:
        return f" {preposition} some {plural}{axis}"
    if len(places) == 1:
        return f" {preposition} {noun} {places[0]}{axis}"
    if len(places) == count - 1:
        return f" {preposition} every {name} but {next(i for i in range(count) if i not in places)}"
    shown = [str(place) for place in places[:6]]
    listed = f"{', '.join(shown)}, ..." if len(places) > 6 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f" {preposition} {plural} {listed}{axis}"


def _same(a: np.ndarray, b: np.ndarray, explains: float = 1.0) -> bool:
    """Whether two arrays are the same but for rounding, which is small beside what is explained, relative to `b`."""
    if a.shape != b.shape:
        return False
    close = min(CLOSE, EXPLAINED * explains)
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=close, atol=close * scale, equal_nan=True))
