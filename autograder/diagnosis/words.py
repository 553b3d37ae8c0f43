"""A step that differs, in a sentence; for a hidden test no number or text of either side is in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.diagnosis.traced import Right, Step, step_of
from autograder.isolation.between.steps import GRADIENT, LARGE, LAYER, OBJECT
from autograder.suites.compare import as_numpy
from autograder.suites.differences import describe
from autograder.suites.shown import show

if TYPE_CHECKING:
    from autograder.diagnosis.divergence import Difference

LONGEST = 160  # characters of two lists that are shown
SHOWN = 9  # numbers that are shown of a value


def how(difference: Difference, *, numbers: bool) -> str:
    """How the step differs."""
    step, wanted = difference.step, difference.wanted
    what = {"return": "What is returned", "condition": "The condition"}.get(step.kind, f"`{step.name.strip('`')}`")
    if difference.what == "raised":
        return f"This line raises {difference.raised if numbers else 'an exception'}."
    if difference.what == "more":
        return "The loop takes a turn more than it should."
    if difference.what == "fewer":
        return "The loop ends too early."
    if difference.what == "extra":
        return f"{what} is changed here, and should not be, or not so often."
    if difference.what == "changed":
        return f"{what} is changed in place here, and belongs to the caller."
    if difference.what == "own":
        return f"All before this line is right, and what comes after it is not: look at {what}."
    if difference.what == "missing":
        return "All is right up to here, but before this line an argument should be given another value."
    if difference.what == "called":
        return f"`{step.function}` is not what is needed here."
    if difference.what == "path" or wanted is None:
        return "This line should not be reached here: another way is taken before it."
    if step.kind == "condition" and isinstance(step.value, bool):
        return f"The condition is {'true' if step.value else 'false'} here, and should be the opposite."
    if difference.what == "kind":
        way = _kind(step.value, wanted.value, numbers) if isinstance(wanted, Step) else _UNTOLD_KIND
        return f"{what} has the right numbers, but {way}."
    words = _value(step.value, wanted.value, numbers) if isinstance(wanted, Step) else _untold(step, wanted, numbers)
    return f"{what} is the first value that is not right.{f' {words}' if words else ''}"


def _untold(step: Step, wanted: Right, numbers: bool) -> str:
    """What can be said when the right value is not known, but whether another is it can be asked."""
    value = _bare(step.value)
    value = np.asarray(value) if isinstance(value, np.generic) else value
    own = f"It is {_shown(value)}." if numbers and _is_short(value) else ""
    if not hasattr(value, "shape"):
        return own
    for sentence, undone in _undone(value):
        if wanted.is_as(step_of(step.line, step.clear, undone, step.key)):
            return f"{own} {sentence}".strip()
    if wanted.has_shape_of(step):
        return own
    return f"Its shape is {list(value.shape)}, and should be another." if numbers else "Its shape is another."


def _undone(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value would be without each of some common mistakes."""
    if value.ndim >= 2:
        yield "The numbers are right, but rows and columns are exchanged.", value.swapaxes(-1, -2)
    if 1 in value.shape:
        yield "The numbers are right, but an axis of length 1 is left over.", value.squeeze()
    if str(value.dtype).removeprefix("torch.").startswith("float"):
        yield "The sign is wrong throughout.", -value
    for axis in range(value.ndim):
        if value.shape[axis] > 1:
            turned = value.flip(axis) if hasattr(value, "flip") else np.flip(value, axis)
            yield "The numbers are right, but in reverse order.", turned


_UNTOLD_KIND = "it is another kind of value: look at its dtype, and at where gradients flow"


def _is_short(value: Any) -> bool:
    if hasattr(value, "shape"):
        return value.size <= SHOWN if isinstance(value, np.ndarray) else value.numel() <= SHOWN
    return isinstance(value, (bool, int, float))


def _kind(got: Any, wanted: Any, numbers: bool) -> str:
    if _has_gradient(got) and _has_gradient(wanted) and got[2] != wanted[2]:
        return "gradients do not flow back from it to all that they should, or to more"
    if _has_gradient(got) != _has_gradient(wanted):
        return "no gradient flows through it" if _has_gradient(wanted) else "a gradient flows through it"
    given, expected = (getattr(_bare(value), "dtype", None) for value in (got, wanted))
    if given is not None and expected is not None and given != expected:
        return f"its dtype is {given} and should be {expected}" if numbers else "not the right dtype"
    return "it is another kind of value than it should be"


def _value(got: Any, wanted: Any, numbers: bool) -> str:
    if isinstance(wanted, tuple) and wanted and wanted[0] in (OBJECT, LAYER, LARGE):
        if wanted[0] == LAYER and isinstance(got, tuple) and got and got[0] == LAYER:
            return "The layer has other sizes, settings or starting values than it should have."
        return ""
    given, expected = _bare(got), _bare(wanted)
    if given is None or isinstance(given, (str, bytes, list, tuple)) or isinstance(expected, (str, bytes, list, tuple)):
        pair = _listed(given), _listed(expected)
        short = numbers and not any(isinstance(value, tuple) for value in (given, expected)) and pair[0] != pair[1]
        return f"It is {pair[0]} and should be {pair[1]}." if short and len("".join(pair)) <= LONGEST else ""
    try:
        actual, right = as_numpy(given), as_numpy(expected)
    except (TypeError, ValueError):
        return ""
    if actual.shape != right.shape:
        words = describe(given, expected, None, numbers=numbers)
        if not numbers:
            return words or "Its shape is another."
        return f"Its shape is {list(actual.shape)} and should be {list(right.shape)}. {words}".strip()
    with np.errstate(all="ignore"):
        wrong = ~np.isclose(actual, right, rtol=1e-7, atol=0, equal_nan=True)
    words = describe(given, expected, wrong, numbers=numbers)
    if numbers and actual.size <= SHOWN:
        pair = _shown(given), _shown(expected)
        if pair[0] != pair[1]:
            return f"It is {pair[0]} and should be {pair[1]}. {words}".strip()
    return words


def _listed(value: Any) -> str:
    """A value as it was; lists were taken down with their length before their items."""
    if isinstance(value, list) and value and isinstance(value[0], int):
        items = [_listed(item) for item in value[1:9]]
        return f"[{', '.join([*items, '...'] if value[0] > len(items) else items)}]"
    return _shown(value)


def _shown(value: Any) -> str:
    """A small value in one line, as it may stand before a full stop."""
    text = " ".join(show(value).split())
    return f"{text}0" if text.endswith(".") else text


def _has_gradient(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and value[0] == GRADIENT


def _bare(value: Any) -> Any:
    return value[1] if _has_gradient(value) else value
