"""The pytest plugin that turns pytest files into suites: fixtures named like the exercises, and points.

`pytest tests/hidden` runs the hidden suites on `solutions/`; `--submission PATH` on anything else. The grader uses the
same plugin and only replaces the `Workbench` that opens submissions.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

import hypothesis
import pytest

from autograder.course import Course, Exercise, load_course
from autograder.declared import INPUTS_TEST, INPUTS_TITLE, INPUTS_WORTH
from autograder.grades import VISIBILITIES
from autograder.isolation.between.messages import Limits
from autograder.isolation.near.remote import Call, RemoteModule, Session
from autograder.isolation.near.worker import Confinement, Worker, start_worker
from autograder.submission import read_submission
from autograder.suites.internals import no_local_constants

WORKBENCH = pytest.StashKey["Workbench"]()
COURSE = pytest.StashKey[Course]()

_GENERATE = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
_PHASES = {
    "visible": (*_GENERATE, hypothesis.Phase.shrink),  # a student sees the smallest failing example
    "hidden": _GENERATE,  # nobody sees the example
}
for _folder, _phases in _PHASES.items():
    hypothesis.settings.register_profile(
        _folder,
        phases=_phases,
        derandomize=True,  # the same submission gets the same examples, and so the same grade
        database=None,
        deadline=None,  # deadlines are the far side's business
        max_examples=30,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


no_local_constants()


class Opener(Protocol):
    """Starts sessions with a submission."""

    def open(self, exercise: Exercise, readable: Sequence[str]) -> Session:
        """A session with an exercise, whose code may read some folders."""


@dataclass(frozen=True)
class Sources:
    """A submission's sources, to be run on a worker.

    Attributes:
        texts: by module.
        locked: whether the code is shut in.
    """

    worker: Worker
    texts: Mapping[str, str]
    locked: bool = False

    def open(self, exercise: Exercise, readable: Sequence[str]) -> Session:
        """See `Opener`."""
        limits = Limits(exercise.memory_mib, int(exercise.budget.exercise))
        confinement = Confinement(self.locked, limits)
        return Session(self.worker, exercise.name, self.texts, exercise.budget, confinement, readable)


@dataclass
class Workbench:
    """Where suites get the submission from: it opens one exercise at a time, and keeps what was called.

    Attributes:
        opener: opens the submission.
        session: the session that is open.
    """

    opener: Opener | None = None
    session: Session | None = None

    def module(self, exercise: Exercise, readable: Sequence[str]) -> Iterator[RemoteModule]:
        """The exercise's module, until the suite is done with it."""
        if self.session is None or self.session.name != exercise.name:
            self.close()
            assert self.opener is not None  # suites run through `Suites.run`, or after `pytest_sessionstart`
            self.session = self.opener.open(exercise, readable)
        yield RemoteModule(self.session.perform, exercise.name, self.session.calls)

    @property
    def calls(self) -> list[Call]:
        """What was called so far in the open session."""
        return self.session.calls if self.session else []

    def close(self) -> None:
        """Ends the open session."""
        session, self.session = self.session, None
        if session is not None:
            session.rest()


def pytest_collection_finish() -> None:
    """One thread for the references: it computes the same bits everywhere, and leaves the other cores to others."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--submission`."""
    parser.addoption("--submission", metavar="PATH", help="what to judge: a folder, zip, .py or .ipynb (solutions/)")


def pytest_configure(config: pytest.Config) -> None:
    """Loads the course and makes a fixture of each exercise."""
    config.addinivalue_line("markers", "points(worth, title): what a test is worth and what students call it")
    config.addinivalue_line("markers", "rests_on(*sentences): where the exercise says what a hidden test asks for")
    course = load_course(config.rootpath)
    config.stash[COURSE] = course
    if str(course.support) not in sys.path:
        sys.path.append(str(course.support))
    fixtures = ModuleType("course_fixtures")  # pytest looks for fixtures in modules and classes
    for exercise in course.exercises:
        setattr(fixtures, exercise.name, _fixture(exercise))
    config.pluginmanager.register(fixtures, "course-fixtures")


def _fixture(exercise: Exercise) -> object:
    @pytest.fixture(scope="module", name=exercise.name)
    def module(request: pytest.FixtureRequest, readable: Sequence[str]) -> Iterator[RemoteModule]:
        yield from request.config.stash[WORKBENCH].module(exercise, readable)

    return module


@pytest.fixture(scope="module")
def readable() -> Sequence[str]:
    """Folders that the submission may read. A suite that hands one out overrides this fixture."""
    return ()


@pytest.fixture(scope="module")
def remote(request: pytest.FixtureRequest) -> RemoteModule:
    """The module that this suite is about, for tests that are the same in every suite."""
    return request.getfixturevalue(exercise_of(Path(request.node.path)))  # type: ignore[no-any-return]


def exercise_of(path: Path) -> str:
    """The exercise that a suite's file is about."""
    return path.stem.removeprefix("test_")


def is_suite(path: Path) -> bool:
    """Whether a file is an exercise's suite."""
    return path.parent.name in VISIBILITIES and path.parent.parent.name == "tests"


class InputsAreLeftAlone(pytest.Item):
    """The test that every suite has without writing it: no call changed an argument in place."""

    def runtest(self) -> None:
        """Looks at all calls so far."""
        workbench = self.config.stash[WORKBENCH]
        for call in workbench.calls:
            if call.changed:
                argument = call.changed[0]
                which = f"argument {int(argument) + 1}" if argument.isdigit() else f"`{argument}`"
                raise AssertionError(f"`{call.name}` changed its input ({which}) in place. Work on a copy.")
        if not any(call.failure is None for call in workbench.calls):
            raise AssertionError("No call has returned yet.")


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Generator[None, object, object]:
    """Adds `InputsAreLeftAlone` to the end of a suite."""
    collector = yield
    if is_suite(module_path) and isinstance(collector, pytest.Module):
        collect = collector.collect

        def collect_all() -> list[pytest.Item | pytest.Collector]:
            hypothesis.settings.load_profile(module_path.parent.name)  # before `@given` looks for it
            item = InputsAreLeftAlone.from_parent(collector, name=INPUTS_TEST)
            item.add_marker(pytest.mark.points(INPUTS_WORTH, INPUTS_TITLE))
            item.__doc__ = "A caller's arrays belong to the caller: a function that changes them breaks code elsewhere."
            return [*collect(), item]

        collector.collect = collect_all  # type: ignore[method-assign]
    return collector


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """In a plain pytest run, opens what `--submission` names."""
    config = session.config
    if WORKBENCH in config.stash:
        return
    course = config.stash[COURSE]
    folders = (course.root / "solutions", course.exercises_folder)  # a release has no solutions
    path = Path(config.getoption("--submission") or next(filter(Path.is_dir, folders), folders[0]))
    opener = _Path(path, course)
    workbench = config.stash[WORKBENCH] = Workbench(opener)
    config.add_cleanup(opener.close)
    config.add_cleanup(workbench.close)  # the last is the first to be called


@dataclass
class _Path:
    """What a plain pytest run is about, on a worker that starts when it is first needed."""

    path: Path
    course: Course
    workers: list[Worker] = field(default_factory=list)

    def open(self, exercise: Exercise, readable: Sequence[str]) -> Session:
        """See `Opener`."""
        if not self.workers:
            self.workers.append(start_worker())
        self.workers[0].prepare(exercise.libraries)
        return Sources(self.workers[0], read_submission(self.path, self.course).sources).open(exercise, readable)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
