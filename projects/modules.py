"""The exercises as modules: what a project builds from is the student's own code.

`FROM=solutions` (with make) or `--from solutions` takes another folder than exercises/.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from autograder.course import find_course, holes


class NotReady(Exception):
    """An exercise is not what the project needs; the message says which, and what to do, in sentences for people."""


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--from`, the folder that the exercises are in."""
    folder = find_course().root / "exercises"
    parser.add_argument("--from", dest="folder", type=Path, default=folder, metavar="DIR", help="exercises/")


def load_exercises(folder: Path, names: Sequence[str]) -> list[ModuleType]:
    """Imports finished exercises from a folder, by their plain names, as they import each other.

    Raises:
        NotReady: one is missing, has holes, or cannot be imported.
    """
    folder = folder.resolve()
    for name in names:
        path = folder / f"{name}.py"
        if not path.is_file():
            raise NotReady(f"This stands on {name}, and there is no {path}.")
        if lines := holes(path.read_text(encoding="utf-8", errors="replace")):
            raise NotReady(f"This stands on {name}, which is not finished: see line {lines[0]} of {path}.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    modules = []
    for name in names:
        with standing_on(name):
            modules.append(importlib.import_module(name))
    return modules


@contextmanager
def standing_on(name: str) -> Iterator[None]:
    """What fails in here is the business of one exercise: its name, the student's line, and what to do."""
    try:
        yield
    except (NotReady, KeyboardInterrupt):
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem == name]
        line = f" (line {frames[-1].lineno}: `{frames[-1].line}`)" if frames else ""
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise place_to_look(name, said, line) from error


def place_to_look(name: str, why: str, line: str = "") -> NotReady:
    """The error that names an exercise as the place to look, and says what to do."""
    return NotReady(f"{name} is the place to look{line}: {why}\nTry: make check EX={name}")
