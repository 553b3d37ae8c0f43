"""Comparisons that check the shape before the numbers, and remember where two arrays differ.

How close is close: a result that was computed with `terms` roundings, each of relative size eps (the distance from 1
to the next number of the result's dtype), on numbers as large as `scale`, is off by at most about terms · eps · scale
(Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1). Suites name `terms` and `scale`; the factor
`SLACK` covers the other order of operations that a right answer may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.isolation.near.remote import Remote, StudentError

SLACK = 8.0
# Whatever the dtype that came back, which is the submission's choice, an error this large is never rounding.
LARGEST_TOLERANCE = 1e-3


class Mismatch(AssertionError):
    """A result that is not what it should be.

    Attributes:
        got: what came back.
        expected: what should have.
        wrong: a boolean array, True where the two differ; None where they cannot be compared entry by entry.
    """

    def __init__(self, text: str, got: Any, expected: Any, wrong: np.ndarray | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.got = got
        self.expected = expected
        self.wrong = wrong


def assert_close(
    got: Any, expected: Any, *, terms: float = 1.0, scale: float | None = None, digits: float | None = None
) -> None:
    """Passes when `got` has the kind, shape and, up to rounding, the numbers of `expected`.

    Args:
        got: what the submission returned.
        expected: an array, a tensor, or a number or nested list; the first two ask for the same kind back. The dtype
            is left to `assert_dtype`, so that one wrong dtype costs one test.
        terms: how many roundings may add up in one entry, for instance the length of the longest sum.
        scale: the size of the numbers that are added; by default the largest finite entry of `expected`.
        digits: instead of `terms`, how many decimal digits must agree, for tests of something gross.
    """
    assert_shape(got, np.shape(expected), like=expected)
    actual, wanted = as_numpy(got), as_numpy(expected)
    if actual.dtype == object or (not np.issubdtype(actual.dtype, np.number) and actual.dtype != bool):
        raise Mismatch(f"the result holds no numbers (its dtype is {actual.dtype})", got, expected)
    actual, wanted = _widened(actual), _widened(wanted)
    finite = np.abs(wanted[np.isfinite(wanted)])
    size = float(finite.max(initial=0.0)) if scale is None else scale
    relative = SLACK * terms * rounding(got) if digits is None else 10.0**-digits
    allowed = min(relative, LARGEST_TOLERANCE) * (np.where(np.isfinite(wanted), np.abs(wanted), 0.0) + size)
    with np.errstate(invalid="ignore"):
        right = (np.abs(actual - wanted) <= allowed) | (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
    if not right.all():
        raise Mismatch(f"{int((~right).sum())} of {right.size} numbers are wrong", got, expected, ~right)


def assert_equal(got: Any, expected: Any) -> None:
    """Passes when `got` is exactly `expected`: the kind, the shape and every entry."""
    if _is_array(expected):
        assert_shape(got, np.shape(expected), like=expected)
        wrong = as_numpy(got) != as_numpy(expected)
        if wrong.any():
            raise Mismatch(f"{int(wrong.sum())} of {wrong.size} entries are wrong", got, expected, wrong)
    elif type(got) is not type(expected):
        raise Mismatch(f"it returned {describe_kind(got)} instead of {describe_kind(expected)}", got, expected)
    elif got != expected:
        raise Mismatch("it returned something else", got, expected)
    elif isinstance(expected, (list, tuple)) and (wrong := _other_kind(got, expected)):
        raise Mismatch(
            f"one of its items is {describe_kind(wrong[0])} instead of {describe_kind(wrong[1])}", got, expected
        )


def _other_kind(got: Any, expected: Any) -> tuple[Any, Any] | None:
    """The first two items that are equal and of different kinds: 97.0 and 97+0j are no ids, and neither is True."""
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return next(filter(None, map(_other_kind, got, expected)), None)
    if isinstance(expected, int) and not isinstance(expected, bool):
        whole = isinstance(got, (int, np.integer)) and not isinstance(got, bool)
        return None if whole else (got, expected)
    return None if isinstance(got, type(expected)) else (got, expected)


def assert_shape(got: Any, shape: tuple[int, ...], *, like: Any = None) -> None:
    """Passes when `got` is an array of this shape, and of the kind of `like` (array or tensor) where that is given."""
    if isinstance(got, Remote) or got is None or got is ... or isinstance(got, (str, bytes, dict)):
        raise Mismatch(f"it returned {describe_kind(got)} instead of {_describe_wanted(shape, like)}", got, like)
    if like is not None and _is_array(like) and _family(got) != _family(like):
        raise Mismatch(f"it returned {describe_kind(got)} instead of {_describe_wanted(shape, like)}", got, like)
    try:
        actual = np.shape(as_numpy(got))
    except (ValueError, TypeError):
        raise Mismatch(f"it returned {describe_kind(got)} that is no array", got, like) from None
    if actual != tuple(shape):
        raise Mismatch(f"the shape is {list(actual)} and should be {list(shape)}", got, like)


def assert_dtype(got: Any, dtype: Any) -> None:
    """Passes when `got` is an array or tensor of this dtype."""
    actual = getattr(got, "dtype", None)
    if actual != dtype:
        found = describe_kind(got) if actual is None else f"numbers of dtype {actual}"
        raise Mismatch(f"it returned {found} instead of {dtype}", got, None)


def assert_raises_value_error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Passes when the call raises `ValueError` with a sentence that says why."""
    try:
        got = function(*args, **kwargs)
    except ValueError as error:
        if isinstance(error, StudentError) and len(error.trouble.message.split()) < 2:
            raise Mismatch("the ValueError does not say why, in a sentence", None, None) from None
        return
    except StudentError as error:
        kind = error.trouble.type_name
        raise Mismatch(f"it raised {kind} instead of a ValueError that says why", None, None) from None
    raise Mismatch(f"it returned {describe_kind(got)} instead of raising a ValueError", got, None)


def as_numpy(value: Any) -> np.ndarray:
    """The numbers of an array, a tensor, a number or a nested list as a NumPy array."""
    if isinstance(value, Remote):
        raise TypeError("an object that stays on the far side has no numbers here")
    if hasattr(value, "detach"):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.asarray(value.numpy())
    return np.asarray(value)


def rounding(got: Any) -> float:
    """Half the distance between neighbouring numbers near 1, in the dtype of `got`, but never coarser than float32."""
    dtype = as_numpy(got).dtype
    fine = dtype == np.float64 or not np.issubdtype(dtype, np.floating)
    return float(np.finfo(np.float64 if fine else np.float32).eps) / 2


def describe_kind(value: Any) -> str:
    """What a value is, in a few words: `an array of shape [2, 3]`, `None`, `a list`."""
    if value is None:
        return "None"
    if value is ...:
        return "`...`"
    if _is_array(value):
        return f"{'a tensor' if _family(value) == 'tensor' else 'an array'} of shape {list(np.shape(value))}"
    name = value.type_name if isinstance(value, Remote) else type(value).__name__
    return f"an {name}" if name[:1].lower() in tuple("aeiou") else f"a {name}"


def _describe_wanted(shape: tuple[int, ...], like: Any) -> str:
    return f"{'a tensor' if _family(like) == 'tensor' else 'an array'} of shape {list(shape)}"


def _family(value: Any) -> str:
    if isinstance(value, Remote):  # it has every attribute that one asks for
        return "other"
    if hasattr(value, "detach"):
        return "tensor"
    return "array" if isinstance(value, (np.ndarray, np.generic)) else "other"


def _is_array(value: Any) -> bool:
    return _family(value) != "other"


def _widened(array: np.ndarray) -> np.ndarray:
    """In the widest dtype, so that comparing rounds nothing."""
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
