"""One submission, one grade: statuses, points, sentences, and what one exercise costs another."""

import importlib
import json
import sys
from dataclasses import replace

import pytest

from autograder.authoring.skeleton import stub
from autograder.course import holes
from autograder.grades import as_json, from_json
from autograder.isolation.between.wire import Allowance
from autograder.isolation.near import session
from autograder.submission import Submission
from autograder.suites.plugin import Sources

RIGHT = "softmax"


def test_full_marks_for_the_solution(grade_softmax, solution):
    """The solution passes every test, without a word of feedback."""
    grade = grade_softmax(solution("softmax"))
    assert (grade.status, grade.score, grade.max_score) == ("passed", 10, 10)
    assert not any(test.feedback for test in grade.tests)


def test_the_stub_is_not_started(grade_softmax, solution):
    """An untouched stub has no points and counts its holes; one begun is failed, and its failures speak of holes."""
    text = stub(solution("softmax"))
    grade = grade_softmax(text)
    assert (grade.status, grade.score) == ("not_started", 0)
    assert len(grade.holes) == grade.holes_total == len(holes(text)) > 0
    begun = grade_softmax(text.replace("...  # FINISH ME", "np.max(scores, axis=axis, keepdims=True)", 1))
    assert begun.status == "failed"
    assert all("FINISH ME" in test.feedback for test in begun.tests if test.status == "failed")
    assert "Ellipsis" not in json.dumps([test.feedback for test in begun.tests])


@pytest.mark.parametrize(
    ("source", "status", "sentence"),
    [
        ("def softmax(:\n", "error", "softmax.py line 1 is not valid Python"),
        ("import nothing_like_it\n", "error", "No module named 'nothing_like_it'"),
        ("1 / 0\n", "error", "ZeroDivisionError (line 1 of softmax.py: `1 / 0`)"),
        ("import sys; sys.exit(3)\n", "error", "called `exit`"),
        ("import os; os._exit(3)\n", "crashed", "left Python with code 3"),
        ("x = 1\n", "failed", "softmax.py has no `softmax`"),
        (
            "def softmax(scores): return scores\nlog_softmax = softmax\n",
            "failed",
            "could not be called as the exercise says",
        ),
        ("def softmax(scores, axis=-1): pass\nlog_softmax = softmax\n", "failed", "returned None"),
        ("def softmax(scores, axis=-1): return ...\nlog_softmax = softmax\n", "failed", "returned `...`"),
        ("def softmax(scores, axis=-1): return scores.tolist()\nlog_softmax = softmax\n", "failed", "a list"),
        ("def softmax(scores, axis=-1): return scores * float('nan')\nlog_softmax = softmax\n", "failed", "nan"),
        pytest.param(
            "def softmax(scores, axis=-1): return softmax(scores)\nlog_softmax = softmax\n",
            "failed",
            "calls itself",
            marks=pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="3.13.0 counts no such call"),
        ),
        (
            "def softmax(scores, axis=-1): open('/etc/passwd')\nlog_softmax = softmax\n",
            "failed",
            "tried to read a file",
        ),
        ("import socket\ndef softmax(scores, axis=-1): socket.socket()\nlog_softmax = softmax\n", "failed", "network"),
    ],
)
def test_every_trouble_has_its_status_and_sentence(grade_softmax, source, status, sentence):
    """Whatever is wrong is said in words, with the student's own line, and never with ours."""
    grade = grade_softmax(source)
    assert grade.status == status
    told = "\n".join(test.feedback for test in grade.tests)
    assert sentence in told
    assert "Traceback" not in told
    assert "autograder" not in told


def test_hidden_feedback_holds_nothing_of_the_inputs_or_of_the_student(grade_softmax):
    """Of a hidden test a report holds the suite's own text, a built-in type and a line: never a message or a number."""
    leak = "class Leak(Exception): pass\n" + (
        "def softmax(scores, axis=-1):\n"
        "    told = 'LE' + 'AK ' + str(scores)\n"
        "    print(told)\n"
        "    Leak.__name__ = told\n"
        "    raise Leak(told)\n"
        "log_softmax = softmax\n"
    )
    grade = grade_softmax(leak)
    hidden = [test.feedback for test in grade.tests if test.visibility == "hidden"]
    assert hidden
    assert not any("LEAK" in feedback for feedback in hidden)
    assert any("LEAK" in test.feedback for test in grade.tests if test.visibility == "visible")
    assert "LEAK" in grade.output  # for the instructor
    assert "LEAK" not in json.dumps([vars(test) for test in grade.tests if test.visibility == "hidden"])


def test_an_exercise_that_changes_its_inputs_loses_that_point_alone(grade_softmax, solution):
    """Right numbers and changed inputs: one point less, and the sentence says which input."""
    source = solution("softmax").replace(
        "largest = np.max(scores, axis=axis, keepdims=True)  # FINISH ME",
        "original = scores\n    scores = scores.astype(float) if scores.dtype.kind == 'i' else scores\n"
        "    largest = np.max(scores, axis=axis, keepdims=True)\n    scores = scores.copy()\n    original *= 1\n"
        "    original += 0 if original.dtype.kind == 'i' else 1",
    )
    grade = grade_softmax(source)
    lost = {test.name for test in grade.tests if test.status != "passed"}
    assert lost == {"inputs_are_left_alone"}
    assert grade.score == grade.max_score - 1


def test_one_mistake_is_charged_once(grader, solution):
    """A wrong softmax costs attention nothing, and the grade says what was carried forward."""
    wrong = solution("softmax").replace("/ np.sum(exponentials, axis=axis, keepdims=True)", "")
    sources = {"softmax": wrong, "attention": solution("attention")}
    softmax, attention = grader.grade(Submission("test", sources)).exercises
    assert softmax.status == "failed"
    assert (attention.status, attention.carried_forward) == ("passed", ("softmax",))
    right = grader.grade(Submission("test", {**sources, "softmax": solution("softmax")}))
    assert right.exercises[1].carried_forward == ()
    missing = grader.grade(Submission("test", {"attention": solution("attention")}))
    assert [exercise.status for exercise in missing.exercises] == ["missing", "passed"]


def test_the_same_submission_gets_the_same_grade(grader, solution):
    """Bit for bit, wrong answers and hints included."""
    wrong = solution("softmax").replace("keepdims=True)  # FINISH ME", "keepdims=True) * 2", 1)
    sources = {"softmax": wrong, "attention": solution("attention")}
    texts = {json.dumps(as_json(grader.grade(Submission("test", sources)))) for _ in range(2)}
    assert len(texts) == 1


def test_no_grade_depends_on_what_else_a_process_has_loaded(grader, solution, tmp_path, monkeypatch):
    """Examples come from the suite alone, and not from numbers in modules that happen to be there."""
    wrong = solution("softmax").replace("np.exp(", "np.exp2(")
    before = as_json(grader.grade(Submission("test", {"softmax": wrong})))
    (tmp_path / "bystander.py").write_text("\n".join(f"N{i} = {i * 0.37 + 0.011}" for i in range(200)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bystander", raising=False)
    importlib.import_module("bystander")
    assert as_json(grader.grade(Submission("test", {"softmax": wrong}))) == before


def test_json_is_the_fixed_form_and_comes_back(grader, solution):
    """The keys that outside tools rely on, and nothing lost in them."""
    grade = grader.grade(Submission("ada", {"softmax": solution("softmax")}))
    data = json.loads(json.dumps(as_json(grade)))
    assert data["format"] == 2
    assert set(data) == {"format", "submission", "score", "max_score", "protection", "notes", "exercises"}
    exercise = data["exercises"][0]
    assert set(exercise) == {
        "name",
        "status",
        "score",
        "max_score",
        "carried_forward",
        "tests",
        "hints",
        "places",
        "holes",
        "unfinished",
    }
    assert set(exercise["tests"][0]) == {
        "name",
        "title",
        "visibility",
        "status",
        "score",
        "max_score",
        "feedback",
        "line",
        "printed",
    }
    assert as_json(from_json(data)) == data


def test_a_known_mistake_is_named(grade_softmax, solution):
    """The catalogue's hint for a mistake that the submission makes, written differently."""
    source = (
        "import numpy as np\n"
        "def softmax(scores, axis=-1):\n    e = np.exp(scores - scores.max())\n"
        "    return e / e.sum(axis, keepdims=True)\n"
        "def log_softmax(scores, axis=-1):\n    s = scores - scores.max(axis, keepdims=True)\n"
        "    return s - np.log(np.exp(s).sum(axis, keepdims=True))\n"
    )
    assert [hint.mistake for hint in grade_softmax(source).hints] == ["global-max"]


def test_doing_nothing_earns_nothing(grade_softmax, solution):
    """Who leaves the inputs alone because they are never looked at has no points for it; who does the work has."""

    def inputs(source):
        return next(test for test in grade_softmax(source).tests if test.name == "inputs_are_left_alone")

    idle = inputs("def softmax(scores, axis=-1):\n    return 0\n\ndef log_softmax(scores, axis=-1):\n    return 0\n")
    assert (idle.status, idle.score) == ("not_run", 0)
    assert inputs(solution("softmax")).score > 0


NOTED = """
_softmax = softmax
def softmax(scores, axis=-1):
    open({note!r}, "a").write("x")
    return _softmax(scores, axis)
"""
TELLING = """
def tell(*a, **k): raise ValueError("told: " + str(len(open({note!r}).read())))
causal_mask = dot_product_attention = scaled_dot_product_attention = tell
"""
FAILS_HIDDEN = """
__softmax = softmax
def softmax(scores, axis=-1):
    return __softmax(scores, axis) if np.ndim(scores) < 3 else scores
"""


def test_visible_tests_run_before_hidden_ones(grader, course, solution, tmp_path):
    """What a hidden test of one exercise has shown is not told by a visible test of another, even without any lock."""
    free, note = replace(grader, locked=False), tmp_path / "note"
    noted = solution("softmax") + NOTED.format(note=str(note))
    sources = {"softmax": noted, "attention": solution("attention") + TELLING.format(note=str(note))}
    free.suites.begin(course.exercise("softmax"), Sources(free.worker, sources))
    told = f"told: {len(note.read_text())}"
    note.unlink()
    grade = free.grade(Submission("ada", sources))
    feedback = [test.feedback for test in grade.exercises[1].tests if test.visibility == "visible"]
    assert grade.exercises[0].status == "passed"
    assert any(told in text for text in feedback)
    assert not any("told: " in text and told not in text for text in feedback)
    # When what it builds on fails hidden tests alone, it is judged on a stand-in; nothing more is told then.
    sources["softmax"] += FAILS_HIDDEN
    note.unlink()
    grade = free.grade(Submission("bob", sources))
    assert {test.visibility for test in grade.exercises[0].tests if test.status == "failed"} == {"hidden"}
    assert grade.exercises[1].carried_forward == ("softmax",)
    assert not any("told: " in test.feedback and told not in test.feedback for test in grade.exercises[1].tests)


def test_what_is_too_much_to_keep_is_begun_again(grader, solution, monkeypatch):
    """Answers of many exercises are not kept beside each other when they are large, and the points are the same."""
    submission = Submission("ada", {name: solution(name) for name in ("softmax", "attention")})
    quiet = grader.grade(submission)
    monkeypatch.setattr(session, "KEPT", Allowance(size=100, values=100))
    assert as_json(grader.grade(submission)) == as_json(quiet)
