"""Two sets of results compared: who gained or lost what, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autograder.grades import ExerciseGrade, Grade
from autograder.reports.gates import terminal


def changes(old: Sequence[Grade], new: Sequence[Grade]) -> Iterator[str]:
    """A line for each submission that changed, and below it a line for each of its tests that did."""
    before, after = ({grade.submission: grade for grade in grades} for grades in (old, new))
    for name in sorted(before.keys() | after.keys()):
        shown = terminal(" ".join(name.split()))
        if name not in after:
            yield f"{shown}: has no grade any more (had {before[name].score:g})"
        elif name not in before:
            yield f"{shown}: is new, with {after[name].score:g}"
        elif reasons := list(_reasons(before[name], after[name])):
            change = round(after[name].score - before[name].score, 6)
            yield f"{shown}: {before[name].score:g} → {after[name].score:g} ({change:+g})"
            yield from (f"  {reason}" for reason in reasons)


def _reasons(old: Grade, new: Grade) -> Iterator[str]:
    before, after = ({exercise.name: exercise for exercise in grade.exercises} for grade in (old, new))
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield f"{name}: is no longer graded (had {before[name].score:g})"
        elif name not in before:
            yield f"{name}: is graded now, with {after[name].score:g}"
        else:
            yield from (f"{name}: {reason}" for reason in _tests(before[name], after[name]))


def _tests(old: ExerciseGrade, new: ExerciseGrade) -> Iterator[str]:
    before, after = ({test.name: test for test in exercise.tests} for exercise in (old, new))
    if old.status != new.status:
        yield f"{old.status.replace('_', ' ')} → {new.status.replace('_', ' ')}"
    if old.carried_forward != new.carried_forward:
        was, now = (", ".join(exercise.carried_forward) or "nothing" for exercise in (old, new))
        yield f"right work stands in for {now} (before: for {was})"
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield f"the test {before[name].title!r} is gone ({-before[name].score:+g})"
        elif name not in before:
            status = after[name].status.replace("_", " ")
            yield f"the test {after[name].title!r} is new, and {status} ({after[name].score:+g})"
        elif (before[name].status, before[name].score) != (after[name].status, after[name].score):
            reason = terminal(after[name].feedback.splitlines()[0]) if after[name].feedback else "passed now"
            yield f"{after[name].title}: {before[name].score:g} → {after[name].score:g}: {reason}"
