"""What the tests of the grader share: one warm worker, one grader, and files made on the fly."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.course import Course, load_course
from autograder.grades import ExerciseGrade
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import Worker, start_worker
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def course() -> Course:
    """The course itself."""
    return load_course(ROOT)


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """A warm worker with what the NumPy and PyTorch exercises need."""
    worker = start_worker()
    worker.prepare(["numpy", "scipy.special", "torch"])
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def grader(course: Course, worker: Worker) -> Grader:
    """A locked grader of the first two exercises, the second of which builds on the first."""
    return Grader.start(course, course.select(["softmax", "attention"]), EVERYTHING, worker, locked=True)


@pytest.fixture
def solution(course: Course) -> Callable[[str], str]:
    """Reads a solution's text."""
    return lambda name: course.solution(name).read_text(encoding="utf-8")


@pytest.fixture
def grade_softmax(grader: Grader, course: Course) -> Callable[[str], ExerciseGrade]:
    """Grades a text as `softmax`."""
    return lambda source: grader.grade_exercise(Submission("test", {"softmax": source}), course.exercise("softmax"), ())


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, from npm."""
    if not shutil.which("npm"):
        pytest.skip("npm brings axe-core, and it is not installed")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        ["npm", "pack", "--silent", "axe-core@4.10.3"], cwd=folder, capture_output=True, check=False, timeout=120
    )
    if packed.returncode != 0:
        pytest.skip("the npm registry does not answer")
    subprocess.run(["tar", "xzf", "axe-core-4.10.3.tgz", "package/axe.min.js"], cwd=folder, check=True)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")
