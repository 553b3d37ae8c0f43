"""Faults of the machine, injected: forks that fail, workers and grading processes that die, locks that do not hold.

    python -P tests/autograder/faults.py 1000 --seed 7

grades that many submissions twice, in quiet and with faults at random, and compares: every grade of the second run is
that of the first, or says that there is none; and what was not graded is right the next time.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from autograder.batch import local, process, steady
from autograder.batch.jobs import Job, Setting
from autograder.batch.local import grade_all
from autograder.course import load_course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.grades import as_json
from autograder.isolation.near import forking, protocols
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ("softmax", "attention")

# What runs in a worker before it serves: it is as if the system refused.
_FAR = """
import os, random, sys
draw, fork, applied = random.Random({seed}), os.fork, [0]
def refused(number):
    raise OSError(number, os.strerror(number))
def failing_fork():
    applied[0] += 1
    if draw.random() < {fork} or applied[0] in {forks}:
        refused(11)
    return fork()
os.fork = failing_fork
sys.path.insert(0, {root!r})
from autograder.isolation.far import profiles
sys.path.pop(0)
apply = profiles.shut_in
def failing_apply(*arguments):
    if draw.random() < {lock} or applied[0] in {locks}:
        refused(7)
    return apply(*arguments)
profiles.shut_in = failing_apply
"""


@dataclasses.dataclass(frozen=True)
class Faults:
    """What goes wrong, as probabilities of each time that it might.

    Attributes:
        fork: a fork is refused.
        forks: these are refused in each worker, counted from 1.
        lock: a lock cannot be applied.
        locks: it cannot in these children.
        killed_before: the worker is killed before a call.
        killed_during: it is killed while one runs.
        end: the grading process is killed before a call.
    """

    seed: int = 0
    fork: float = 0.0
    forks: tuple[int, ...] = ()
    lock: float = 0.0
    locks: tuple[int, ...] = ()
    killed_before: float = 0.0
    killed_during: float = 0.0
    end: float = 0.0

    def install(self) -> None:
        """Lets them happen in this process and in the workers that it starts from now on."""
        draw = random.Random(self.seed)
        ask = forking.ForkedChild.ask

        def command(start):
            far = _FAR.format(**{**vars(self), "seed": draw.getrandbits(32)}, root=protocols.ROOT)
            python, *options, program = protocols.command(start)
            return [python, *options, far + program]

        def failing_ask(child, message, seconds):
            worker = child._worker._process
            if draw.random() < self.end:
                os.kill(os.getpid(), signal.SIGKILL)
            if draw.random() < self.killed_before:
                worker.kill()
            elif draw.random() < self.killed_during:
                threading.Timer(draw.random() * 0.002, worker.kill).start()
            return ask(child, message, seconds)

        forking.command, forking.ForkedChild.ask = command, failing_ask


def submissions(count, seed, exercises=EXERCISES):
    """Right and wrong ones in turn, each different from the others."""
    course, draw = load_course(ROOT), random.Random(seed)
    texts = {}
    for name in exercises:
        right = [path.read_text("utf-8") for path in [course.solution(name), *course.answers(name)]]
        wrong = [mistake.source for mistake in known_mistakes(course, name)]
        texts[name] = right, wrong
    for number in range(count):
        sources = {name: draw.choice(draw.choice(texts[name])) + f"\n# {number}\n" for name in exercises}
        yield Submission(f"s{number}", sources)


def grades(handed_in, exercises=EXERCISES, faults=None, processes=2):
    """The grades by name, as JSON; with faults in every grading process."""
    process.COMMAND = [sys.executable, "-P", "-m", "autograder.batch.steady"]
    if faults:
        given = json.dumps(dataclasses.asdict(faults))
        process.COMMAND = [sys.executable, "-P", __file__, "--serve", given]
    try:
        jobs = [Job(submission) for submission in handed_in]
        done = grade_all(Setting(ROOT, tuple(exercises)), jobs, processes)
        return {job.submission.name: as_json(grade) for job, grade, _ in done}
    finally:
        process.COMMAND = [sys.executable, "-P", "-m", "autograder.batch.steady"]


def compare(count, seed, exercises=EXERCISES):
    """How many grades are the same with faults as without, and how many are none; raises where one is another."""
    handed_in = list(submissions(count, seed, exercises))
    quiet = grades(handed_in, exercises)
    assert all(grade["score"] is not None for grade in quiet.values())
    local.GIVE_UP = count  # faults are drawn, and not for good
    faults = Faults(seed, fork=0.1, lock=0.05, killed_before=0.0001, killed_during=0.0001, end=0.0001)
    noisy = grades(handed_in, exercises, faults)
    ungraded = {name for name, grade in noisy.items() if grade["score"] is None}
    wrong = [name for name in noisy if name not in ungraded and noisy[name] != quiet[name]]
    assert not wrong, f"these have another grade: {wrong}"
    again = grades([s for s in handed_in if s.name in ungraded], exercises)
    assert all(again[name] == quiet[name] for name in ungraded), "what was not graded is not right the next time"
    return Counter({"equal": count - len(ungraded), "not graded": len(ungraded)})


def main():
    """Serves as a grading process with faults, or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        # Another process is another draw, or it would end at the same place each time.
        faults = Faults(**json.loads(options.serve))
        dataclasses.replace(faults, seed=faults.seed + os.getpid()).install()
        steady.main()
        return
    begun = time.monotonic()
    found = compare(options.count, options.seed)
    print(f"{options.count} submissions, seed {options.seed}: {dict(found)}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
