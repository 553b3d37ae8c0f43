"""What is said about two arrays that differ: each pattern is seen, and none where there is none."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.diagnosis.divergence import Difference
from autograder.diagnosis.footprints import footprint
from autograder.diagnosis.traced import Key, step_of
from autograder.diagnosis.words import how
from autograder.suites.compare import Mismatch, assert_close
from autograder.suites.differences import describe

WANTED = np.arange(12.0).reshape(3, 4) ** 1.3 + 1
SOFT = np.exp(WANTED / 9) / np.exp(WANTED / 9).sum(-1, keepdims=True)


def _with(place, value):
    changed = WANTED.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("got", "wanted", "sentence"),
    [
        (2 * WANTED, WANTED, "2 times"),
        (WANTED + 0.5, WANTED, "0.5 too large"),
        (WANTED - 3, WANTED, "3 too small"),
        (-WANTED, WANTED, "wrong sign"),
        (WANTED.T, WANTED, "rows and columns"),
        (WANTED[:3, :3].T, WANTED[:3, :3], "rows and columns"),
        (WANTED.reshape(4, 3), WANTED, "another shape"),
        (WANTED[None], WANTED, "axis of length 1"),
        (WANTED * np.nan, WANTED, "Every number is nan"),
        (_with((1, slice(None)), np.nan), WANTED, "nan in row 1"),
        (_with((slice(None), 3), 7.5), WANTED, "in the last column"),
        (_with((slice(1, None), slice(None)), WANTED[1:] ** 2), WANTED, "in every row but the first"),
        (np.stack([WANTED, -WANTED, WANTED]), np.stack([WANTED] * 3), "at index 1 along axis 0"),
        (1.001 ** np.arange(12) * WANTED.ravel(), WANTED.ravel(), "at every index but the first"),
        (np.roll(WANTED, 1, axis=0), WANTED, "too late along axis 0"),
        (np.roll(WANTED, -1, axis=1), WANTED, "too early along axis 1"),
        (SOFT * np.array([[1.5], [2.0], [3.0]]), SOFT, "sum to 1"),
        (WANTED[:3, :3] + np.triu(np.arange(1.0, 10.0).reshape(3, 3) ** 2, 1), WANTED[:3, :3], "above the diagonal"),
    ],
)
def test_patterns_are_seen(got, wanted, sentence):
    """Each pattern gives its sentence."""
    wrong = ~np.isclose(got, wanted) if got.shape == wanted.shape else None
    assert sentence in describe(got, wanted, wrong)


def test_nothing_is_said_where_nothing_is_seen():
    """Noise, other kinds of values and empty arrays have no pattern."""
    noise = WANTED + np.sin(np.arange(12.0) * 7).reshape(3, 4)
    assert describe(noise, WANTED, np.ones((3, 4), bool)) == ""
    assert describe("text", WANTED, None) == ""
    assert describe(np.zeros(0), np.zeros(0), np.zeros(0, bool)) == ""


_close = partial(np.allclose, equal_nan=True)  # a nan that is right is right
# What each sentence claims, as a check of the two arrays; "(x)" in a sentence is its number.
_CLAIMS = {
    r"Every number is nan|The number is nan": lambda a, w, x: np.isnan(a).all(),
    r"Every number is inf|The number is inf": lambda a, w, x: np.isposinf(a).all(),
    r"Every number is -inf|The number is -inf": lambda a, w, x: np.isneginf(a).all(),
    r"(?:is|are) (nan|inf|-inf)\b": lambda a, w, x: ((a == float(x)) | (np.isnan(a) & (x == "nan"))).any(),
    r"should be (nan|inf|-inf) and": lambda a, w, x: ((w == float(x)) | (np.isnan(w) & (x == "nan"))).any(),
    r"right to about (\d+) digits": lambda a, w, x: _top(a - w) <= 1.001 * 10.0 ** -int(x) * _top(w),
    r"rows and columns are exchanged": lambda a, w, x: _close(a.swapaxes(-1, -2), w, rtol=1e-3, atol=1e-3 * _top(w)),
    r"wrong sign": lambda a, w, x: _close(-a, w, rtol=1e-3, atol=1e-3 * _top(w)),
    r"in reverse order": lambda a, w, x: any(_near(np.flip(a, axis), w) for axis in range(a.ndim)),
    r"Every number is (\S+) times": lambda a, w, x: _close(a, float(x) * w, rtol=1e-2, atol=2e-3 * _top(w)),
    r"about (\S+) too large": lambda a, w, x: _close(_finite(a - w), float(x), rtol=2e-2),
    r"about (\S+) too small": lambda a, w, x: _close(_finite(w - a), float(x), rtol=2e-2),
    r"one place too late": lambda a, w, x: any(_near(_tail(a, i), _head(w, i)) for i in range(a.ndim)),
    r"one place too early": lambda a, w, x: any(_near(_head(a, i), _tail(w, i)) for i in range(a.ndim)),
    r"should sum to 1": lambda a, w, x: _close(w.sum(-1), 1) and not np.isclose(a.sum(-1), 1).any(),
    r"in another shape|an axis of length 1": lambda a, w, x: (
        a.shape != w.shape and _close(a.ravel(), w.ravel(), rtol=1e-3)
    ),
    r"What is wrong stands(.*)\.": lambda a, w, x: np.array_equal(~np.isclose(a, w, 1e-9, 1e-9, True), _slices(a, x)),
}


def _near(a, w):
    return _close(a, w, rtol=1e-3, atol=1e-3 * _top(w))


def _head(array, axis):
    return array.take(range(array.shape[axis] - 1), axis)


def _tail(array, axis):
    return array.take(range(1, array.shape[axis]), axis)


def _slices(array, said):
    """The places that a sentence names, as a mask."""
    if side := re.search(r"only (above|below|on) the diagonal", said):
        wholes = np.tri(*array.shape, dtype=bool), np.tri(*array.shape, dtype=bool).T
        return {"above": ~wholes[0], "below": ~wholes[1], "on": wholes[0] & wholes[1]}[side[1]]
    noun = re.search(r"row|column|ind(?:ex|ices)", said)[0]
    axis = re.search(r"axis (\d)", said)
    axis = int(axis[1]) if axis else int(noun == "column")
    count = array.shape[axis]
    words = re.sub(r"along axis \d", "", said)
    named = {int(number) for number in re.findall(r"\d+", words)}
    named |= {0} & {0 if "first" in words else 1} | ({count - 1} if "last" in words else set())
    places = set(range(count)) - named if "every" in words else named
    mask = np.zeros(array.shape, bool)
    mask[(slice(None),) * axis + (sorted(places),)] = True
    return mask


def _finite(array):
    return array[np.isfinite(array)]


def _top(array):
    return np.abs(array[np.isfinite(array)]).max(initial=0.0)


_NUMBERS = st.one_of(st.floats(-4, 4, width=16), st.sampled_from([0.0, 1.0, np.inf, -np.inf, np.nan]))
# fmt: off
_CHANGES = [
    lambda a, x: a * x, lambda a, x: a + x, lambda a, x: -a, lambda a, x: a.swapaxes(-1, -2),
    lambda a, x: np.flip(a, 0),
    lambda a, x: np.roll(a, 1, -1),
    lambda a, x: a * (1 + 1e-5 * np.arange(a.size).reshape(a.shape)), lambda a, x: a / x,
    lambda a, x: np.where(np.arange(a.shape[-1]) == 0, x, a), lambda a, x: a + 1e-5 * x, lambda a, x: np.tril(a),
    lambda a, x: np.where(a > x, -np.inf, a), lambda a, x: a[None], lambda a, x: np.full_like(a, x),
]
# fmt: on


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_every_sentence_is_true_of_its_arrays(data):
    """Arrays of all kinds, changed in ways that do and do not make a pattern: what is said of them holds."""
    shape = data.draw(st.sampled_from([(1, 1), (1, 3), (2, 2), (3, 3), (2, 4), (2, 3, 3), (1, 2, 1)]))
    numbers = data.draw(st.lists(_NUMBERS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    wanted = np.array(numbers).reshape(shape)
    with np.errstate(all="ignore"):
        got = data.draw(st.sampled_from(_CHANGES))(wanted, data.draw(_NUMBERS))
    try:
        assert_close(got, wanted)
    except Mismatch as error:
        said = describe(got, wanted, error.wrong)
        assert not said or any(re.search(claim, said) for claim in _CLAIMS), said
        for claim, holds in _CLAIMS.items():
            if found := re.search(claim, said):
                with np.errstate(all="ignore"):
                    assert holds(got, wanted, found[1] if found.groups() else ""), said
        hidden = describe(got, wanted, error.wrong, numbers=False)
        assert not re.search(r"\d", re.sub(r"axis \d|length 1|sum to 1|float\d\d", "", hidden)), hidden


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_every_sentence_about_a_step_is_true(data):
    """What is said of a value at a place, with the right value at hand and with a digest of it alone."""
    key = Key("f", "x", "value")
    shape = data.draw(st.sampled_from([(1, 1), (1, 3), (2, 2), (2, 4), (2, 3, 3), (1, 2, 1)]))
    numbers = data.draw(st.lists(_NUMBERS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    wanted = np.array(numbers).reshape(shape)
    with np.errstate(all="ignore"):
        change = data.draw(st.sampled_from([*_CHANGES[:5], lambda a, x: a[..., None], lambda a, x: a.squeeze()]))
        got = np.asarray(change(wanted, data.draw(_NUMBERS)))
    right = step_of(1, key, wanted, key)
    known = footprint(right, "call")
    mine = step_of(1, key, got, known.key)
    if known.is_as(mine):
        return
    for other in (right, known):
        said = how(Difference(mine, "value", other), numbers=True)
        for claim, holds in _CLAIMS.items():
            told = re.search("reverse|sign|exchanged|another shape", claim) and re.search(claim, said)
            with np.errstate(all="ignore"):
                assert not told or holds(got, wanted, ""), said
        if own := re.search(r"Its shape is \[([\d, ]*)\]", said):
            assert own[1] == ", ".join(map(str, got.shape))
            assert got.shape != wanted.shape
        assert "should be" not in said or other is right or "should be another" in said
        hidden = how(Difference(mine, "value", other), numbers=False)
        assert not re.search(r"\d", re.sub(r"axis \d|length 1|sum to 1|float\d\d", "", hidden)), hidden
