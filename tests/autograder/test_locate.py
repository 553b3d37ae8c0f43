"""Where a wrong answer goes wrong: on the very line, and nowhere in a right one."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.diagnosis.footprints import Footprints, footprint, hidden_key, written
from autograder.diagnosis.traced import Key, RightlyMade, step_of

KEY = Key("softmax", "largest", "value")


def step(value, key=KEY):
    """A step of a submission that gave a value."""
    return step_of(52, KEY, value, key)


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


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("scores: np.ndarray, axis: int = -1", "scores: np.ndarray, axis: int = 0", "`axis` is the first value"),
        (
            "    exponentials = np.exp(scores - largest)",
            "    scores -= largest; exponentials = np.exp(scores)",
            "in place",
        ),
        (
            "return exponentials / np.sum(exponentials, axis=axis, keepdims=True)",
            "return exponentials / np.sum(\n        exponentials ** 2, axis=axis, keepdims=True)",
            "What is returned",
        ),
    ],
)
def test_a_default_a_changed_argument_and_a_long_statement_have_places(grade_softmax, solution, right, wrong, said):
    """Each at the line where it begins, the last although that line is as it should be."""
    assert right in solution("softmax")
    source = solution("softmax").replace(right, wrong, 1)
    line = source[: source.index(wrong)].count("\n") + 1
    (place,) = grade_softmax(source).places
    assert place.line == line
    assert said in place.text


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


@given(st.floats(-1e12, 1e12), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_a_footprint_knows_the_right_value_and_no_other(number, seed, dtype):
    """However it is rounded: the grids keep right numbers away from every border."""
    random = np.random.default_rng(seed)
    right = (number + random.normal(size=(2, 3))).astype(dtype)
    noise = (1 + 4 * np.finfo(dtype).eps * random.uniform(-1, 1, right.shape)).astype(dtype)
    known = footprint(step(right), "call")
    assert known.is_as(step(right * noise, known.key))
    assert not known.is_as(step(right.T.copy(), known.key)) or np.allclose(right.T.ravel(), right.ravel())
    assert not known.is_as(step(right + 0.01 * np.abs(right).max(), known.key)) or not number
    assert known.has_shape_of(step(right + 1, known.key))
    assert not known.has_shape_of(step(right[:, :2], known.key))
    assert not known.has_kind_of(step(right.astype(np.int64), known.key))


def test_nothing_can_be_read_off_a_footprint():
    """Neither names nor values nor lines; and so little of a hash is there that other numbers have it, too."""
    right = [step(np.array([3.25, -17.5])), step("a secret text"), step(True)]
    told = str(written({"call": RightlyMade(right)}, [KEY], ["largest = np.max(scores, axis=axis)"]))
    for secret in ("softmax", "largest", "3.25", "17.5", "secret", "np.max", "True"):
        assert secret not in told
    known = footprint(step(3.25), "call")
    others = [n for n in np.geomspace(1e-3, 1e9, 2**19) if known.is_as(step(float(n), known.key))]
    assert any(abs(other - 3.25) > 0.01 for other in others)


def test_footprints_come_back_as_they_were_written():
    """Calls, points and lines; what is not there is not known."""
    right = [step(np.arange(4.0)), step([1, 2])]
    read = Footprints(written({"call": RightlyMade(right, True)}, [KEY], ["x = 1"]))
    assert read.knows("call")
    assert not read.knows("another")
    assert read.has_line("x = 1")
    assert not read.has_line("x = 2")
    assert read.points() == [hidden_key(KEY)]
    made = read._made("call")
    assert made.raised
    assert made.steps == [footprint(one, "call") for one in right]
