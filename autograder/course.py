"""The table of contents: `course.toml` as a `Course`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.files import PROGRAM
from autograder.versions import TooNew, require_format

HOLE = re.compile(r"^[ \t]*+(?:[^#\n]*?=[ \t]*+|return[ \t]++)?\.\.\.[ \t]*+#[ \t]*+FINISH ME\b", re.MULTILINE)
FORMAT = 1  # of course.toml
_TABLES = {"format", "title", "defaults", "exercise", "policy", "assignment"}
_ANSWER = re.compile(r"# (?:FINISH ME|BEGIN SOLUTION)\b")
# How much a stub leaves open: every answer; these, but the last function as a whole; every function as a whole.
LEVELS = ("guided", "fading", "open")
WHOLE = "the whole function"


class GraderError(Exception):
    """The grader itself failed, and no submission is to blame; the message says why."""


class CourseError(Exception):
    """The course's own files, or what was asked of it, make no sense; the message says where and why."""


@dataclass(frozen=True)
class Budget:
    """How long things may take, in seconds.

    Attributes:
        call: one call.
        load: loading the module.
        exercise: everything in one exercise.
        restarts: how many times an exercise gets a fresh process after one that hung or died.
    """

    call: float = 10.0
    load: float = 30.0
    exercise: float = 120.0
    restarts: int = 2


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: the module's name.
        title: what a student calls it.
        part: the part of the course that it belongs to.
        builds_on: earlier exercises that its module imports.
        minutes: how long it takes, about.
        difficulty: 1 (first steps) to 5.
        built: what the student has built when it passes, as the end of "You have built ...".
        libraries: what the worker imports before student code runs, besides the course's own list.
        hints: for each function or class with holes, from a nudge to nearly all of it; never the answer.
        budget: how long its calls may take.
        memory_mib: how much memory student code may take.
        level: one of `LEVELS`.
        core: whether it is on the core path, the shorter way through the course.
    """

    name: str
    title: str
    part: str
    builds_on: tuple[str, ...]
    minutes: int
    difficulty: int
    built: str
    libraries: tuple[str, ...]
    hints: tuple[tuple[str, tuple[str, ...]], ...]
    budget: Budget
    memory_mib: int
    level: str = "guided"
    core: bool = False


@dataclass(frozen=True)
class Course:
    """The course in a folder."""

    root: Path
    title: str
    exercises: tuple[Exercise, ...]
    policy: dict[str, Any] = field(default_factory=dict)
    assignments: tuple[dict[str, Any], ...] = ()  # as they are written; `term.assignments` makes sense of them

    @property
    def names(self) -> tuple[str, ...]:
        """The exercises' names in the course's order."""
        return tuple(exercise.name for exercise in self.exercises)

    @property
    def core(self) -> tuple[str, ...]:
        """The core path, in the course's order; empty where it would be no exercise or all of them."""
        core = tuple(exercise.name for exercise in self.exercises if exercise.core)
        return core if core != self.names else ()

    def exercise(self, name: str) -> Exercise:
        """The exercise of this name."""
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        raise CourseError(f"There is no exercise called {name!r}. The exercises are: {', '.join(self.names)}.")

    def select(self, names: Sequence[str]) -> tuple[Exercise, ...]:
        """The named exercises in the course's order; all of them for no names. A file's name will do."""
        if not names:
            return self.exercises
        wanted = {self.exercise(Path(name).stem).name for name in names}
        return tuple(exercise for exercise in self.exercises if exercise.name in wanted)

    def suite(self, name: str, visibility: str) -> Path:
        """The exercise's suite, "visible" or "hidden"."""
        return self.root / "tests" / visibility / f"test_{name}.py"

    def solution(self, name: str) -> Path:
        """The exercise's solution."""
        return self.root / "solutions" / f"{name}.py"

    def stub(self, name: str) -> Path:
        """The exercise as students get it."""
        return self.root / "exercises" / f"{name}.py"

    def stand_in(self, name: str) -> Path:
        """The reference used in place of a failed earlier exercise; built on a library, not on the solution."""
        return self.root / "tests" / "standins" / f"{name}.py"

    def fresh_stub(self, name: str, level: str) -> Path:
        """The exercise before anybody touched it, in a release, where there is no solution to make it of."""
        return self.root / "tests" / "stubs" / level / f"{name}.py"

    def mistakes(self, name: str) -> Path:
        """The exercise's known mistakes."""
        return self.root / "tests" / "mistakes" / f"{name}.toml"

    def fingerprints(self, name: str) -> Path:
        """What a release knows of the mistakes, in numbers."""
        return self.root / "tests" / "fingerprints" / f"{name}.json"

    @property
    def exercises_folder(self) -> Path:
        """Where students work."""
        return self.root / "exercises"

    @property
    def support(self) -> Path:
        """What suites share: modules that they import by their plain names."""
        return self.root / "tests" / "support"

    def depends_on(self, name: str) -> list[Path]:
        """The files that decide what grade and which words an answer to the exercise gets, whether there or not."""
        suites = [self.suite(name, visibility) for visibility in ("visible", "hidden")]
        shared = sorted(self.support.glob("*.py"))
        return [*suites, self.mistakes(name), self.stand_in(name), self.solution(name), self.stub(name), *shared]

    def other_answer(self, name: str) -> Path:
        """A right answer in another style, in a release whose instructor gives one."""
        return self.root / "answers" / f"{name}.py"

    def answers(self, name: str) -> list[Path]:
        """Right answers in other styles than the solution's."""
        return sorted((self.root / "tests" / "answers" / name).glob("*.py"))


def holes(source: str) -> list[int]:
    """The numbers of the lines that still hold a `...  # FINISH ME`."""
    return [source.count("\n", 0, match.start()) + 1 for match in HOLE.finditer(source)]


def marked_answers(solution: str) -> int:
    """How many answers a solution marks: its stub has as many holes, and takes a tenth of a second to make."""
    return len(_ANSWER.findall(solution))


def untouched(solution: str) -> list[tuple[int, int]]:
    """For each of `LEVELS`, how many holes a solution's stub has, and how many of these are whole functions."""
    marks = [solution.count("\n", 0, match.start()) + 1 for match in _ANSWER.finditer(solution)]
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(solution))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    inside = [sum(first <= mark <= last for mark in marks) for first, last in sorted(spans)]
    answers = [number for number in inside if number]
    rest = len(marks) - sum(answers)
    fading = (len(marks) - answers[-1] + 1, 1) if answers else (len(marks), 0)
    return [(len(marks), 0), fading, (rest + len(answers), len(answers))]


def counted(stub: str) -> tuple[int, int]:
    """How many holes a text has, and how many of these are whole functions."""
    return len(holes(stub)), len(re.findall(rf"# FINISH ME: {WHOLE}\b", stub))


def place_of(source: str, line: int) -> str:
    """The function that a line is in, with its classes, as `Thing.last`, also in a text that does not parse."""
    lines = source.splitlines()
    if not 0 < line <= len(lines):
        return ""
    depth, names = len(lines[line - 1]) - len(lines[line - 1].lstrip()), list[str]()
    for text in reversed(lines[: line - 1]):
        begun = re.match(r"( *)(?:async def|def|class) +(\w+)", text)
        if begun and len(begun[1]) < depth:
            depth = len(begun[1])
            names.insert(0, begun[2])
    return ".".join(names)


def find_course(start: Path | None = None) -> Course:
    """The course of the folder `start` or the nearest above it, else the one that this program stands in."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, PROGRAM.parent):
        if (folder / "course.toml").is_file():
            return load_course(folder)
    raise CourseError(f"There is no course.toml in {start} or above it. Run this inside the course's folder.")


def load_course(root: Path) -> Course:
    """Reads `course.toml` in `root`.

    Raises:
        CourseError: it is missing, is no TOML, or an entry is incomplete or unknown.
    """
    path = root / "course.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    try:
        require_format(table, FORMAT, str(path))
        defaults = {"budget": {}, "memory_mib": 2048, "libraries": [], **table.get("defaults", {})}
        if unknown := set(table) - _TABLES:
            raise ValueError(f"{', '.join(sorted(unknown))} is unknown")
        entries = table["exercise"]
        # Unless the course says otherwise, its first part takes a student by the hand, and the others let go.
        fading = defaults.get("level", "fading")
        first = entries[0].get("part") if "level" not in defaults else None
        exercises = tuple(_exercise(e, defaults, "guided" if e.get("part") == first else fading) for e in entries)
        course = Course(root, table["title"], exercises, table.get("policy", {}), tuple(table.get("assignment", ())))
    except TooNew as error:
        raise CourseError(str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CourseError(f"{path} is not complete: {error}") from None
    _check_order(course)
    return course


def _level(name: str, level: str) -> str:
    if level not in LEVELS:
        raise ValueError(f"{name}: the level {level!r} is none of {', '.join(LEVELS)}")
    return level


def _is_true(name: str, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {key} is true or false, and not {value!r}")
    return value


def _exercise(entry: dict[str, Any], defaults: dict[str, Any], default_level: str) -> Exercise:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", entry["name"]):
        raise ValueError(f"{entry['name']!r} is no module's name")
    known = set(Exercise.__dataclass_fields__)
    if unknown := set(entry) - known:
        raise ValueError(f"{entry['name']}: {', '.join(sorted(unknown))} is unknown")
    return Exercise(
        name=entry["name"],
        title=entry["title"],
        part=entry["part"],
        builds_on=tuple(entry.get("builds_on", ())),
        minutes=int(entry["minutes"]),
        difficulty=int(entry["difficulty"]),
        built=entry["built"],
        libraries=(*defaults["libraries"], *entry.get("libraries", ())),
        hints=_hints(entry["name"], entry.get("hints", {})),
        budget=Budget(**{**defaults["budget"], **entry.get("budget", {})}),
        memory_mib=int(entry.get("memory_mib", defaults["memory_mib"])),
        level=_level(entry["name"], entry.get("level", default_level)),
        core=_is_true(entry["name"], "core", entry.get("core", False)),
    )


def _hints(name: str, entry: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """By function; a plain list is for an exercise that is one function, of its own name."""
    by_function = {name: entry} if isinstance(entry, list) else entry
    return tuple((place, tuple(told)) for place, told in by_function.items())


def _check_order(course: Course) -> None:
    seen: set[str] = set()
    for exercise in course.exercises:
        if exercise.name in seen:
            raise CourseError(f"course.toml lists {exercise.name} twice.")
        if later := set(exercise.builds_on) - seen:
            raise CourseError(f"course.toml: {exercise.name} builds on {', '.join(sorted(later))}, which comes later.")
        seen.add(exercise.name)


def foundations(course: Course, exercise: Exercise) -> list[str]:
    """All that an exercise builds on, directly or not, in the course's order."""
    found: set[str] = set()
    queue = list(exercise.builds_on)
    while queue:
        base = queue.pop()
        if base not in found:
            found.add(base)
            queue += course.exercise(base).builds_on
    return [name for name in course.names if name in found]


def with_foundations(course: Course, exercises: Sequence[Exercise]) -> list[Exercise]:
    """The exercises and all that they build on, in the course's order."""
    names = {exercise.name for exercise in exercises}
    for exercise in exercises:
        names.update(foundations(course, exercise))
    return [exercise for exercise in course.exercises if exercise.name in names]
