"""A class of 1,000: right, wrong and hostile mixed, killed twice and gone on with; then the same on a Dask cluster.

It takes some minutes. `SUBMISSIONS=100 make bench` makes it a class of 100.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_attacks import Ground

from autograder.course import load_course
from autograder.diagnosis.catalogue import known_mistakes

COUNT = int(os.environ.get("SUBMISSIONS", "1000"))
QUICK = ("forge", "leak", "escape", "damage", "crash", "impersonate")  # a hang takes its whole budget


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A course of softmax, and everybody's work: the attackers, and as many others as make up the number."""
    ground = Ground(tmp_path_factory.mktemp("class"))
    ground.lay(QUICK)
    course = load_course(ground.folder / "course")
    right = course.solution("softmax").read_text(encoding="utf-8")
    kinds = [right] * 20 + [mistake.source for mistake in known_mistakes(course, "softmax")]
    kinds.append(course.stub("softmax").read_text(encoding="utf-8"))
    for number in range(COUNT - len(list(ground.submissions.iterdir()))):
        folder = ground.submissions / f"student-{number:04}"
        folder.mkdir()
        (folder / "softmax.py").write_text(f"{kinds[number % len(kinds)]}# {number}\n", encoding="utf-8")
    return ground


class Watched:
    """A run of the real command, with the most memory that all its processes held at a time."""

    def __init__(self, ground, out, *options):
        paths = sorted(map(str, ground.submissions.iterdir()))
        command = [sys.executable, "-P", "-m", "autograder", "grade", *paths, "--out", str(ground.folder / out)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.begun, self.most = time.perf_counter(), 0
        self.process = subprocess.Popen([*command, *options], cwd=ground.folder / "course", **quiet)

    def wait(self, until=lambda: False):
        """Waits for the end, or until something is so; returns the seconds since the start."""
        while self.process.poll() is None and not until():
            self.most = max(self.most, _resident(self.process.pid))
            time.sleep(0.5)
        return time.perf_counter() - self.begun


def _resident(pid):
    """Bytes held by a process and all that it started; what several of them share counts once for each."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _grades(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


def test_a_thousand_killed_twice(ground, capsys):
    """Two runs end by kill -9 in the middle; the third goes on, and everybody has one whole grade."""
    results, seconds, done = ground.folder / "results", 0.0, []
    for share in (0.3, 0.6):
        run = Watched(ground, "results")
        seconds += run.wait(until=lambda share=share: len(_grades(results)) >= share * COUNT)
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        done.append(len(_grades(results)))
    run = Watched(ground, "results")
    seconds += run.wait()
    assert run.process.returncode == 0
    grades = _grades(results)
    assert len(grades) == COUNT
    cores = os.cpu_count() or 1
    with capsys.disabled():
        print(f"\n{COUNT} submissions of softmax, killed after {done[0]} and {done[1]}, and none lost: ", end="")
        print(f"{seconds:.0f} s, {COUNT / seconds / cores:.2f} a second and core, at most {run.most / 2**20:.0f} MiB")


def test_the_same_on_a_dask_cluster(ground, capsys):
    """Several Dask worker processes give the same bytes."""
    run = Watched(ground, "on-dask", "--dask", "local")
    seconds = run.wait()
    assert run.process.returncode == 0
    if not (ground.folder / "results").exists():
        pytest.skip("the batch did not run before")
    assert _grades(ground.folder / "on-dask") == _grades(ground.folder / "results")
    with capsys.disabled():
        print(f"\nthe same {COUNT} on a Dask cluster of processes: {seconds:.0f} s, the same grades byte for byte")
    shutil.rmtree(ground.folder / "on-dask")
