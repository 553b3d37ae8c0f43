"""Figures of the boundary and of the commands, `make bench`: read the ratios, for machines are shared and noisy."""

import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autograder.course import load_course
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.between.executor import Executor
from autograder.isolation.between.importer import MemoryImporter
from autograder.isolation.between.messages import Limits
from autograder.isolation.between.wire import decode, encode
from autograder.isolation.near.remote import Call, RemoteModule, Session
from autograder.isolation.near.worker import Confinement, start_worker
from autograder.submission import Submission
from autograder.suites.plugin import WORKBENCH, Workbench

ROOT = Path(__file__).resolve().parents[2]
PAIR = ("softmax", "attention")
LOCKED = Confinement(True, Limits(memory_mib=1024, cpu_seconds=60))


@pytest.fixture(scope="module")
def worker():
    """A warm worker."""
    worker = start_worker()
    worker.prepare(["numpy", "scipy.special", "torch"])
    yield worker
    worker.close()


def test_round_trip_of_a_small_array(benchmark, worker):
    """A call with a small array and its answer: the aim is under 150 µs."""
    session = Session(worker, "echo", {"echo": "def f(x): return x"}, confinement=LOCKED)
    echo, array = RemoteModule(session.perform, "echo"), np.arange(12.0).reshape(3, 4)
    benchmark(echo.f, array)
    session.end()


def test_fresh_child(benchmark, worker):
    """A locked child from nothing to a loaded exercise and its end: the aim is under 30 ms."""

    def child():
        session = Session(worker, "echo", {"echo": "x = 1"}, confinement=LOCKED)
        assert session.load() is None
        session.end()

    benchmark(child)


class Unprotected:
    """A session that runs the submission right here: no process, lock or wire. What isolation is measured against."""

    def __init__(self, name, sources):
        self.name, self.calls, self.definitions, self.loading_failure = name, [], {}, None
        importer = MemoryImporter(sources)
        importer.install()
        module = __import__(name)
        importer.remove()
        self.executor = Executor({name: module})

    def perform(self, request):
        """Performs a request in this process."""
        value, changed = self.executor.execute(request)
        self.calls.append(Call(b"", value, None, tuple(changed)))
        return value

    def rest(self):
        """Nothing to end."""


class Here:
    """Opens such sessions."""

    def __init__(self, sources):
        self.sources = sources

    def open(self, exercise, readable):
        """A session with an exercise."""
        return Unprotected(exercise.name, self.sources)


class NoIsolation:
    """A pytest plugin that gives the suites the submission in this very process."""

    def __init__(self, sources):
        self.sources = sources

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        """Before the course's plugin opens anything else."""
        config.stash[WORKBENCH] = Workbench(Here(self.sources))


def test_throughput_beside_no_isolation(worker, capsys):
    """The softmax and attention suites on the solutions: locked in; and with no isolation at all, in one warm process.

    The latter twice: as pytest and hypothesis run them, and as the grader does, which keeps hypothesis's examples.
    """
    course = load_course(ROOT)
    exercises = course.select(PAIR)
    grader = Grader.start(course, exercises, EVERYTHING, worker, locked=True)
    sources = {name: course.solution(name).read_text(encoding="utf-8") for name in PAIR}
    submission = Submission("bench", sources)
    suites = [str(course.suite(name, kind)) for name in PAIR for kind in ("visible", "hidden")]
    options = ["-q", "-c", os.devnull, f"--rootdir={ROOT}", "--import-mode=importlib", "-p", "autograder.suites.plugin"]

    def isolated():
        assert grader.grade(submission).percent == 100

    def grader_alone():
        for name in PAIR:
            outcomes = grader.suites.run(course.exercise(name), Here(sources)).outcomes
            failed = {outcome.test.name for outcome in outcomes if outcome.status != "passed"}
            assert len(failed) <= 2  # what only a worker can show: overflow raised over there, say

    def pytest_alone():
        with contextlib.redirect_stdout(io.StringIO()):
            pytest.main([*options, *suites], plugins=[NoIsolation(sources)])

    works = {isolated: "locked in", pytest_alone: "pytest, no isolation", grader_alone: "the grader, no isolation"}
    seconds = dict.fromkeys(works, 0.0)
    for work in works:
        work()
    for _ in range(8):  # in turns, so that a busy machine is busy for all
        for work in works:
            seconds[work] += _seconds(work, 1) / 8
    with capsys.disabled():
        print("\nsoftmax and attention, seconds a submission and core:")
        for work, what in works.items():
            print(
                f"  {what}: {seconds[work]:.3f}, so locked in takes {seconds[isolated] / seconds[work]:.2f} times that"
            )


def test_check_beside_the_imports(tmp_path, capsys):
    """`check` on a finished course beside `python -c "import torch, transformers"`: the aim is at most five times."""
    for name in ("solutions", "tests", "exercises"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "exercises").unlink()
    (tmp_path / "exercises").symlink_to(ROOT / "solutions")
    (tmp_path / "course.toml").write_bytes((ROOT / "course.toml").read_bytes())
    imports = _seconds(lambda: _run("-c", "import torch, transformers"), 3)
    check = _seconds(lambda: _run("-P", "-m", "autograder", "check", cwd=tmp_path), 3)
    with capsys.disabled():
        print(
            f"\ncheck of a finished course: {check:.2f} s, imports alone: {imports:.2f} s: {check / imports:.2f} times"
        )


def test_the_wire_alone(benchmark):
    """Encoding and decoding a small array."""
    array = np.arange(12.0).reshape(3, 4)
    benchmark(lambda: decode(encode(("value", array, [], "", []))))


def _run(*arguments, **options):
    subprocess.run([sys.executable, *arguments], check=False, stdout=subprocess.DEVNULL, **options)


def _seconds(work, rounds):
    begun = time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.perf_counter() - begun) / rounds
