"""What helps when an answer is wrong: the real failure first, what was printed, an example to debug, no false blame."""

import io
import subprocess
import sys
from dataclasses import replace

import pytest
from course_copy import copy_course
from rich.console import Console
from tmux import HAS_TMUX, terminal

from autograder.grades import Grade, Place
from autograder.grading import VISIBLE, Grader
from autograder.loop.debug import write_example
from autograder.notebook.cells import Place as Cell
from autograder.notebook.checking import in_cells
from autograder.reports.terminal import print_check
from autograder.submission import Submission

AUTOGRADER = [sys.executable, "-P", "-m", "autograder"]
WRONG = ("exponentials, axis=axis", "exponentials, axis=0")
FORGETFUL = """
import numpy as np
_calls = []

def softmax(scores, axis=-1):
    _calls.append(1)
    powers = np.exp(scores - np.max(scores, axis=axis, keepdims=True))
    return powers / np.sum(powers, axis=axis, keepdims=True) * (1 if len(_calls) < 4 else 0.5)

def log_softmax(scores, axis=-1):
    shifted = scores - np.max(scores, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
"""


@pytest.fixture
def small(tmp_path):
    """A course of two exercises."""
    return copy_course(tmp_path / "course", ["softmax", "attention"])


def said(course, grade, width=300):
    """What `check` prints."""
    out = io.StringIO()
    print_check(Console(file=out, width=width), course, Grade("student", (grade,), "none"))
    return out.getvalue()


def test_a_wrong_foundation_that_passed_is_not_blamed_on_what_stands_on_it(grader, course, solution):
    """A right attention passes on a wrong softmax; a wrong one hears what it would hear on a right one."""
    softmax = solution("softmax").replace("largest = np.max(scores, ", "largest = np.max(np.abs(scores), ")
    right, wrong = (
        solution("attention"),
        solution("attention").replace("softmax(scores, axis=-1)", "softmax(scores, axis=0)"),
    )
    assert wrong != right
    attention = course.exercise("attention")

    def graded(base, text, passed):
        submission = Submission("student", {"softmax": base, "attention": text})
        return grader.grade_exercise(submission, attention, passed)

    passes = graded(softmax, right, ["softmax"])
    assert passes.status == "passed"
    assert passes.carried_forward == ("softmax",)
    fails, alone = graded(softmax, wrong, ["softmax"]), graded(solution("softmax"), wrong, ())
    assert fails.status == "failed"
    assert (fails.hints, fails.places, fails.tests) == (alone.hints, alone.places, alone.tests)
    base = replace(passes, name="softmax", carried_forward=())
    out = io.StringIO()
    print_check(Console(file=out, width=300), course, Grade("student", (base, passes), "none"))
    assert "attention passes with a right softmax, and not with yours" in out.getvalue()


def test_an_answer_that_depends_on_earlier_calls_is_called_so(grade_softmax):
    """A counter between calls: in a fresh process the same call is right."""
    grade = grade_softmax(FORGETFUL)
    assert grade.status == "failed"
    (place,) = grade.places
    assert (place.function, place.name, place.line) == ("softmax", "state", 5)
    assert "depends on the calls before it" in place.text
    assert not grade.hints


def test_a_real_failure_comes_before_a_hole(grader, course, solution):
    """The first function is wrong and named, the second open: one line for it, and the next step is the wrong line."""
    text = solution("softmax").replace("np.exp(scores - largest)", "np.exp2(scores - largest)")
    head, _, tail = text.partition("    shifted = ")
    half = head + "    shifted = ...  # FINISH ME\n" + tail.partition("\n")[2]
    visible = Grader.start(course, [course.exercise("softmax")], VISIBLE, grader.worker, locked=False)
    grade = visible.grade(Submission("student", {"softmax": half})).exercises[0]
    assert grade.unfinished == ("log_softmax",)
    assert [hint.mistake for hint in grade.hints] == ["base-two"]
    line = half.split("\n").index("    exponentials = np.exp2(scores - largest)  # FINISH ME") + 1
    text = said(course, grade)
    assert text.count("Not finished yet: `log_softmax`") == 1
    assert text.count("is not finished") == 0
    assert text.index("numbers are wrong") < text.index("Not finished yet")
    assert f"at line {line}:" in text[text.index("Next:") :]
    only_open = solution("softmax").replace("shifted = scores - np.max", "shifted = ...  # FINISH ME: np.max")
    grade = visible.grade(Submission("student", {"softmax": only_open})).exercises[0]
    assert f"at line {grade.holes[0]} and fill the first hole" in said(course, grade)


def test_what_is_printed_is_shown_beside_its_test_and_never_a_hidden_ones(grade_softmax, course, solution):
    """Bounded, in a test that fails and in one that passes; `breakpoint()` stops nothing here."""
    noisy = '    print("seen:", *range(99), sep="\\n")\n    breakpoint()\n    exponentials ='
    for change in (WRONG, ("", "")):
        grade = grade_softmax(solution("softmax").replace(*change).replace("    exponentials =", noisy))
        shown = [test.printed for test in grade.tests if test.visibility == "visible" and test.printed]
        assert shown
        assert all(text.startswith("seen:\n0\n1\n") and "more lines" in text for text in shown)
        assert all(text.count("\n") <= 12 for text in shown)
        assert not any(test.printed for test in grade.tests if test.visibility == "hidden")
        assert "It printed:" in said(course, grade)
    assert grade.status == "passed"


def test_what_a_test_compares_is_called_what_it_is(grade_softmax, solution):
    """The sums of the slices are no result of the call; for a hidden test nothing of its code is said."""
    grade = grade_softmax(solution("softmax").replace(*WRONG))
    told = {test.name: test.feedback for test in grade.tests if test.visibility == "visible"}
    assert "(`probabilities.sum(axis=axis)`): 2 of 2 numbers are wrong" in told["slices_sum_to_one"]
    assert "makes of" not in told["worked_example"]
    assert not any("result (`" in test.feedback for test in grade.tests if test.visibility == "hidden")


def test_a_place_in_a_notebook_is_a_line_of_a_cell():
    """The module's third line stands in another cell."""
    cells = [Cell(3, 1), Cell(3, 2), Cell(4, 1)]
    place = Place(3, "softmax", "largest", "`largest` is not right.")
    assert in_cells(place.sentence, "softmax", cells) == "Line 1 of cell [4], in `softmax`: `largest` is not right."


def test_an_example_is_a_script_that_fails_as_the_check_did(small, solution):
    """It runs by itself, shows prints, given and expected; a changed one stays as long as its example does."""
    exercise, file = small.exercise("softmax"), small.stub("softmax")
    file.write_text(solution("softmax").replace(*WRONG), encoding="utf-8")
    path, text = write_example(small, exercise)
    assert "The worked example comes out" in text
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True, cwd=small.root)
    assert "given:\n[[0.1192" in ran.stdout
    assert "expected:\n[[0.0900" in ran.stdout
    mine = path.read_text(encoding="utf-8") + 'print("mine")\n'
    path.write_text(mine, encoding="utf-8")
    assert "as you left it" in write_example(small, exercise)[1]
    assert path.read_text(encoding="utf-8") == mine
    file.write_text(solution("softmax").replace("np.exp(scores", "np.exp2(scores"), encoding="utf-8")
    write_example(small, exercise)
    assert path.with_suffix(".old.py").read_text(encoding="utf-8") == mine
    assert "mine" not in path.read_text(encoding="utf-8")
    file.write_text(solution("softmax"), encoding="utf-8")
    assert write_example(small, exercise) == (
        None,
        "softmax passes the tests that you see: there is no example that fails.",
    )


def test_an_example_of_an_object_makes_the_object(tmp_path, solution):
    """Layers, weights and calls, in the order in which they were made."""
    course = copy_course(tmp_path / "course", ["lora"])
    text = solution("lora").replace("self.lora_A.T @ self.lora_B.T", "self.lora_A.T @ self.lora_B.T * 2")
    course.stub("lora").write_text(text, encoding="utf-8")
    path, _ = write_example(course, course.exercise("lora"))
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True, cwd=course.root)
    assert "given:\ntensor([ 25., -23.]" in ran.stdout
    assert "expected:\ntensor([ 13., -11.])" in ran.stdout


@pytest.mark.skipif(not HAS_TMUX, reason="there is no tmux here")
def test_a_wrong_line_is_told_debugged_and_put_right(small, solution):
    """In a real terminal: the line, an example with `d`, a print and a breakpoint in it, and the right line."""
    file = small.stub("softmax")
    wrong = solution("softmax").replace(*WRONG)
    line = next(number for number, text in enumerate(wrong.split("\n"), 1) if WRONG[1] in text)
    file.write_text(wrong, encoding="utf-8")
    program = f"{' '.join(AUTOGRADER)}"
    with terminal(f"{program} watch softmax", small.root, rows=40) as window:
        window.wait(f"Line {line}, in `softmax`")
        window.press("d")
        window.wait("build/debug/softmax.py is an example that fails", "make debug EX=softmax")
        window.keep("debug-session")
        stopped = wrong.replace(
            "    exponentials =", '    print("largest is", largest.tolist())\n    breakpoint()\n    exponentials ='
        )
        file.write_text(stopped, encoding="utf-8")
        window.wait("It printed:", "largest is [[3.0], [3.0]]")
        window.keep("debug-printed")
        with terminal(f"{program} debug softmax", small.root, rows=40) as debugger:
            debugger.wait("largest is [[3.0], [3.0]]", "(Pdb)")
            debugger.press("p scores.shape", "Enter")
            debugger.wait("(2, 3)")
            debugger.keep("debug-breakpoint")
            debugger.press("c", "Enter")
            debugger.wait("expected:", "[ended: 0]")
        file.write_text(solution("softmax"), encoding="utf-8")
        window.wait("Softmax passes")
