"""Values as text: small ones as they are pasted into Python, others by what they are. Bounded whatever they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autograder.isolation.between.wire import Handle
from autograder.isolation.near.remote import Call, Remote
from autograder.suites.compare import Mismatch, as_numpy, describe_kind

NUMBERS = 24  # of an array that is shown whole
AXES = 5
ITEMS, DEPTH, TEXT = 8, 3, 80  # of a list or dictionary, and characters of a text
LINE = 100  # characters
DIGITS = (4, 6, 9, 17)  # significant ones: the fewest by which two numbers can be told apart
ALL = 0  # as many digits as give the same number again


def example(call: Call, error: Mismatch | None) -> str:
    """A failing call as a student would write it, with what was expected, what came, and where the two differ."""
    lines = [written(call)]
    if error is None:
        lines.append(f"got       {show(call.value)}")
    elif error.wrong is not None and error.wrong.ndim and error.wrong.size > NUMBERS:
        lines += _around(error)  # the numbers beside the first that is wrong, and not hundreds
    else:
        got = call.value if error.got is None else error.got
        expected, given = _told_apart(error.expected, got)
        if error.expected is not None and not isinstance(error.expected, type):
            lines.append(f"expected  {expected}")
        lines.append(f"got       {given}")
        lines += _first_wrong(error)
    return "\n".join(_indented(line) for line in lines)


def written(call: Call) -> str:
    """A call as Python writes it."""
    request = call.request
    arguments = [paste(value) for value in request.args]
    arguments += [f"{name}={paste(value)}" for name, value in request.kwargs.items()]
    return f"{call.name}({', '.join(arguments)})"


def paste(value: Any) -> str:
    """A value that can be pasted into Python, if it is small: `np.array([1., 2.])`; otherwise what it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _pasted(np.asarray(value), "np.array", "np.", "float64", np.asarray(value).dtype.name)
    if hasattr(value, "detach") and not isinstance(value, Remote):
        return _pasted(as_numpy(value), "torch.tensor", "torch.", "float32", str(value.dtype).removeprefix("torch."))
    if isinstance(value, (list, tuple, dict)):
        return _listed(value, paste, 0)
    return show(value)


def show(value: Any, digits: int = DIGITS[0]) -> str:
    """A value in a few lines at most, its numbers with this many digits."""
    if isinstance(value, (Handle, Remote)):
        return f"<{value.type_name[:TEXT]}>"
    if hasattr(value, "detach") or isinstance(value, (np.ndarray, np.generic)):
        array = as_numpy(value)
        if array.ndim > AXES or array.dtype.kind not in "biufc":  # even the corners of so many axes are thousands
            return describe_kind(value)
        with np.errstate(all="ignore"):
            return np.array2string(
                array,
                separator=", ",
                threshold=NUMBERS,
                edgeitems=2,
                max_line_width=LINE,
                formatter={"float_kind": lambda number: _number(number, digits)},
            )
    if isinstance(value, float):
        return _number(value, max(digits, 6))
    if isinstance(value, (str, bytes)):
        shown = repr(value[:TEXT])
        return shown if len(value) <= TEXT else f"{shown[:-1]}...{shown[-1]}"
    if isinstance(value, (list, tuple, dict)):
        return _listed(value, show, 0)
    return repr(value)[: 2 * TEXT] if isinstance(value, (bool, int, complex, type(None), type(...))) else (
        str(value)[:TEXT] if type(value).__module__ in ("torch", "numpy") else describe_kind(value))  # fmt: skip


def _listed(value: Any, one: Any, depth: int) -> str:
    """The first items of a list, tuple or dictionary, and how many there are."""
    if depth >= DEPTH:
        return describe_kind(value)

    def inner(item: Any) -> str:
        return _listed(item, one, depth + 1) if isinstance(item, (list, tuple, dict)) else one(item)

    if isinstance(value, Mapping):
        parts = [f"{show(key)}: {inner(item)}" for (key, item), _ in zip(value.items(), range(ITEMS), strict=False)]
        opening, closing = "{", "}"
    else:
        items = 3 * ITEMS if all(isinstance(item, (int, float)) for item in value[: 3 * ITEMS]) else ITEMS
        parts = [inner(item) for item in value[:items]]
        opening, closing = "[]" if isinstance(value, list) else "()"
    if len(value) > len(parts):
        parts.append(f"... {len(value)} in all")
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return f"{opening}{', '.join(parts)}{comma}{closing}"


def _pasted(array: np.ndarray, function: str, module: str, default: str, dtype: str) -> str:
    if array.size > NUMBERS or array.ndim > AXES or array.dtype.kind not in "biuf":
        return f"<{'array' if module == 'np.' else 'tensor'} {list(array.shape)}>"
    text = np.array2string(
        array, separator=", ", threshold=NUMBERS + 1, max_line_width=LINE,
        formatter={"float_kind": lambda number: _number(number, ALL, module)},
    )  # fmt: skip
    if not array.size and array.ndim > 1:
        text = f"{function.replace('array', 'zeros').replace('tensor', 'zeros')}({array.shape})"
    kind = "" if dtype in (default, "int64", "bool") else f", dtype={module}{dtype}"
    return f"{function}({text}{kind})"


def _number(number: Any, digits: int, module: str = "") -> str:
    """A float as NumPy writes it, with a point, in as few digits as say what it is and at most `digits`."""
    if not math.isfinite(number):
        return f"{'-' if number < 0 else ''}{module}{'nan' if math.isnan(number) else 'inf'}"
    text = str(number).removesuffix(".0")
    if digits and len(cut := f"{number:.{digits}g}") < len(text):
        text = cut
    return text if "." in text or "e" in text else f"{text}."


def _told_apart(expected: Any, got: Any) -> tuple[str, str]:
    """Two values with as many digits as they need to look different, if they are."""
    for digits in DIGITS:
        pair = (
            show(expected, digits) if _has_numbers(expected) else show(expected),
            (show(got, digits) if _has_numbers(got) else show(got)),
        )
        if pair[0] != pair[1]:
            break
    return pair


def _has_numbers(value: Any) -> bool:
    if isinstance(value, (Remote, Handle)):
        return False
    return isinstance(value, (float, np.ndarray, np.generic)) or hasattr(value, "detach")


def _around(error: Mismatch) -> Iterator[str]:
    """The last axis through the first number that is wrong, in both."""
    assert error.wrong is not None
    index = tuple(int(i) for i in np.argwhere(error.wrong)[0])
    got, wanted = as_numpy(error.got)[index[:-1]], as_numpy(error.expected)[index[:-1]]
    first = max(index[-1] - 3, 0)
    part = slice(first, first + 8)
    where = ", ".join([*map(str, index[:-1]), f"{first}:{min(first + 8, len(got))}"])
    expected, given = _told_apart(wanted[part], got[part])
    yield f"expected  [{where}] = {expected}"
    yield f"got       [{where}] = {given}"
    yield from _first_wrong(error)


def _first_wrong(error: Mismatch) -> Iterator[str]:
    if error.wrong is not None and error.wrong.ndim and error.wrong.any():
        index = tuple(int(i) for i in np.argwhere(error.wrong)[0])
        got, wanted = as_numpy(error.got)[index], as_numpy(error.expected)[index]
        shown = next(
            (pair for n in (6, *DIGITS[2:]) if (pair := (f"{got:.{n}g}", f"{wanted:.{n}g}"))[0] != pair[1]), None
        )
        if shown:
            yield f"differs   at {list(index)}: {shown[0]} instead of {shown[1]}"


def _indented(text: str) -> str:
    first, *rest = text.splitlines() or [""]
    return "\n".join([f"    {first}", *(f"              {line.strip()}" for line in rest)])
