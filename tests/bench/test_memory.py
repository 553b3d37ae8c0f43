"""Memory of a batch: what the grader and its worker hold after 30 submissions and after 300."""

import itertools
from pathlib import Path

from autograder.course import load_course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import start_worker
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "import os\nhoard = []\ndef softmax(scores, axis=-1):\n    hoard.append(b'x' * 10**8)\n    os._exit(3)\n"


def test_memory_of_300_submissions(capsys):
    """No two alike: the right one, each known mistake in turn, and one that hoards memory and dies."""
    course = load_course(ROOT)
    worker = start_worker()
    grader = Grader.start(course, course.select(["softmax"]), EVERYTHING, worker, locked=True)
    right = course.solution("softmax").read_text(encoding="utf-8")
    kinds = itertools.cycle([right, *(mistake.source for mistake in known_mistakes(course, "softmax")), HOSTILE])
    held = {}
    for number, source in zip(range(1, 301), kinds, strict=False):
        grader.grade(Submission(f"s{number}", {"softmax": f"{source}# {number}\n"}))
        if number in (30, 60, 100, 200, 300):
            held[number] = _resident("self"), _resident(worker._process.pid)
    worker.close()
    with capsys.disabled():
        print("\nMiB held by the grader and by its worker after so many submissions:")
        for number, (ours, theirs) in held.items():
            print(f"  {number:4}: {ours:6.1f}  {theirs:6.1f}")


def _resident(process):
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20
