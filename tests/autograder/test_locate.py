"""Where a wrong answer goes wrong: on the very line, and nowhere in a right one."""

import re

import pytest


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("largest = np.max(scores, axis=axis, keepdims=True)", "largest = np.min(scores, axis=axis, keepdims=True)"),
        ("exponentials = np.exp(scores - largest)", "exponentials = np.cosh(scores - largest)"),
        ("return exponentials / np.sum(exponentials, axis=axis, keepdims=True)", "return exponentials * 0.9"),
        ("shifted = scores - np.max(scores, axis=axis, keepdims=True)", "shifted = scores[..., 7:99, None, 0, 0, 0]"),
    ],
)
def test_the_line_is_found(grade_softmax, solution, right, wrong):
    """A change that no catalogue holds is located where it was made, and nowhere else."""
    source = solution("softmax").replace(right, wrong)
    line = source.split("\n").index(next(line for line in source.split("\n") if wrong in line)) + 1
    places = grade_softmax(source).places
    assert [place.line for place in places] == [line]
    assert places[0].function in ("softmax", "log_softmax")


def test_nothing_is_located_in_another_way_of_doing_it(grade_softmax):
    """Own names, own helpers: nothing tells the steps of one from those of the other."""
    source = (
        "import numpy as np\n"
        "def top(scores, axis):\n    return scores.max(axis, keepdims=True)\n"
        "def softmax(scores, axis=-1):\n    e = np.exp(scores - top(scores, axis))\n    return e / e.sum()\n"
        "def log_softmax(scores, axis=-1):\n    return np.log(softmax(scores, axis))\n"
    )
    grade = grade_softmax(source)
    assert grade.status == "failed"
    assert grade.places == ()


def test_what_a_hidden_test_found_is_told_without_numbers(grade_softmax, solution):
    """A mistake that only hidden tests see: line and kind."""
    right, wrong = "largest = np.max(scores, axis=axis", "largest = np.max(np.abs(scores), axis=axis"
    grade = grade_softmax(solution("softmax").replace(right, wrong))
    visible = [test.status for test in grade.tests if test.visibility == "visible"]
    if set(visible) == {"passed"}:
        assert not any(re.search(r"\d", re.sub(r"axis \d|sum to 1", "", place.text)) for place in grade.places)


def test_code_that_lies_about_its_steps_misleads_its_author_alone(grade_softmax):
    """Steps that are no steps: the points are what they are, and nothing is located."""
    source = (
        "import numpy as np, sys, gc\n"
        "def softmax(scores, axis=-1):\n"
        "    for o in gc.get_objects():\n"
        "        if type(o).__name__ == 'Recorder':\n"
        "            o.steps.extend([(10**9, 'x', 'y'), 'nonsense', (0, [[[[]]]], 10**30)])\n"
        "            o.points.append(('a', 'b'))\n"
        "    return np.zeros_like(scores, float)\n"
        "log_softmax = softmax\n"
    )
    grade = grade_softmax(source)
    assert grade.status == "failed"
    assert grade.places == ()
