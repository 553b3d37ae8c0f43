"""One submission → one grade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from autograder.course import Course, Exercise, holes
from autograder.diagnosis.diagnose import Diagnosis, Knowledge, diagnose
from autograder.diagnosis.fingerprints import holes_of_stub, knowledge
from autograder.diagnosis.reach import foundations_within
from autograder.grades import ExerciseGrade, Grade, TestResult
from autograder.isolation.between.messages import UNPROTECTED, Limits
from autograder.isolation.near.remote import Session, Stopped
from autograder.isolation.near.worker import Confinement, Worker
from autograder.submission import Submission
from autograder.suites.explain import Explainer
from autograder.suites.runner import Outcome, Suites

VISIBLE = ("visible",)
HIDDEN = ("hidden",)
EVERYTHING = VISIBLE + HIDDEN
Opener = Callable[[Sequence[str]], Session]
DEFINITIONS = 100  # in a submission's file; what comes after them is not looked at
OUTPUT_LIMIT = 20_000  # characters of a student's output that an instructor may see


@dataclass
class Grader:
    """Grades submissions one after the other, with the suites collected and a worker warm.

    Attributes:
        exercises: what is graded, in the course's order.
        locked: whether submissions are shut in.
        known: what is known of the exercises' calls, once it was needed.
    """

    course: Course
    exercises: Sequence[Exercise]
    suites: Suites
    worker: Worker
    locked: bool
    known: dict[str, Knowledge] = field(default_factory=dict)

    @classmethod
    def start(
        cls, course: Course, exercises: Sequence[Exercise], visibilities: Sequence[str], worker: Worker, *, locked: bool
    ) -> Self:
        """Collects the suites while the worker imports the libraries."""
        needed = with_foundations(course, exercises)
        worker.prepare(list(dict.fromkeys(library for exercise in needed for library in exercise.libraries)))
        return cls(course, exercises, Suites(course, needed, visibilities), worker, locked)

    def grade(self, submission: Submission, known: Mapping[str, ExerciseGrade] | None = None) -> Grade:
        """Grades every exercise that is not `known`; what an exercise builds on is graded before it."""
        found: dict[str, ExerciseGrade] = dict(known or {})
        for exercise in with_foundations(self.course, self.exercises):
            if exercise.name not in found:
                found[exercise.name] = self.grade_exercise(submission, exercise, found)
        wanted = tuple(found[exercise.name] for exercise in self.exercises)
        protection = self.worker.protection if self.locked else UNPROTECTED
        return Grade(submission.name, wanted, protection, tuple(submission.notes))

    def grade_exercise(
        self, submission: Submission, exercise: Exercise, earlier: dict[str, ExerciseGrade]
    ) -> ExerciseGrade:
        """Grades one exercise, given the grades of those that it builds on."""
        name = exercise.name
        source = submission.sources.get(name)
        if name in submission.problems:
            return self._ungraded(name, "error", submission.problems[name])
        if source is None:
            return self._ungraded(name, "missing", f"There is no {name}.py.")
        left, total = holes(source), holes_of_stub(self.course, name)
        if left and len(left) >= total:
            grade = self._ungraded(name, "not_started", f"{name}.py is not started: {len(left)} holes are left.")
            return replace(grade, holes=tuple(left), holes_total=total)
        carried = tuple(base for base in foundations(self.course, exercise) if earlier[base].status != "passed")
        sources = dict(submission.sources)
        for base in carried:
            sources[base] = self.course.stand_in(base).read_text(encoding="utf-8")
        grade = self.judge(exercise, sources, *self.run(exercise, sources))
        return replace(grade, carried_forward=carried, holes=tuple(left), holes_total=total)

    def stand_ins(self, exercise: Exercise) -> dict[str, str]:
        """Right sources of all that an exercise builds on."""
        bases = foundations(self.course, exercise)
        return {base: self.course.stand_in(base).read_text(encoding="utf-8") for base in bases}

    def survives(self, exercise: Exercise, source: str) -> bool:
        """Whether a text passes all of an exercise, on right foundations; stops at the first test that it fails."""
        outcomes, _ = self.run(exercise, {**self.stand_ins(exercise), exercise.name: source}, until_failed=True)
        return all(outcome.status == "passed" for outcome in outcomes)

    def run(
        self, exercise: Exercise, sources: Mapping[str, str], until_failed: bool = False, search: bool = True
    ) -> tuple[list[Outcome], Session]:
        """Runs the suites on sources and says what came of it, with the session that all calls went through.

        See `Suites.run` for the last two arguments.
        """
        sessions: list[Session] = []

        def open_session(readable: Sequence[str]) -> Session:
            limits = Limits(exercise.memory_mib, int(exercise.budget.exercise))
            confinement = Confinement(self.locked, limits)
            session = Session(self.worker, exercise.name, sources, exercise.budget, confinement, readable)
            sessions.append(session)
            return session

        return self.suites.run(exercise.name, open_session, until_failed=until_failed, search=search), sessions[-1]

    def judge(
        self, exercise: Exercise, sources: Mapping[str, str], outcomes: Sequence[Outcome], session: Session
    ) -> ExerciseGrade:
        """What a run of the suites comes to: points, words and hints."""
        grade = self.marks(exercise, sources, outcomes, session)
        return replace(grade, hints=tuple(self.diagnosis(exercise, sources, outcomes, session).hints()))

    def marks(
        self, exercise: Exercise, sources: Mapping[str, str], outcomes: Sequence[Outcome], session: Session
    ) -> ExerciseGrade:
        """Points and words, without hints."""
        explainer = Explainer(exercise.name, sources[exercise.name], session.definitions, exercise.budget.call)
        if session.loading_trouble and not session.calls:
            kind = session.loading_trouble.kind
            status = kind if kind in ("timeout", "crashed") else "error"
            return self._ungraded(exercise.name, status, explainer.loading(session.loading_trouble))
        tests = tuple(_result(outcome, explainer) for outcome in outcomes)
        output = "".join(call.output for call in session.calls)[:OUTPUT_LIMIT]
        lines = {name: max(first, 1) for name, (first, _) in _definitions(session).items()}
        return ExerciseGrade(exercise.name, _status(outcomes), tests, output=output, lines=lines)

    def diagnosis(
        self, exercise: Exercise, sources: Mapping[str, str], outcomes: Sequence[Outcome], session: Session
    ) -> Diagnosis:
        """Which known mistakes a run of the suites points to."""
        uses = foundations_within(sources[exercise.name], _definitions(session))
        return diagnose(outcomes, self.knowledge(exercise.name), uses)

    def knowledge(self, name: str) -> Knowledge:
        """What is known of the exercise's calls; kept, for the next submission is asked the same."""
        if name not in self.known:
            self.known[name] = knowledge(self.course, name)
        return self.known[name]

    def _ungraded(self, name: str, status: str, feedback: str) -> ExerciseGrade:
        tests = (
            TestResult(test.name, test.title, test.visibility, "not_run", 0.0, test.worth, feedback)
            for test in self.suites.tests(name)
        )
        return ExerciseGrade(name, status, tuple(tests))


def _definitions(session: Session) -> dict[str, tuple[int, int]]:
    return dict([*session.definitions.items()][:DEFINITIONS])


def _result(outcome: Outcome, explainer: Explainer) -> TestResult:
    test, status = outcome.test, outcome.status
    if isinstance(outcome.error, Stopped) and not outcome.calls:
        status = "not_run"  # its process had died too often, or its time was up, before it could ask anything
    feedback = "" if outcome.status == "passed" else explainer.explain(outcome)
    return TestResult(
        test.name, test.title, test.visibility, status, test.worth if status == "passed" else 0.0, test.worth, feedback
    )


def _status(outcomes: Iterable[Outcome]) -> str:
    kinds = [outcome.error.trouble.kind for outcome in outcomes if isinstance(outcome.error, Stopped)]
    if kinds:
        return "timeout" if "timeout" in kinds else "crashed"
    return "passed" if all(outcome.status == "passed" for outcome in outcomes) else "failed"


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
