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
MOST_NUMBERS = 2**24  # of a nested list; nothing that is right has more
# Named for hidden tests too; all other types are "an object" there, for their names are the submission's choice.
_BUILTIN = (list, tuple, dict, str, bytes, bool, int, float, complex)


class Mismatch(AssertionError):
    """A result that is not what it should be.

    Attributes:
        got: what came back.
        expected: what should have.
        wrong: a boolean array, True where the two differ; None where they cannot be compared entry by entry.
        kind: what of `text` may be said of a hidden test: nothing that an input or the submission can put in words.
        what: what was compared, if it is not simply the result: "the sums along axis 0".
    """

    def __init__(
        self, text: str, got: Any, expected: Any, wrong: np.ndarray | None = None, kind: str = "", what: str = ""
    ) -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind
        self.what = what
        self.got = got
        self.expected = expected
        self.wrong = wrong


def assert_close(
    got: Any,
    expected: Any,
    *,
    terms: float = 1.0,
    scale: float | None = None,
    digits: float | None = None,
    what: str = "",
) -> None:
    """Passes when `got` has the kind, shape and, up to rounding, the numbers of `expected`.

    Args:
        got: what the submission returned.
        expected: an array, a tensor, or a number or nested list; the first two ask for the same kind back. The dtype
            is left to `assert_dtype`, so that one wrong dtype costs one test.
        terms: how many roundings may add up in one entry, for instance the length of the longest sum.
        scale: the size of the numbers that are added; by default the largest finite entry of `expected`.
        digits: instead of `terms`, how many decimal digits must agree, for tests of something gross.
        what: what `got` is where it is not simply what a call returned, as "the sums along axis 0".
    """
    assert_shape(got, np.shape(expected), like=expected, what=what)
    actual, wanted = as_numpy(got), as_numpy(expected)
    if actual.dtype == object or (not np.issubdtype(actual.dtype, np.number) and actual.dtype != bool):
        kind = "the result holds no numbers"
        raise Mismatch(f"{kind} (its dtype is {actual.dtype})", got, expected, kind=kind, what=what)
    actual, wanted = _widened(actual), _widened(wanted)
    finite = np.abs(wanted[np.isfinite(wanted)])
    size = float(finite.max(initial=0.0)) if scale is None else scale
    relative = SLACK * terms * rounding(got) if digits is None else 10.0**-digits
    allowed = min(relative, LARGEST_TOLERANCE) * (np.where(np.isfinite(wanted), np.abs(wanted), 0.0) + size)
    with np.errstate(invalid="ignore"):
        right = (np.abs(actual - wanted) <= allowed) | (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
    if not right.all():
        raise Mismatch(f"{int((~right).sum())} of {right.size} numbers are wrong", got, expected, ~right, what=what)


def assert_equal(got: Any, expected: Any, *, what: str = "") -> None:
    """Passes when `got` is exactly `expected`: the kind, the shape and every entry. See `assert_close` for `what`."""
    if _is_array(expected):
        assert_shape(got, np.shape(expected), like=expected, what=what)
        wrong = as_numpy(got) != as_numpy(expected)
        if wrong.any():
            raise Mismatch(f"{int(wrong.sum())} of {wrong.size} entries are wrong", got, expected, wrong, what=what)
    elif type(got) is not type(expected):
        raise _other_kind(got, expected, describe_kind(expected), _builtin_kind(expected), what)
    elif got != expected or not _same_kinds(got, expected):
        raise Mismatch("it returned something else", got, expected, what=what)


def assert_shape(got: Any, shape: tuple[int, ...], *, like: Any = None, what: str = "") -> None:
    """Passes when `got` is an array of this shape, and of the kind of `like` (array or tensor) where that is given."""
    if isinstance(got, Remote) or got is None or got is ... or isinstance(got, (str, bytes, dict)):
        raise _other_kind(got, like, _describe_wanted(shape, like), _an_array(like), what)
    if like is not None and _is_array(like) and _family(got) != _family(like):
        raise _other_kind(got, like, _describe_wanted(shape, like), _an_array(like), what, shape)
    try:
        actual = np.shape(as_numpy(got))
    except (ValueError, TypeError):
        raise _other_kind(got, like, _describe_wanted(shape, like), _an_array(like), what, shape) from None
    if actual != tuple(shape):
        kind = _describe_shape(actual, tuple(shape))
        raise Mismatch(f"the shape is {list(actual)} and should be {list(shape)}", got, like, kind=kind, what=what)


def assert_dtype(got: Any, dtype: Any) -> None:
    """Passes when `got` is an array or tensor of this dtype."""
    actual = got.dtype if _is_array(got) else None
    if actual != dtype:
        found = describe_kind(got) if actual is None else f"numbers of dtype {actual}"
        plain = _builtin_kind(got) if actual is None else found
        raise Mismatch(
            f"it returned {found} instead of {dtype}", got, None, kind=f"it returned {plain} instead of {dtype}"
        )


def assert_raises_value_error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Passes when the call raises `ValueError` with a sentence that says why."""
    try:
        got = function(*args, **kwargs)
    except ValueError as error:
        if isinstance(error, StudentError) and len(error.failure.message.split()) < 2:
            text = "the ValueError does not say why, in a sentence"
            raise Mismatch(text, None, None, kind=text) from None
        return
    except StudentError as error:
        kind = error.failure.type_name
        wanted = "instead of a ValueError that says why"
        raise Mismatch(f"it raised {kind} {wanted}", None, None, kind=f"it raised something else {wanted}") from None
    returned, wanted = describe_kind(got), "instead of raising a ValueError"
    raise Mismatch(f"it returned {returned} {wanted}", got, None, kind=f"it returned {_builtin_kind(got)} {wanted}")


def as_numpy(value: Any) -> np.ndarray:
    """The numbers of an array, a tensor, a number or a nested list as a NumPy array."""
    if isinstance(value, Remote):
        raise TypeError("an object that stays on the far side has no numbers here")
    if hasattr(value, "detach"):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.asarray(value.numpy())
    if isinstance(value, (list, tuple)):
        left = [MOST_NUMBERS]
        return np.asarray(_numbers(value, left))
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)):
        raise TypeError("it has no numbers")
    return np.asarray(value)


def _numbers(value: Any, left: list[int]) -> Any:
    """A nested list with its tensors as arrays; with anything else in it than numbers it is none."""
    if isinstance(value, (list, tuple)):
        return [_numbers(item, left) for item in value]
    if isinstance(value, (bool, int, float, complex)):
        left[0] -= 1
        if left[0] < 0:
            raise ValueError("these are too many numbers")
        return value
    array = as_numpy(value)
    left[0] -= array.size
    if left[0] < 0:
        raise ValueError("these are too many numbers")
    return array


def rounding(got: Any) -> float:
    """Half the distance between neighboring numbers near 1, in the dtype of `got`, but never coarser than float32."""
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
    if isinstance(value, (list, tuple)) and value:
        return f"{_builtin_kind(value)} of {len(value)}{_described_items(value)}"
    name = value.type_name if isinstance(value, Remote) else type(value).__name__
    return f"an {name}" if name[:1].lower() in tuple("aeiou") else f"a {name}"


def _described_items(value: Any) -> str:
    """What a list holds, if that is the same throughout, as far as it is looked at."""
    families = {_family(item) for item in value[:100]}
    kinds = {"tensor": " tensors", "array": " arrays"}
    if len(families) != 1 or not kinds.keys() >= families:
        return ""
    return kinds[families.pop()] if len(value) > 1 else f" {kinds[families.pop()].strip()[:-1]}"


def _builtin_kind(value: Any) -> str:
    """The same without anything that the submission has a choice of words in."""
    if value is None or value is ...:
        return describe_kind(value)
    if _is_array(value):
        return _an_array(value)
    name = next((kind.__name__ for kind in _BUILTIN if type(value) is kind), "object")
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _an_array(like: Any) -> str:
    return "a tensor" if _family(like) == "tensor" else "an array"


def _describe_wanted(shape: tuple[int, ...], like: Any) -> str:
    return f"{_an_array(like)} of shape {list(shape)}"


def _describe_shape(actual: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How two shapes differ, without their lengths: some of them are hidden, the others the submission's choice."""
    if len(actual) != len(wanted):
        return f"the result has {len(actual)} axes and should have {len(wanted)}"
    pairs = enumerate(zip(actual, wanted, strict=True))
    ways = (f"axis {axis} is too {'long' if a > w else 'short'}" for axis, (a, w) in pairs if a != w)
    return f"the shape is not right: {' and '.join(ways)}"


def _other_kind(
    got: Any, expected: Any, wanted: str, plain: str, what: str, shape: tuple[int, ...] | None = None
) -> Mismatch:
    """Another kind of value than what was wanted; a tuple may hold the wanted one."""
    parts = [i for i, item in enumerate(got[:10]) if shape is not None and _is_array(item) and item.shape == shape] if (
        isinstance(got, (list, tuple))) else []  # fmt: skip
    where = f"; the part at index {parts[0]} has that shape" if parts else ""
    text = f"it returned {describe_kind(got)} instead of {wanted}{where}"
    return Mismatch(text, got, expected, kind=f"it returned {_builtin_kind(got)} instead of {plain}", what=what)


def _same_kinds(got: Any, expected: Any) -> bool:
    """Whether all that is inside two equal values is of the same kinds: `97 + 0j` is no whole number."""
    if isinstance(expected, (list, tuple)):
        pairs = zip(got, expected, strict=True)
        return type(got) is type(expected) and all(_same_kinds(mine, theirs) for mine, theirs in pairs)
    if isinstance(expected, dict):
        return type(got) is dict and all(_same_kinds(got[key], item) for key, item in expected.items())
    if isinstance(expected, int) and not isinstance(expected, bool):
        return isinstance(got, (int, np.integer)) and not isinstance(got, bool)
    return True


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
