"""Submissions a second and core, for batches of 1, 10, 100 and 1,000: a third each right, wrong and hostile."""

import os
import resource
import time

import pytest
from course_copy import copy_course

from autograder.batch.jobs import Job, Setting
from autograder.batch.local import grade_all
from autograder.submission import Submission


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A course of softmax alone."""
    course = copy_course(tmp_path_factory.mktemp("course"), ["softmax"])
    return Setting(course.root, course.names), course.solution("softmax").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_submissions_a_second_and_core(setting, capsys, count):
    """The start of the processes is part of it: it is most of the time of 1, and nothing in that of 1,000."""
    setting, right = setting
    kinds = [right, right.replace("np.exp(", "np.exp2("), "import os\nos._exit(3)\n"]
    jobs = [Job(Submission(f"s{i}", {"softmax": f"{kinds[i % 3]}# {i}\n"})) for i in range(count)]
    cores = os.cpu_count() or 1
    begun = time.perf_counter()
    graded = sum(1 for _ in grade_all(setting, jobs, cores))
    seconds = time.perf_counter() - begun
    assert graded == count
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    used = min(cores, count)
    with capsys.disabled():
        print(
            f"\n{count:5} submissions: {count / seconds / used:.2f} a second and core, largest process {memory:.0f} MB"
        )
