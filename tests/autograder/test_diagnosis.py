"""Which mistakes are named: those that were made, two at once too, and no other."""

import numpy as np
import pytest

HEAD = "import numpy as np\n"
SOFTMAX = """
def softmax(scores, axis=-1):
    scores = np.asarray(scores) * 1.0
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)
"""
LOG_SOFTMAX = """
def log_softmax(scores, axis=-1):
    scores = np.asarray(scores) * 1.0
    scores = scores - scores.max(axis, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis, keepdims=True))
"""


def named(grade):
    """The ids of the mistakes that a grade names."""
    return [hint.mistake for hint in grade.hints]


def test_two_mistakes_in_two_functions(grade_softmax):
    """Each function has its own."""
    source = HEAD + SOFTMAX.replace("np.exp(", "np.exp2(") + LOG_SOFTMAX.replace("- np.log", "+ np.log")
    assert named(grade_softmax(source)) == ["base-two", "sign-of-the-logarithm"]


def test_two_mistakes_in_one_function(grade_softmax):
    """The one shows in large scores alone, the other where no axis is named."""
    source = SOFTMAX.replace("scores.max(axis, keepdims=True)", "np.maximum(0, scores.max(axis, keepdims=True))")
    source = source.replace("axis=-1", "axis=0")
    assert named(grade_softmax(HEAD + source + LOG_SOFTMAX)) == ["max-with-zero", "first-axis-by-default"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.exp(scores - ", "np.exp(1.01 * scores - "),
        ("powers.sum(axis, keepdims=True)", "(powers.sum(axis, keepdims=True) + 1)"),
        ("return powers", "return 0.5 * powers"),
        ("np.exp(", "np.cosh("),
        ("return powers /", "return np.round(powers, 3) /"),
        ("return powers / powers.sum(axis, keepdims=True)", "return np.full(scores.shape, 1 / scores.shape[axis])"),
        ("scores = np.asarray(scores) * 1.0", "scores = np.asarray(scores)[..., ::-1] * 1.0"),
        ("scores = np.asarray(scores) * 1.0", "scores = np.sort(np.asarray(scores) * 1.0)"),
    ],
)
def test_a_mistake_that_is_not_in_the_catalogue(grade_softmax, right, wrong):
    """It costs points, and nothing is named that was not done."""
    assert right in SOFTMAX
    grade = grade_softmax(HEAD + SOFTMAX.replace(right, wrong) + LOG_SOFTMAX)
    assert grade.status == "failed"
    assert named(grade) == []


def test_nothing_is_said_of_what_stands_on_an_unknown_mistake(grade_softmax):
    """A logarithm of a softmax that is wrong in its own way: the catalogue's log-of-softmax is no longer all of it."""
    wrong = SOFTMAX.replace("return powers /", "return 0.9 * powers /")
    source = HEAD + wrong + "\ndef log_softmax(scores, axis=-1):\n    return np.log(softmax(scores, axis) / 0.9)\n"
    assert named(grade_softmax(source)) == []


def test_a_difference_is_described_where_no_mistake_matches(grade_softmax):
    """The constant factor, in a hidden test too."""
    grade = grade_softmax(HEAD + SOFTMAX.replace("return powers", "return 0.5 * powers") + LOG_SOFTMAX)
    told = [test.feedback for test in grade.tests if test.visibility == "hidden" and test.status == "failed"]
    assert any("Every number is 0.5 times what it should be." in feedback for feedback in told)
    assert np.all(["softmax(" not in feedback for feedback in told])
