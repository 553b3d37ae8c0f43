"""What has not changed is not judged again, and what nobody began is told without loading anything."""

import json
import subprocess
import sys

import pytest
from course_copy import ROOT, copy_course

from autograder.course import load_course
from autograder.declared import declared_tests
from autograder.loop import grader as loop_grader
from autograder.loop.grader import check, impatient
from autograder.loop.verdicts import VERDICTS
from autograder.suites.runner import Suites


@pytest.fixture
def course(tmp_path):
    """A course of two exercises, untouched."""
    return copy_course(tmp_path / "course", ["softmax", "attention"])


def _solve(course, name):
    course.stub(name).write_text(course.solution(name).read_text(encoding="utf-8"), encoding="utf-8")


@pytest.fixture
def judged(monkeypatch):
    """The exercises that were judged, in order."""
    names = []
    judge = loop_grader._judge

    def count(course, exercises, submission, known, said):
        names.extend(exercise.name for exercise in exercises)
        return judge(course, exercises, submission, known, said)

    monkeypatch.setattr(loop_grader, "_judge", count)
    return names


def test_the_declared_tests_are_those_that_pytest_finds():
    """For every exercise: names, titles and points, in order."""
    course = load_course(ROOT)
    suites = Suites(course, course.exercises, ["visible"])
    for name in course.names:
        found = [(test.name, test.title, test.worth) for test in suites.tests(name)]
        assert [(t.name, t.title, t.worth) for t in declared_tests(course.suite(name, "visible"))] == found


def test_an_untouched_course_loads_neither_numpy_nor_pytest(course):
    """What takes seconds to load is not needed to say "not started"."""
    program = (
        "import sys; from autograder.cli import main; code = main(['check']); "
        "print(sorted({'numpy', 'pytest', 'torch', 'hypothesis'} & set(sys.modules)), code)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=course.root, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[] 0\n")
    assert "not started" in done.stdout


def test_what_has_not_changed_is_not_judged_again(course, judged):
    """The second check shows the same, also what went wrong, and judges nothing; --force asks anew."""
    _solve(course, "softmax")
    text = course.solution("attention").read_text(encoding="utf-8").replace("math.sqrt(query.shape[-1])", "1.0")
    course.stub("attention").write_text(text, encoding="utf-8")
    first = check(course, course.exercises)
    assert judged == ["softmax", "attention"]
    assert [exercise.status for exercise in first.exercises] == ["passed", "failed"]
    assert check(course, course.exercises) == first
    assert judged == ["softmax", "attention"]
    check(course, course.exercises, force=True)
    assert judged == ["softmax", "attention"] * 2


def test_each_exercise_is_said_at_once_and_an_endless_loop_soon(course):
    """A student's own machine waits a third of a grader's time for a call, and tries once more and no oftener."""
    _solve(course, "attention")
    text = course.solution("softmax").read_text(encoding="utf-8")
    hanging = text.replace("    largest = np.max", "    while True:\n        pass\n    largest = np.max")
    course.stub("softmax").write_text(hanging, encoding="utf-8")
    said = []
    found = check(course, course.exercises, said=lambda grade: said.append((grade.name, grade.status)))
    assert said == [("softmax", "timeout"), ("attention", "passed")]
    assert "within 3 seconds" in next(test.feedback for test in found.exercises[0].tests if test.feedback)
    budget = impatient(course).exercise("softmax").budget
    assert (budget.call, budget.restarts) == (pytest.approx(3.0), 1)
    assert course.exercise("softmax").budget.call == 10  # the grader's own is as it was


@pytest.mark.parametrize("changed", ["tests/visible/test_softmax.py", "exercises/softmax.py", "course.toml"])
def test_what_has_changed_is_judged_again(course, judged, changed):
    """The text, the suite and the entry; and with softmax also attention, which builds on it."""
    _solve(course, "softmax")
    _solve(course, "attention")
    check(course, course.exercises)
    judged.clear()
    with open(course.root / changed, "a", encoding="utf-8") as file:
        file.write("\n# changed\n" if changed.endswith(".py") else "\nmemory_mib = 999\n")
    check(load_course(course.root), load_course(course.root).exercises)
    assert judged == (["attention"] if changed == "course.toml" else ["softmax", "attention"])


@pytest.mark.parametrize("damage", ["", "{", '{"format": 99, "exercises": {}}', '{"format": 1, "exercises": 3}'])
def test_a_damaged_file_costs_a_check_and_nothing_else(course, judged, damage):
    """It is written anew."""
    _solve(course, "softmax")
    first = check(course, course.exercises)
    (course.root / VERDICTS).write_text(damage, encoding="utf-8")
    assert check(course, course.exercises) == first
    assert judged == ["softmax", "softmax"]
    assert set(json.loads((course.root / VERDICTS).read_text(encoding="utf-8"))["exercises"]) == {"softmax"}


def test_a_verdict_of_another_text_is_not_taken(course, judged):
    """A stored verdict counts for the text that it was given to alone."""
    _solve(course, "softmax")
    assert check(course, course.exercises).exercises[0].status == "passed"
    wrong = course.solution("softmax").read_text(encoding="utf-8").replace("scores - largest", "scores")
    course.stub("softmax").write_text(wrong, encoding="utf-8")
    assert check(course, course.exercises).exercises[0].status == "failed"
