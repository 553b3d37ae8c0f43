"""The commands that run what is built from the exercises, such as `model`, `train` and `capstone`."""

from __future__ import annotations

import argparse
import runpy
import sys
from typing import Any

from autograder.course import Course

PROJECTS = {
    "model": ("projects.smollm2", "fetch SmolLM2-135M-Instruct, for the final exercise"),
    "train": ("projects.train", "your own model learns Shakespeare"),
    "alignment": ("projects.alignment", "your own losses teach a small model what people prefer"),
    "classify": ("projects.classify", "a real model learns to tell comedies, histories and tragedies apart"),
    "capstone": ("projects.capstone", "the real model in your own code"),
    "tour": ("projects.tour", "inside the real model, a picture at every step"),
}


def add_projects(commands: Any) -> None:
    """Adds them to the program's commands. Their options are their own: `train --help` is answered by `train`."""
    for name, (_, about) in PROJECTS.items():
        parser = commands.add_parser(name, help=about, add_help=False, prefix_chars="\0")
        parser.add_argument("arguments", nargs="*")
        parser.set_defaults(run=_run, project=name)


def _run(options: argparse.Namespace, course: Course) -> int:
    """The same as `python -m`, whose exit code comes back."""
    module, _ = PROJECTS[options.project]
    sys.path.insert(0, str(course.root))  # -P leaves it out, and the course's folder is where they stand
    sys.argv[1:] = options.arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as done:
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
            return 1
        return done.code or 0
    return 0
