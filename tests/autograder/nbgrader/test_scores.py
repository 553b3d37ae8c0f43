"""What nbgrader reads out of the outputs that stand for a score."""

import pytest
from nbformat.v4 import new_code_cell
from nbgrader.utils import determine_grade

from autograder.grades import ExerciseGrade, Hint
from autograder.grades import TestResult as Result
from autograder.nbgrader_support.grades import outputs
from autograder.notebook.table import as_html, as_text, part


def graded(*scores, of=1.0):
    """An exercise whose tests have these scores."""
    tests = tuple(
        Result(f"t{i}", f"<b>{i}</b>", "hidden", "passed" if score else "failed", score, of, "" if score else "so")
        for i, score in enumerate(scores)
    )
    return ExerciseGrade("x", "failed", tests, hints=(Hint("m", "look & see"),))


@pytest.mark.parametrize(
    ("grade", "points", "score"),
    [
        (graded(1.0, 1.0), 2.0, 2.0),
        (graded(0.0, 0.0), 2.0, 0.0),
        (graded(0.0, 0.3, of=0.3), 0.6, 0.3),
        (graded(1.0, 1.0), 1.5, 1.5),  # the gradebook is of an earlier release, in which the cell was worth less
        (graded(1.0, 0.0), 3.0, 1.5),
        (graded(), 2.0, 0.0),  # no test at all
    ],
)
def test_nbgrader_reads_the_score_that_was_meant(grade, points, score):
    """Never full marks for nothing, zero for a word on stderr, or an error for a number above the maximum."""
    data = {"grade": True, "solution": False, "locked": True, "grade_id": "x-hidden", "points": points}
    cell = new_code_cell("", metadata={"nbgrader": data}, outputs=outputs(grade, points))
    assert determine_grade(cell) == (score, points)


def test_the_explanation_is_escaped_and_says_things_once():
    """Titles and texts are shown as text; what several tests share is told once; hints come with the first failure."""
    grade = graded(0.0, 0.0)
    html, text = as_html(grade), as_text(grade)
    assert "&lt;b&gt;0" in html
    assert "<b>0" not in html
    assert html.count(">so<") == text.count("    so\n") == 1
    assert "Hint: look &amp; see" in html
    assert "Hint: look & see" in text
    assert part(grade, "visible").tests == ()
    assert part(grade, "visible").hints == ()
    assert part(grade, "hidden") == grade
