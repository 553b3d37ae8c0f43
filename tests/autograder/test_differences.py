"""What is said about two arrays that differ: each pattern is seen, and none where there is none."""

import numpy as np
import pytest

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
        (WANTED[None], WANTED, "shape"),
        (WANTED * np.nan, WANTED, "Every number is nan"),
        (_with((1, slice(None)), np.nan), WANTED, "nan in row 1"),
        (_with((slice(None), 3), 7.5), WANTED, "in the last column"),
        (_with((slice(1, None), slice(None)), WANTED[1:] ** 2), WANTED, "in every row but 0"),
        (np.stack([WANTED, -WANTED, WANTED]), np.stack([WANTED] * 3), "in place 1 along axis 0"),
        (1.001 ** np.arange(12) * WANTED.ravel(), WANTED.ravel(), "in every place but 0"),
        (np.roll(WANTED, 1, axis=0), WANTED, "too late along axis 0"),
        (np.roll(WANTED, -1, axis=1), WANTED, "too early along axis 1"),
        (SOFT * np.array([[1.0], [2.0], [3.0]]), SOFT, "sum to 1"),
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
