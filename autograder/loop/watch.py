"""The session as a state machine: events in, wishes out. It reads no file, draws nothing and waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from autograder.course import Course, Exercise, holes
from autograder.grades import ExerciseGrade
from autograder.loop.hints import tell, working_on
from autograder.loop.state import Memory, text_digest
from autograder.submission import Submission


@dataclass(frozen=True)
class Check:
    """Please check an exercise as it stands, instead of whatever is being checked."""

    number: int
    name: str


@dataclass(frozen=True)
class Warm:
    """Please get an exercise ready for later."""

    name: str


@dataclass(frozen=True)
class Picture:
    """Please draw an exercise's picture."""

    name: str


@dataclass(frozen=True)
class Lesson:
    """Please open an exercise's lesson."""

    name: str


@dataclass(frozen=True)
class Example:
    """Please write an example that fails as a script."""

    name: str


@dataclass(frozen=True)
class Quit:
    """Please stop."""


Wish = Check | Warm | Picture | Lesson | Example | Quit


@dataclass
class Watch:
    """Where the session stands.

    Attributes:
        memory: what is remembered; whoever runs the session reads and writes it between events.
        submission: all of the student's files as they are.
        at: the exercise on the screen.
        grade: how its text stands; None while nobody knows.
        trouble: a sentence, when the grader itself failed.
        news: what has just been built, and the like.
        hint: the hint that was asked for.
        picture: what came of drawing, or of opening the lesson.
        example: what came of writing an example.
        checking: whether an answer is on its way.
        listing: whether the course is shown instead of the exercise.
        whole: whether all of the exercise's tests are shown, and not only the first to fix.
        finished: whether everything passes.
    """

    course: Course
    memory: Memory
    submission: Submission
    at: str = ""
    grade: ExerciseGrade | None = None
    trouble: str = ""
    news: str = ""
    hint: str = ""
    picture: str = ""
    example: str = ""
    checking: bool = False
    listing: bool = False
    whole: bool = False
    finished: bool = False
    _number: int = 0
    _goes_on: bool = False  # whether a pass moves on to the next exercise
    _built: bool = False  # whether a pass would be news
    _passing: set[str] = field(default_factory=set)

    @property
    def exercise(self) -> Exercise:
        """The exercise on the screen."""
        return self.course.exercise(self.at)

    def begin(self, name: str = "") -> list[Wish]:
        """Starts at an exercise, or at the first that is not known to pass."""
        if name:
            return self._arrive(name)
        first = next((name for name in self.course.names if not self.passes(name)), "")
        self.finished = not first
        return self._arrive(first or self.memory.at or self.course.names[0], goes_on=bool(first))

    def passes(self, name: str) -> bool:
        """Whether the text of an exercise as it is now is known to pass."""
        return self.memory.status(name, text_digest(self.submission, name)) == "passed"

    def holes(self, name: str) -> list[int]:
        """The lines of an exercise that are still to be filled."""
        return holes(self.submission.sources.get(name, ""))

    def saved(self, submission: Submission) -> list[Wish]:
        """Some files were saved. The screen follows the student to another exercise."""
        old, self.submission = self.submission, submission
        changed = _changed(old, submission)
        others = [name for name in self.course.names if name in changed and name != self.at]
        if self.at in changed or changed - set(self.course.names):
            self.news = self.picture = self.example = ""
            return self._check(goes_on=True, built=True)
        if len(others) == 1:
            return self._arrive(others[0], goes_on=True, built=True)
        return []

    def verdict(self, number: int, verdict: ExerciseGrade | str) -> list[Wish]:
        """An answer came. An answer about an older text says nothing any more."""
        if number != self._number:
            return []
        self.checking = False
        if isinstance(verdict, str):
            self.trouble = verdict
            return []
        self.trouble = ""
        self.grade = verdict
        self.memory.record(verdict, text_digest(self.submission, self.at))
        if verdict.status != "passed" or not self._goes_on:
            return self._warm_next()
        if self._built:
            points = f"{verdict.score:g} of {verdict.max_score:g} points"
            self.news = f"{self.exercise.title} passes: {points}. You have built {self.exercise.built}."
        following = self._next_open()
        if following is None:
            self.finished = True
            return []
        return self._arrive(following, goes_on=True, news=self.news)

    def key(self, key: str) -> list[Wish]:
        """A key was pressed; keys without a meaning have none."""
        names = self.course.names
        place = names.index(self.at)
        match key:
            case "n":
                return self._arrive(names[min(place + 1, len(names) - 1)], listing=self.listing)
            case "p":
                return self._arrive(names[max(place - 1, 0)], listing=self.listing)
            case "l":
                self.listing = not self.listing
            case "t":
                self.whole, self.listing = not self.whole, False
            case "h":
                at = working_on(self.exercise, self.submission, self._lines())
                self.hint, self.listing = tell(self.memory, self.exercise, at), False
            case "r":
                self.picture, self.listing = "Drawing the picture ...", False
                return [Picture(self.at)]
            case "o":
                self.listing = False
                return [Lesson(self.at)]
            case "d":
                self.example, self.listing = "Writing an example that fails ...", False
                return [Example(self.at)]
            case "q":
                return [Quit()]
        return []

    def shown(self, name: str, said: str) -> list[Wish]:
        """The picture or the lesson is there, or could not be shown."""
        if name == self.at:
            self.picture = said
        return []

    def written(self, name: str, said: str) -> list[Wish]:
        """The example is there, or there is none."""
        if name == self.at:
            self.example = said
        return []

    def _arrive(
        self, name: str, *, goes_on: bool = False, built: bool = False, news: str = "", listing: bool = False
    ) -> list[Wish]:
        self.at = self.memory.at = name
        self.news, self.hint, self.picture, self.example, self.trouble = news, "", "", "", ""
        self.grade, self.whole, self.listing = None, False, listing
        return self._check(goes_on=goes_on, built=built)

    def _check(self, *, goes_on: bool, built: bool = False) -> list[Wish]:
        self._number += 1
        self._goes_on, self._built, self.finished = goes_on, built, self.finished and not built
        self.checking = True
        return [Check(self._number, self.at)]

    def _lines(self) -> list[int]:
        """Where the exercise on the screen goes wrong, as far as the last answer says it."""
        grade = self.grade
        return [
            *(place.line for place in (grade.places if grade else ())),
            *(test.line for test in (grade.tests if grade else ()) if test.line),
        ]

    def _next_open(self) -> str | None:
        """The next exercise that is not known to pass, after this one and then from the start."""
        place = self.course.names.index(self.at)
        order = [*self.course.names[place + 1 :], *self.course.names[:place]]
        return next((name for name in order if not self.passes(name)), None)

    def _warm_next(self) -> list[Wish]:
        """Once this exercise is ready, the next can be: its libraries may take seconds to import."""
        following = self._next_open()
        return [Warm(self.at), *([Warm(following)] if following else [])]


def _changed(old: Submission, new: Submission) -> set[str]:
    names = {*old.sources, *old.problems, *new.sources, *new.problems}
    return {
        name
        for name in names
        if (old.sources.get(name), old.problems.get(name)) != (new.sources.get(name), new.problems.get(name))
    }
