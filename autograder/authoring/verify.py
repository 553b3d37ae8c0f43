"""The instructor's gate: the course proves itself, exercise by exercise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from autograder.authoring.answers import other_answer
from autograder.authoring.coursemap import with_map
from autograder.authoring.coverage import coverage
from autograder.authoring.fairness import unfounded, unguided
from autograder.authoring.filled import filled
from autograder.authoring.mutants import standing
from autograder.authoring.skeleton import stub
from autograder.batch.cores import grading_pool
from autograder.course import LEVELS, Course, CourseError, Exercise, load_course
from autograder.diagnosis.catalogue import UNWRITTEN, known_mistakes
from autograder.diagnosis.diagnose import Diagnosis
from autograder.diagnosis.locate import Located
from autograder.diagnosis.reach import changed_lines
from autograder.grades import ExerciseGrade
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import Worker, start_worker
from autograder.submission import Submission
from autograder.suites.runner import Effort
from autograder.term.assignments import assignments, whole

POINTS, MISTAKES, ANSWERS = 10.0, 12, 4  # what docs/writing-exercises.md asks of an exercise


@dataclass
class Proof:
    """What `verify` found out about one exercise.

    Attributes:
        undiagnosed: the known mistakes that are not named to a student who makes them, and why.
        located: mistakes whose place is a changed line, with the catalogue put away; `elsewhere`, another line.
        complaints: what is wrong, in sentences; empty when the exercise is in order.
    """

    name: str
    tests: int = 0
    points: float = 0.0
    mutants: str = ""
    mistakes: int = 0
    caught: int = 0
    diagnosed: int = 0
    seen: str = ""
    unfounded: int = 0
    located: int = 0
    elsewhere: int = 0
    answers: int = 0
    accepted: int = 0
    filled: int = 0
    opened: int = 0
    undiagnosed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The exercise in one line."""
        return (
            f"{self.name}: {self.tests} tests, {self.points:g} points, "
            f"mistakes caught {self.caught} of {self.mistakes}, {self.mutants}, "
            f"{self.seen}, hidden tests without a sentence {self.unfounded}, "
            f"diagnosed {self.diagnosed} of {self.mistakes}, "
            f"located {self.located} and {self.elsewhere} elsewhere, "
            f"right answers accepted {self.accepted} of {self.answers}, in the open stub {self.opened} of {self.filled}"
        )


def verify(
    course: Course, exercises: Sequence[Exercise], processes: int, sample: int = 1, mistake: str = ""
) -> Iterator[Proof]:
    """Verifies exercises side by side; gives their reports in the course's order.

    Args:
        course: the course.
        exercises: which.
        processes: how many at a time.
        sample: only every so-many-th known mistake.
        mistake: the one known mistake that is looked at, and nothing else of its exercise.

    Raises:
        CourseError: no exercise has this mistake.
    """
    if mistake:
        exercises = [e for e in exercises if mistake in {known.id for known in known_mistakes(course, e.name)}]
        if not exercises:
            raise CourseError(f"There is no known mistake {mistake!r}.")
    yield Proof("files", complaints=[] if mistake else [*_files(course)])
    jobs = [(course.root, exercise.name, sample, mistake) for exercise in exercises]
    if processes == 1 or len(jobs) == 1:
        try:
            yield from map(_verify_one, jobs)
        finally:
            _worker().close()
            _worker.cache_clear()
        return
    with grading_pool(processes) as pool:
        # The longest first, so that no process is left waiting for another at the end.
        longest_first = sorted(jobs, key=lambda job: -_size(course.mistakes(job[1])))
        reports = {job: pool.submit(_verify_one, job) for job in longest_first}
        for job in jobs:
            yield reports[job].result()


def _files(course: Course) -> Iterator[str]:
    yield from stray_files(course)
    try:
        assignments(course)
        whole(course)
    except CourseError as error:
        yield str(error)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def stray_files(course: Course) -> Iterator[str]:
    """Files that belong to no exercise, in folders where every file belongs to one."""
    for folder, suffix, prefix in (
        ("exercises", ".py", ""),
        ("solutions", ".py", ""),
        ("tests/visible", ".py", "test_"),
        ("tests/hidden", ".py", "test_"),
        ("tests/mistakes", ".toml", ""),
        ("tests/standins", ".py", ""),
        ("tests/answers", "", ""),
    ):
        expected = {f"{prefix}{name}{suffix}" for name in course.names} | {"__pycache__"}
        for path in sorted((course.root / folder).iterdir()) if (course.root / folder).is_dir() else ():
            if path.name not in expected:
                yield f"{folder}/{path.name} belongs to no exercise of course.toml"
    readme = course.root / "README.md"
    if readme.is_file() and (text := readme.read_text(encoding="utf-8")) != with_map(text, course):
        yield "the map of the exercises in README.md is not what course.toml gives: run `make exercises`"


def _verify_one(job: tuple[Path, str, int, str]) -> Proof:
    course = load_course(job[0])
    exercise = course.exercise(job[1])
    report = Proof(exercise.name)
    try:
        grader = Grader.start(course, [exercise], EVERYTHING, _worker(), locked=False)
        _Verification(course, exercise, grader, report, *job[2:]).run()
    except (CourseError, OSError) as error:
        report.complaints.append(str(error))
    return report


@cache
def _worker() -> Worker:
    """One for all that this process verifies: what it has imported, it need not import again. It ends when we do."""
    return start_worker()


@dataclass
class _Verification:
    course: Course
    exercise: Exercise
    grader: Grader
    report: Proof
    sample: int
    mistake: str = ""

    def run(self) -> None:
        tests = self.grader.suites.tests(self.exercise.name)
        self.report.tests, self.report.points = len(tests), sum(test.worth for test in tests)
        solution = self.course.solution(self.exercise.name).read_text(encoding="utf-8")
        self.report.mutants = standing(self.course, self.exercise.name)
        if self.mistake:
            self.check_mistakes()
            return
        self.check_guide()
        self.check_stubs(solution)
        self.expect_full_marks("the solution", self.grade(solution))
        self.check_mistakes()
        found = coverage(self.course, self.exercise, self.grader.worker, self.sample)
        self.report.seen = found.words()
        for complaint in found.complaints():
            self.complain(complaint)
        for number, path in enumerate(self.course.answers(self.exercise.name)):
            self.report.answers += 1
            answer, label = path.read_text(encoding="utf-8"), f"the right answer {path.stem}"
            self.report.accepted += self.expect_full_marks(label, self.grade(answer))
            if number % self.sample == 0:
                self.report.filled += 1
                self.report.opened += self.check_filled(label, solution, answer)

    def grade(self, source: str) -> ExerciseGrade:
        """Grades one text as the exercise, on right foundations."""
        name = self.exercise.name
        return self.grader.grade_exercise(Submission("verify", {name: source}), self.exercise, passed=())

    def judge(self, source: str) -> tuple[ExerciseGrade, Diagnosis, Located]:
        """Runs and judges a wrong text on right foundations; nobody will read it, so no smallest example is sought."""
        sources = {**self.grader.stand_ins(self.exercise), self.exercise.name: source}
        run = self.grader.run(self.exercise, sources, Effort(search=False))
        diagnosis = self.grader.diagnosis(run)
        return self.grader.marks(run), diagnosis, self.grader.located(run, diagnosis)

    @property
    def solution(self) -> str:
        """The solution's text."""
        return self.course.solution(self.exercise.name).read_text(encoding="utf-8")

    def check_stubs(self, solution: str) -> None:
        path = self.course.stub(self.exercise.name)
        if not path.is_file() or path.read_text(encoding="utf-8") != stub(solution, self.exercise.level):
            self.complain(f"exercises/{path.name} is not what its solution gives: run `make exercises`")
        for text in dict.fromkeys(stub(solution, level) for level in LEVELS):
            self.check_stub(text)

    def check_stub(self, text: str) -> None:
        grade = self.grade(text)
        if grade.status != "not_started" or grade.score:
            self.complain(f"the stub is {grade.status} with {grade.score:g} points, and should be not started with 0")
        # One hole less counts as started, so that the stub itself is loaded and run.
        begun, *_ = self.judge(text.replace("# FINISH ME", "# finish me", 1))
        if begun.status != "failed":
            self.complain(f"a stub that was begun is {begun.status}: {begun.tests[0].feedback}")

    def check_filled(self, label: str, solution: str, answer: str) -> bool:
        """Whether an open stub that is filled by an answer of another style gets full marks."""
        text = filled(stub(solution, "open"), answer)
        return self.expect_full_marks(f"the open stub, filled by {label},", self.grade(text))

    def check_guide(self) -> None:
        """What docs/writing-exercises.md asks of every exercise, in numbers."""
        if abs(self.report.points - POINTS) > 1e-9:
            self.complain(f"its tests are worth {self.report.points:g} points, and {POINTS:g} are asked")
        known = known_mistakes(self.course, self.exercise.name)
        if len(known) < MISTAKES:
            self.complain(f"it has {len(known)} of the {MISTAKES} known mistakes that are asked")
        if unwritten := [mistake.id for mistake in known if mistake.hint.startswith(UNWRITTEN)]:
            self.complain(f"the hint of {', '.join(unwritten)} is still to be written")
        unfair = unfounded(self.course, self.exercise.name)
        self.report.unfounded = len(unfair)
        for complaint in (*unfair, *unguided(self.course, self.exercise)):
            self.complain(complaint)
        if (number := len(self.course.answers(self.exercise.name))) < ANSWERS:
            self.complain(f"it has {number} of the {ANSWERS} right answers in other styles that are asked")

        try:
            other_answer(self.course, self.exercise.name)
        except CourseError:
            self.complain("none of its right answers says in its docstring what it does better (`Better: …`)")

    def check_mistakes(self) -> None:
        wanted = [m for m in known_mistakes(self.course, self.exercise.name) if self.mistake in ("", m.id)]
        for mistake in wanted[:: self.sample]:
            self.report.mistakes += 1
            grade, diagnosis, found = self.judge(mistake.source)
            lines, changed = {place.line for place in found.places}, changed_lines(self.solution, mistake.source)
            self.report.located += bool(lines & changed)
            self.report.elsewhere += bool(lines - changed)
            lost = {test.name for test in grade.tests if test.status != "passed"}
            missed = [name for name in mistake.caught_by if name not in lost]
            if not lost or grade.status == "error":
                self.complain(f"the mistake {mistake.id} is {grade.status} and loses no points for it")
            elif missed:
                self.complain(
                    f"the mistake {mistake.id} is not caught by {', '.join(missed)}, but by {', '.join(lost)}"
                )
            else:
                self.report.caught += 1
            named = {hint.mistake for hint in diagnosis.hints(found.at)}
            self.report.diagnosed += mistake.id in named
            if mistake.id not in named:
                self.report.undiagnosed.append(f"not diagnosed: {mistake.id}: {_why_not(mistake.id, diagnosis)}")
            # With this mistake out of the catalogue, whatever is named is not what was done.
            unknown = {hint.mistake for hint in diagnosis.hints(found.at, without=mistake.id)}
            for wrong in (named | unknown) - {mistake.id}:
                self.complain(f"the mistake {mistake.id} is taken for {wrong}")

    def expect_full_marks(self, what: str, grade: ExerciseGrade) -> bool:
        if grade.status == "passed":
            return True
        failed = next(test for test in grade.tests if test.status != "passed")
        self.complain(f"{what} is {grade.status} at {failed.name}: {failed.feedback}")
        return False

    def complain(self, sentence: str) -> None:
        self.report.complaints.append(f"{self.exercise.name}: {sentence}")


def _why_not(mistake: str, diagnosis: Diagnosis) -> str:
    if not diagnosis.wrong:
        return "no recorded call gives another answer; what shows it stands after the calls"
    if all(suspect.hint.mistake != mistake for suspect in diagnosis.possible):
        return "replayed, it gives something else than was recorded, or nothing that tells (random numbers of its own?)"
    if others := [s.hint.mistake for s in diagnosis.possible if s.hint.mistake != mistake]:
        return f"the calls fit {', '.join(others)} as well"
    return f"it does not explain all that goes wrong in {', '.join(sorted(diagnosis.wrong))}"
