"""Grading on a Dask cluster: a real one of several processes, the same bytes, and no loss when a worker dies."""

import os
import signal
from pathlib import Path

import pytest
from course_copy import copy_course
from distributed import Client, LocalCluster

from autograder.batch.cluster import ClusterError, grade_on
from autograder.batch.jobs import Setting
from autograder.batch.local import grade_all, prepare
from autograder.batch.results import Results
from autograder.cli import main
from autograder.isolation.between.messages import FULL
from autograder.submission import Submission

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own, while workers come and go


@pytest.fixture(scope="module")
def small_course(tmp_path_factory):
    """A course of softmax alone."""
    return copy_course(tmp_path_factory.mktemp("course"), ["softmax"])


def jobs_of(course, results, count):
    """Right, wrong, hanging up and broken submissions, in turn."""
    right = course.solution("softmax").read_text(encoding="utf-8")
    sources = [right, right.replace("np.exp(", "np.exp2("), "import os\nos._exit(3)\n", "def softmax(:\n"]
    submissions = [Submission(f"s{i}", {"softmax": f"{sources[i % 4]}# {i}\n"}) for i in range(count)]
    return [prepare(submission, course, course.exercises, results, FULL) for submission in submissions]


def written(folder):
    """All files, byte for byte."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.json"))}


def test_a_killed_worker_loses_nothing_and_the_bytes_are_the_same(small_course, tmp_path):
    """One of two workers is killed in the middle; all grades come, once each, as one process alone gives them."""
    setting = Setting(small_course.root, small_course.names)
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    for job, grade, _ in grade_all(setting, jobs_of(small_course, here, 8), 1):
        here.write(grade, job.keys)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None, silence_logs=50
    ) as cluster:
        with Client(cluster) as client:
            victim = next(iter(client.run(os.getpid).values()))
        seen = []
        for job, grade, fresh in grade_on(cluster.scheduler_address, setting, jobs_of(small_course, there, 8), 2):
            there.write(grade, job.keys)
            seen.append((job.submission.name, fresh))
            if len(seen) == 1:
                os.kill(victim, signal.SIGKILL)
    assert sorted(seen) == sorted((f"s{i}", True) for i in range(8))
    assert written(tmp_path / "here") == written(tmp_path / "there")
    again = list(
        grade_on("tcp://127.0.0.1:9", setting, jobs_of(small_course, there, 8), 2)
    )  # nothing is left to ask for
    assert len(again) == 8
    assert not any(fresh for _, _, fresh in again)


def test_a_cluster_that_does_not_answer(small_course, tmp_path, monkeypatch, capsys):
    """It is one sentence and exit code 3, and nothing is written."""
    monkeypatch.setattr("autograder.batch.cluster.CONNECT", 2)
    setting = Setting(small_course.root, small_course.names)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ClusterError, match="does not answer"):
            list(grade_on(address, setting, jobs_of(small_course, None, 1), 1))
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "softmax.py").write_text("x = 1\n")
    monkeypatch.chdir(small_course.root)
    arguments = ["grade", str(tmp_path / "ada"), "--out", str(tmp_path / "out"), "--dask", "tcp://127.0.0.1:9"]
    assert main(arguments) == 3
    assert "does not answer" in capsys.readouterr().err
    assert written(tmp_path / "out") == {}
