"""What a class did not understand: wrong answers without a name, grouped by what they do, drafted as known mistakes."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autograder.batch.results import read_sources
from autograder.course import Course, CourseError, Exercise
from autograder.diagnosis.catalogue import UNWRITTEN, apply_patch, known_mistakes
from autograder.diagnosis.diagnose import chosen_calls
from autograder.diagnosis.evidence import Signature, evidence, keyed
from autograder.files import digest, write_whole
from autograder.grades import Grade
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import start_worker
from autograder.reports.formats import read_course_results
from autograder.suites.runner import Effort
from autograder.term.groups import Group, read_groups, write_groups


@dataclass(frozen=True)
class _Behavior:
    """What a text answers wrongly: the calls' keys, in their order, with what it gave; and the tests that it fails."""

    wrong: Mapping[str, Signature]
    functions: tuple[str, ...]
    failed: tuple[str, ...]

    def same(self, other: _Behavior) -> bool:
        """Whether both give the same wrong answers to the same calls, up to rounding."""
        return self.wrong.keys() == other.wrong.keys() and all(
            signature.agrees(other.wrong[key]) for key, signature in self.wrong.items()
        )


@dataclass
class _Found:
    behavior: _Behavior
    submissions: list[Grade] = field(default_factory=list)


def find_groups(course: Course, results: Path, *, locked: bool = True) -> list[Group]:
    """The groups among the results, the largest first; kept beside them.

    Raises:
        CourseError: the results make no sense, or hold no texts.
    """
    grades = read_course_results(course, results)
    sources = read_sources(results)
    if not sources:
        raise CourseError(f"{results} holds no texts. Grade once more with --force, and they are kept.")
    groups: list[Group] = []
    for exercise in course.exercises:
        open_ones = [
            grade
            for grade in grades
            if any(e.name == exercise.name and e.status == "failed" and not e.hints for e in grade.exercises)
            and exercise.name in sources.get(grade.submission, {})
        ]
        if open_ones:
            groups += _of_exercise(course, exercise, open_ones, sources, locked)
    groups.sort(key=lambda group: (-len(group.submissions), group.id))
    write_groups(results, groups)
    return groups


def _of_exercise(
    course: Course,
    exercise: Exercise,
    grades: Sequence[Grade],
    sources: Mapping[str, Mapping[str, str]],
    locked: bool,
) -> Iterator[Group]:
    grader = Grader.start(course, [exercise], EVERYTHING, start_worker(), locked=locked)
    found: list[_Found] = []
    known: dict[str, _Behavior] = {}
    try:
        for grade in grades:
            text = sources[grade.submission][exercise.name]
            behavior = known.get(text) or known.setdefault(text, behavior_of(grader, exercise, text))
            if not behavior.wrong:
                continue
            group = next((group for group in found if group.behavior.same(behavior)), None)
            if group is None:
                group = _Found(behavior)
                found.append(group)
            group.submissions.append(grade)
    finally:
        grader.worker.close()
    for group in found:
        first = next(e for e in group.submissions[0].exercises if e.name == exercise.name)
        test = next(test for test in first.tests if test.status == "failed")
        name = f"{exercise.name}-{digest(' '.join(group.behavior.wrong))[:6]}"
        if sum(name == f"{exercise.name}-{digest(' '.join(other.behavior.wrong))[:6]}" for other in found) > 1:
            name += f"-{found.index(group) + 1}"
        names = tuple(grade.submission for grade in group.submissions)
        yield Group(name, exercise.name, names, group.behavior.functions, test.title, test.feedback)


def behavior_of(grader: Grader, exercise: Exercise, text: str) -> _Behavior:
    """What a text answers wrongly, on right foundations."""
    outcomes = grader.run(exercise, {**grader.stand_ins(exercise), exercise.name: text}, Effort(search=False)).outcomes
    calls = keyed(chosen_calls(outcomes))
    right = grader.knowledge(exercise.name).right(calls)
    facts = [fact for fact in evidence(calls) if fact.key in right and not fact.signature.agrees(right[fact.key])]
    functions = tuple(dict.fromkeys(fact.target.split(".")[0] for fact in facts))
    failed = tuple(outcome.test.name for outcome in outcomes if outcome.status != "passed")
    return _Behavior({fact.key: fact.signature for fact in facts}, functions, failed)


def draft(course: Course, results: Path, name: str) -> tuple[Path, str, bool]:
    """Adds the entry of a new known mistake to the exercise's file, without its hint.

    Returns:
        The file, the mistake's id, and whether it behaves as the group does.

    Raises:
        CourseError: there is no such group, or no patch of the solution can be made of it.
    """
    groups = read_groups(results)
    group = next((group for group in groups if group.id == name), None)
    if group is None:
        there_are = f" There are: {', '.join(group.id for group in groups)}." if groups else ""
        raise CourseError(f"There is no group {name!r}; `autograder mistakes {results}` finds them.{there_are}")
    exercise, identifier = course.exercise(group.exercise), group.id.replace("_", "-")
    if any(mistake.id == identifier for mistake in known_mistakes(course, exercise.name)):
        raise CourseError(f"{identifier} is a known mistake already. Write its hint, or give it another name.")
    text = read_sources(results)[group.submissions[0]][exercise.name]
    solution = course.solution(exercise.name).read_text(encoding="utf-8")
    patch = "@@\n".join(_patches(solution, text, group.functions))
    patched = apply_patch(solution, patch)
    grader = Grader.start(course, [exercise], EVERYTHING, start_worker(), locked=True)
    try:
        ours, theirs = (behavior_of(grader, exercise, source) for source in (patched, text))
    finally:
        grader.worker.close()
    caught = ", ".join(f'"{test}"' for test in ours.failed)
    entry = (
        f'\n[[mistake]]\nid = "{identifier}"\n'
        f'hint = "{UNWRITTEN}: what should somebody read who did this?"\n'
        f"caught_by = [{caught}]\npatch = '''\n{patch}'''\n"
    )
    path = course.mistakes(exercise.name)
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_whole(path, old + entry)
    return path, identifier, ours.same(theirs)


def _patches(solution: str, text: str, functions: Sequence[str]) -> Iterator[str]:
    """For each function the change that makes the solution's do what a student's does; no comment comes along."""
    right, wrong = _definitions(solution), _definitions(text)
    lines = solution.splitlines()
    for name in functions:
        if name not in right or name not in wrong:
            raise CourseError(f"{name} is not defined in both texts, so its patch must be written by hand.")
        old, new = right[name], wrong[name]
        # The solution's own words stay, where there is a docstring.
        body = new.body[1:] if ast.get_docstring(new) is not None else new.body
        first = old.body[1] if ast.get_docstring(old) is not None and len(old.body) > 1 else old.body[0]
        begin, end = first.lineno - 1, old.end_lineno or old.lineno
        written = textwrap.indent("\n".join(map(ast.unparse, body)), " " * 4)
        if isinstance(old, ast.FunctionDef) and isinstance(new, ast.FunctionDef):
            before = [argument.arg for argument in ast.walk(old.args) if isinstance(argument, ast.arg)]
            if before != [argument.arg for argument in ast.walk(new.args) if isinstance(argument, ast.arg)]:
                raise CourseError(f"{name} has other arguments than the solution's: write its patch by hand.")
        if "'''" in written:
            raise CourseError(f"{name} holds ''' in a text: write its patch by hand.")
        yield "".join(f"-{line}\n" for line in lines[begin:end]) + "".join(
            f"+{line}\n" for line in written.splitlines()
        )


def _definitions(text: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    return {node.name: node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
