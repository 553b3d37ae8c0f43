"""One submission → one grade."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self, cast

from autograder.course import Budget, Course, Exercise, foundations, holes, with_foundations
from autograder.diagnosis.diagnose import NOTHING, Diagnosis, Knowledge, diagnose
from autograder.diagnosis.fingerprints import knowledge
from autograder.diagnosis.locate import Located, locate
from autograder.diagnosis.reach import foundations_within
from autograder.grades import VISIBILITIES, ExerciseGrade, ExerciseStatus, Grade, Place, TestResult, Visibility
from autograder.isolation.between.messages import UNPROTECTED
from autograder.isolation.near.remote import Session, Stopped, Unfit
from autograder.isolation.near.worker import Worker
from autograder.stubs import holes_of_stub, is_untouched
from autograder.submission import Submission
from autograder.suites.explain import Explainer, Explanation
from autograder.suites.limits import contained
from autograder.suites.plugin import Sources
from autograder.suites.runner import Begun, Effort, Outcome, Run, Suites

EVERYTHING = VISIBILITIES
VISIBLE, HIDDEN = EVERYTHING[:1], EVERYTHING[1:]
DEFINITIONS = 100  # in a submission's file; what comes after them is not looked at
AGAIN = Budget(call=3.0, load=10.0, exercise=10.0, restarts=0)  # for calls that are made again to see their steps
PRINTED_LINES, PRINTED_WIDTH = 12, 200  # of what was printed, beside a test
OUTPUT_LIMIT = 20_000  # characters of a student's output that an instructor may see


class Attempt(NamedTuple):
    """An exercise of a submission after its visible tests.

    Attributes:
        carried: what it builds on that is not the submission's own.
        opener: opens its sources.
        begun: what came of the visible tests.
    """

    carried: tuple[str, ...]
    opener: Sources
    begun: Begun


@dataclass
class Grader:
    """Grades submissions one after the other, with the suites collected and a worker warm.

    Attributes:
        exercises: what is graded, in the course's order.
        locked: whether submissions are shut in.
        learned: what is known of the exercises' calls, once it was needed.
    """

    course: Course
    exercises: Sequence[Exercise]
    suites: Suites
    worker: Worker
    locked: bool
    learned: dict[str, Knowledge] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        course: Course,
        exercises: Sequence[Exercise],
        visibilities: Sequence[Visibility],
        worker: Worker,
        *,
        locked: bool,
    ) -> Self:
        """Collects the suites while the worker imports the libraries."""
        needed = with_foundations(course, exercises)
        worker.prepare(list(dict.fromkeys(library for exercise in needed for library in exercise.libraries)))
        return cls(course, exercises, Suites(course, needed, visibilities), worker, locked)

    def grade(
        self,
        submission: Submission,
        reusable: Mapping[str, ExerciseGrade] | None = None,
        said: Callable[[ExerciseGrade], None] = lambda grade: None,
    ) -> Grade:
        """Grades every exercise that is not `reusable`, each after what it builds on, and has each `said` when it is.

        The visible tests of all exercises run before any hidden one: whatever a process could leave for a later one,
        what a hidden test has shown to student code is not told by the words on a visible one.
        """
        found: dict[str, ExerciseGrade] = dict(reusable or {})
        fine = {name for name, grade in found.items() if grade.status == "passed"}
        left = [exercise for exercise in with_foundations(self.course, self.exercises) if exercise.name not in found]
        hidden = any(test.visibility in HIDDEN for exercise in left for test in self.suites.tests(exercise.name))
        for together in [left] if hidden else [[exercise] for exercise in left]:
            started: dict[str, Attempt | ExerciseGrade | None] = {}
            for exercise in together:
                attempt: Attempt | ExerciseGrade | None = self._begin(submission, exercise, fine)
                if isinstance(attempt, Attempt):
                    fine |= {exercise.name} if attempt.begun.passed else set()
                    attempt = None if attempt.begun.session and attempt.begun.session.is_large else attempt
                started[exercise.name] = attempt
            for exercise in together:
                passed = [name for name, grade in found.items() if grade.status == "passed"]
                found[exercise.name], _ = self._finish(submission, exercise, started[exercise.name], passed)
                said(found[exercise.name])
        wanted = tuple(found[exercise.name] for exercise in self.exercises)
        protection = self.worker.protection if self.locked else UNPROTECTED
        return Grade(submission.name, wanted, protection, tuple(submission.notes), submission.unreadable)

    def grade_exercise(self, submission: Submission, exercise: Exercise, passed: Collection[str]) -> ExerciseGrade:
        """Grades one exercise on the submission's own work where that has `passed`, and else on stand-ins."""
        return self.judged(submission, exercise, passed)[0]

    def judged(
        self, submission: Submission, exercise: Exercise, passed: Collection[str]
    ) -> tuple[ExerciseGrade, Run | None]:
        """The same, with the run that the grade is about; None where nothing was run."""
        return self._finish(submission, exercise, self._begin(submission, exercise, passed), passed)

    def _begin(self, submission: Submission, exercise: Exercise, passed: Collection[str]) -> Attempt | ExerciseGrade:
        """Runs the visible tests of an exercise; or says why none of its tests can run."""
        name = exercise.name
        source = submission.sources.get(name)
        if name in submission.problems:
            return self._ungraded(name, "error", submission.problems[name])
        if source is None:
            return self._ungraded(name, "missing", f"There is no {name}.py.")
        left = holes(source)
        if left and is_untouched(self.course, name, source):
            grade = self._ungraded(name, "not_started", f"{name}.py is not started: {len(left)} holes are left.")
            return replace(grade, holes=tuple(left), holes_total=len(left))
        bases = foundations(self.course, exercise)
        attempt = self._visible(submission, exercise, [base for base in bases if base not in passed])
        if attempt.begun.passed or len(attempt.carried) == len(bases):
            return attempt
        # It may be a foundation's fault, however that passed: nothing is said before right ones were tried.
        again = self._visible(submission, exercise, bases)
        return again if _earned(again.begun) >= _earned(attempt.begun) else attempt

    def _visible(self, submission: Submission, exercise: Exercise, carried: Sequence[str]) -> Attempt:
        """Runs the visible tests, with stand-ins for some of what the exercise builds on."""
        right = self.stand_ins(exercise)
        sources = {**submission.sources, **{base: right[base] for base in carried}}
        opener = Sources(self.worker, sources, self.locked)
        return Attempt(tuple(carried), opener, self.suites.begin(exercise, opener))

    def _finish(
        self,
        submission: Submission,
        exercise: Exercise,
        attempt: Attempt | ExerciseGrade | None,
        passed: Collection[str],
    ) -> tuple[ExerciseGrade, Run | None]:
        """Runs the hidden tests, and makes a grade of all."""
        bases = foundations(self.course, exercise)
        # Too much to keep; or what it builds on has passed its visible tests, and not the hidden ones.
        late = attempt is None or (
            isinstance(attempt, Attempt) and not {base for base in bases if base not in passed} <= set(attempt.carried)
        )
        if late or attempt is None:
            attempt = self._begin(submission, exercise, passed)
        if isinstance(attempt, ExerciseGrade):
            return attempt, None
        carried, run = attempt.carried, self.suites.finish(attempt.begun, attempt.opener)
        if len(carried) < len(bases) and any(outcome.status != "passed" for outcome in run.outcomes):
            again = self.run(exercise, {**submission.sources, **self.stand_ins(exercise)})  # as in `_begin`
            if _earned(again) >= _earned(run):
                carried, run = tuple(bases), again
                late = any(outcome.test.visibility == "hidden" for outcome in run.outcomes)
        left = tuple(holes(submission.sources[exercise.name]))
        total = holes_of_stub(self.course, exercise.name)
        grade = replace(self.judge(run, late=late), carried_forward=carried, holes=left, holes_total=total)
        return grade, run

    def stand_ins(self, exercise: Exercise) -> dict[str, str]:
        """Right sources of all that an exercise builds on."""
        bases = foundations(self.course, exercise)
        return {base: self.course.stand_in(base).read_text(encoding="utf-8") for base in bases}

    def survives(self, exercise: Exercise, source: str) -> bool:
        """Whether a text passes all of an exercise, on right foundations; stops at the first test that it fails."""
        sources = {**self.stand_ins(exercise), exercise.name: source}
        run = self.run(exercise, sources, Effort(search=False, until_failed=True))
        return all(outcome.status == "passed" for outcome in run.outcomes)

    def run(self, exercise: Exercise, sources: Mapping[str, str], effort: Effort = Effort()) -> Run:  # noqa: B008
        """Runs the suites on sources."""
        return self.suites.run(exercise, Sources(self.worker, sources, self.locked), effort)

    def judge(self, run: Run, *, late: bool = False) -> ExerciseGrade:
        """What a run of the suites comes to: points, words and hints. Points never depend on the words.

        Args:
            run: the run.
            late: whether hidden tests of other exercises ran before its visible ones: then no words of student code,
                and no numbers that it gave, are told of these either.
        """
        grade, diagnosis = self.marks(run, late=late), self.diagnosis(run)
        found = Located() if late else self.located(run, diagnosis)
        places = (*found.places, *_kept_between(found.stateful, definitions(run.session)))
        return replace(grade, hints=tuple(diagnosis.hints(found.at)), places=places)

    def marks(self, run: Run, *, late: bool = False) -> ExerciseGrade:
        """Points and words, without hints."""
        name, session = run.exercise.name, run.session
        seconds = run.exercise.budget.call
        explainer = Explainer(name, session.sources[name], definitions(session), seconds, session.asked, late)
        if session.loading_failure and not session.calls:
            failure = session.loading_failure
            status: ExerciseStatus = "error"
            if failure.kind in ("timeout", "crashed"):
                status = cast(ExerciseStatus, failure.kind)
            unsaid = Explanation(f"{name}.py could not be loaded.")
            why = unsaid if late else contained(lambda: explainer.loading(failure), unsaid)
            return self._ungraded(name, status, *why)
        none = [_NO_WORDS] * len(run.outcomes)
        words = contained(lambda: [_words(outcome, explainer) for outcome in run.outcomes], none)
        tests = tuple(map(_result, run.outcomes, words))
        output = "".join(call.output for call in session.calls)[:OUTPUT_LIMIT]
        return ExerciseGrade(name, _status(run.outcomes), tests, output=output, unfinished=_unfinished(session))

    def diagnosis(self, run: Run) -> Diagnosis:
        """Which known mistakes a run of the suites points to."""
        known, name = definitions(run.session), run.exercise.name
        uses = foundations_within(run.session.sources[name], known)
        return contained(lambda: diagnose(run.outcomes, self.knowledge(name), uses, _unfinished(run.session)), NOTHING)

    def located(self, run: Run, diagnosis: Diagnosis) -> Located:
        """Where a run goes wrong first, as far as that is sure."""
        return contained(lambda: self._located(run, diagnosis), Located())

    def _located(self, run: Run, diagnosis: Diagnosis) -> Located:
        if not diagnosis.wrong:
            return Located()
        reference = self.knowledge(run.exercise.name).reference
        shown = (outcome for outcome in run.outcomes if outcome.test.visibility == "visible")
        messages = {call.message for outcome in shown for call in outcome.calls}
        visible = {call.key for call in diagnosis.calls if call.call.message in messages}
        exercise = replace(run.exercise, budget=AGAIN)
        session = Sources(self.worker, run.session.sources, self.locked).open(exercise, run.session.readable)
        try:
            return locate(diagnosis.calls, diagnosis.lowest(), diagnosis.right, visible, session, reference)
        except Unfit:
            return Located()  # the points are there, and the next exercise will find out
        finally:
            session.end()

    def knowledge(self, name: str) -> Knowledge:
        """What is known of the exercise's calls; kept, for the next submission is asked the same."""
        if name not in self.learned:
            self.learned[name] = knowledge(self.course, name)
        return self.learned[name]

    def _ungraded(self, name: str, status: ExerciseStatus, feedback: str, line: int = 0) -> ExerciseGrade:
        tests = (
            TestResult(test.name, test.title, test.visibility, "not_run", 0.0, test.worth, feedback, line)
            for test in self.suites.tests(name)
        )
        return ExerciseGrade(name, status, tuple(tests))


def definitions(session: Session) -> dict[str, tuple[int, int]]:
    """The first and last line of each function and class of the exercise's file, as far as they are looked at."""
    return dict(itertools.islice(session.definitions.items(), DEFINITIONS))


def _unfinished(session: Session) -> tuple[str, ...]:
    """The functions and classes with a hole."""
    left = holes(session.sources[session.name])
    return tuple(name for name, (first, last) in definitions(session).items() if any(first <= h <= last for h in left))


def _kept_between(functions: Iterable[str], known: Mapping[str, tuple[int, int]]) -> Iterator[Place]:
    """What is said of functions that answer rightly in a fresh process."""
    for function in functions:
        line = known.get(function.split(".")[0], (0, 0))[0]
        if line:
            yield Place(line, function, "state", _STATEFUL)


_STATEFUL = (
    "In a fresh process the same call gives what is right: what it gives depends on the calls before it. "
    "Look for what is kept from one call to the next, such as a global, a default that is changed, or a cache."
)


def _earned(run: Begun | Run) -> float:
    return sum(outcome.test.worth for outcome in run.outcomes if outcome.status == "passed")


_NO_WORDS = Explanation("This test did not pass. What came back cannot be put in words.")


def _words(outcome: Outcome, explainer: Explainer) -> Explanation:
    """What is said of a test; whatever goes wrong in saying it costs these words alone."""
    if outcome.status == "passed":
        return Explanation("")
    try:
        return explainer.explain(outcome)
    except Exception:  # what came back may be anything
        return _NO_WORDS


def _result(outcome: Outcome, why: Explanation) -> TestResult:
    test, status = outcome.test, outcome.status
    if isinstance(outcome.error, Stopped) and not outcome.calls:
        status = "not_run"  # its process had died too often, or its time was up, before it could ask anything
    score = test.worth if status == "passed" else 0.0
    text, line = ("", 0) if outcome.status == "passed" else why
    printed = _printed(outcome) if test.visibility == "visible" else ""  # a hidden test's inputs might be printed
    return TestResult(test.name, test.title, test.visibility, status, score, test.worth, text, line, printed)


def _printed(outcome: Outcome) -> str:
    """What was printed in the last call that printed anything, for a failed test in the one that is shown; bounded."""
    calls = outcome.calls if outcome.error is None else outcome.calls[-1:]
    text = next((call.output for call in reversed(calls) if call.output.strip()), "")
    lines = [line[:PRINTED_WIDTH] for line in text.rstrip().split("\n")]
    more = len(lines) - PRINTED_LINES
    return "\n".join([*lines[:PRINTED_LINES], *([f"... {more} more lines"] if more > 0 else [])])


def _status(outcomes: Iterable[Outcome]) -> ExerciseStatus:
    kinds = [outcome.error.failure.kind for outcome in outcomes if isinstance(outcome.error, Stopped)]
    if kinds:
        return "timeout" if "timeout" in kinds else "crashed"
    return "passed" if all(outcome.status == "passed" for outcome in outcomes) else "failed"
