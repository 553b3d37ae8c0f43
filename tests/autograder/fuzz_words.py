"""Fuzzing of all that is said about submissions: hostile values through grading, explanation, diagnosis and reports.

    python -P tests/autograder/fuzz_words.py 200 --seed 7

grades that many submissions, shut in, and writes every kind of report about them. None may raise, take long, or hold
what a terminal or a browser obeys; figures on the slowest and the largest are printed.
"""

import argparse
import os
import re
import resource
import time
from pathlib import Path
from unittest.mock import patch

from autograder.course import load_course
from autograder.grades import as_json, from_json
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import start_worker
from autograder.reports import classroom50
from autograder.reports.formats import FORMATS
from autograder.reports.gradebook import without_policy
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = ("softmax", "attention")
HOSTILE = (Path(__file__).parent / "attacks" / "hostile_values.py").read_text("utf-8")
SECONDS = 60.0  # of processor time for all that is said of one submission
CHARACTERS = 2_000_000  # of one report on one submission
OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")


def once(grader, seed, exercises=EXERCISES):
    """Grades and reports one submission; gives this process's seconds, and the characters of the longest report."""
    text = HOSTILE.replace("SEED = 0", f"SEED = {seed}")
    begun = time.process_time()
    grade = grader.grade(Submission(f"fuzz-{seed}", dict.fromkeys(exercises, text)))
    again = from_json(as_json(grade))
    assert as_json(again) == as_json(grade)
    assert grade.score == 0, f"seed {seed} has {grade.score} points"
    longest = 0
    for name, form in FORMATS.items():
        with patch.dict(os.environ, dict.fromkeys(classroom50._NEEDED, "1")):
            shown = form.render(grader.course, without_policy([grade]))
        assert not OBEYED.search(shown), f"seed {seed}: {name} holds {OBEYED.search(shown)[0]!r}"
        shown.encode("utf-8")
        longest = max(longest, len(shown))
    seconds = time.process_time() - begun
    assert seconds < SECONDS, f"seed {seed} takes {seconds:.0f} s"
    assert longest < CHARACTERS, f"seed {seed} has {longest} characters"
    return seconds, longest


def main():
    """Grades as many as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    course, worker = load_course(ROOT), start_worker()
    worker.prepare(["numpy", "torch"])  # which the hostile file imports
    grader = Grader.start(course, course.select(EXERCISES), EVERYTHING, worker, locked=True)
    found = [once(grader, options.seed + number) for number in range(options.count)]
    worker.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    slowest, longest = (max(column) for column in zip(*found, strict=True))
    print(f"{options.count} submissions: at most {slowest:.1f} s, {longest} characters and {memory} MiB")


if __name__ == "__main__":
    main()
