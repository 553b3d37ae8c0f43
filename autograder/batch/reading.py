"""What is to be graded, read in, each under a name of its own that later submissions cannot take from it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.course import Course
from autograder.files import write_whole
from autograder.submission import Submission, SubmissionError, read_submission

NAMES = ".names"  # in a folder of results; no name of a grade begins with a dot


@dataclass(frozen=True)
class Place:
    """Where a submission came from, as far as it stays the same when its folder is moved."""

    file: str
    folder: str

    @classmethod
    def of(cls, path: Path) -> Place:
        """The place of a path."""
        resolved = path.resolve()
        return cls(resolved.name, resolved.parent.name)


def read_all(paths: Sequence[Path], course: Course, results: Path | None = None) -> Iterator[Submission]:
    """Reads submissions; one that cannot be read is one whose every exercise cannot.

    Args:
        paths: in their order.
        course: the course.
        results: the folder that their grades go to, where names given before are kept.
    """
    for path, name in zip(paths, names(paths, results), strict=True):
        try:
            submission = read_submission(path, course)
        except SubmissionError as error:
            sentence = f"The submission was not graded: {error}."
            submission = Submission(name, {}, dict.fromkeys(course.names, sentence), (), sentence)
        yield replace(submission, name=name)


def names(paths: Sequence[Path], results: Path | None = None) -> list[str]:
    """A name for each path: its own, numbered where another has it already.

    A name that a folder of results gave to a submission stays with it, whatever else is handed in later.
    """
    known = _read(results) if results else {}
    places = [Place.of(path) for path in paths]
    found: dict[int, str] = {}
    # First those that are where they were, then those whose folder was moved as a whole; the rest get what is left.
    for whole in (True, False):
        taken = set(found.values())
        for number, place in enumerate(places):
            same = {name for name, old in known.items() if old == place or (not whole and old.file == place.file)}
            owned = (name for name in known if name in same - taken)
            if number not in found and (name := next(owned, None)):
                found[number] = name
                taken.add(name)
    taken = set(known) | set(found.values())
    for number, path in enumerate(paths):
        if number not in found:
            own = path.resolve().name if path.is_dir() else path.stem
            # A submission may itself be called "ada (2)", and must not get the place of another one.
            numbered = (f"{own} ({again})" for again in itertools.count(2))
            found[number] = next(name for name in itertools.chain([own], numbered) if name not in taken)
            taken.add(found[number])
    if results:
        _write(results, {**known, **{found[number]: place for number, place in enumerate(places)}})
    return [found[number] for number in range(len(paths))]


def _read(results: Path) -> dict[str, Place]:
    try:
        known = json.loads((results / NAMES).read_bytes())
        return {str(name): Place(str(file), str(folder)) for name, (file, folder) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(results: Path, given: dict[str, Place]) -> None:
    with suppress(OSError):  # where nothing can be written, the grades will say so
        text = json.dumps({name: [place.file, place.folder] for name, place in sorted(given.items())}, indent=1)
        write_whole(results / NAMES, text + "\n")
