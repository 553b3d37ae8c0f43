"""An exercise's grade in a notebook: a small table in HTML, and the same as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from autograder.grades import ExerciseGrade, TestResult

_COLORS = {"passed": "#1a7f37", "failed": "#cf222e", "not_run": "#9a6700"}
_MARKS = {"passed": "✓", "failed": "✗", "not_run": "–"}
_CELL = "padding:4px 8px;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.3)"


def part(grade: ExerciseGrade, visibility: str) -> ExerciseGrade:
    """The grade's visible or hidden tests alone; hints and places are told once, with the first that fail."""
    tests = tuple(test for test in grade.tests if test.visibility == visibility)
    first = next((test.visibility for test in grade.tests if test.status != "passed"), "")
    told = grade if first == visibility else replace(grade, hints=(), places=())
    return replace(grade, tests=tests, hints=told.hints, places=told.places)


def as_html(grade: ExerciseGrade, drawings: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> str:
    """The grade as a table that needs no style sheet. All text is escaped: some of it is a student's.

    Args:
        grade: the grade.
        drawings: by the names of tests, HTML to be shown below what is told of them.
        notes: sentences that come after the table.
    """
    drawn = drawings or {}
    rows = "".join(_row(test, told, drawn.get(test.name, "")) for test, told in _without_repetition(grade))
    told = "".join(f"<p>{escape(note)}</p>" for note in (*notes, *_notes(grade)))
    head = f"<p><b>{escape(grade.name)}: {grade.score:g} of {grade.max_score:g} points</b></p>"
    style = "border-collapse:collapse;table-layout:auto;width:100%"  # JupyterLab would make all columns alike
    return f'<div class="autograder">{head}<table style="{style}">{rows}</table>{told}</div>'


def as_text(grade: ExerciseGrade, notes: Sequence[str] = ()) -> str:
    """The grade for wherever there is no HTML."""
    lines = [f"{grade.name}: {grade.score:g} of {grade.max_score:g} points"]
    for test, told in _without_repetition(grade):
        lines.append(f"{_MARKS[test.status]} {test.title} ({test.score:g}/{test.max_score:g})")
        lines += [f"    {line}" for line in told.splitlines()]
    return "\n".join([*lines, *notes, *_notes(grade)])


def _row(test: TestResult, told: str, drawing: str) -> str:
    mark = f'<td style="{_CELL};color:{_COLORS[test.status]}">{_MARKS[test.status]}</td>'
    feedback = f'<pre style="margin:4px 0;white-space:pre-wrap">{escape(told)}</pre>' if told else ""
    score = f'<td style="{_CELL};text-align:right;white-space:nowrap">{test.score:g}/{test.max_score:g}</td>'
    return f'<tr>{mark}<td style="{_CELL};width:100%">{escape(test.title)}{feedback}{drawing}</td>{score}</tr>'


def _without_repetition(grade: ExerciseGrade) -> list[tuple[TestResult, str]]:
    """Each test with what is told of it: a text that many tests share stands at the first of them."""
    seen: set[str] = set()
    told = []
    for test in grade.tests:
        printed = f"It printed:\n{test.printed}" if test.printed else ""
        said = "" if test.feedback in seen else test.feedback
        told.append((test, "\n".join(filter(None, (said, printed)))))
        seen.add(test.feedback)
    return told


def _notes(grade: ExerciseGrade) -> list[str]:
    carried = " and ".join(grade.carried_forward)
    notes = [f"Checked with a right {carried} in place of yours."] if carried else []
    places = (place.sentence for place in grade.places)
    return [*notes, *places, *(f"Hint: {hint.text}" for hint in grade.hints)]
