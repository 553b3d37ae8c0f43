"""The pictures that the solutions draw at the end of each lesson, without a word of how they were drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course, foundations
from autograder.files import PROGRAM, digest, write_whole

CACHE = Path(".cache", "site")
SECONDS = 300  # for one picture, on a machine that does other things too
# `show` hands the figure over instead of saving it. Metadata is left out: it would name versions, times and programs.
_DRAW = """
import runpy, sys
sys.path[:0] = {paths!r}
import matplotlib
matplotlib.use("Agg")
from autograder import pictures
def show(draw):
    figure = draw()
    figure.savefig({out!r}, dpi=110, bbox_inches="tight", facecolor="white", metadata={{"Software": None}})
    with open({out!r} + ".txt", "w", encoding="utf-8") as file:
        file.write(" ".join((draw.__doc__ or "").split()))
pictures.show = show
runpy.run_path({script!r}, run_name="__main__")
"""


@dataclass(frozen=True)
class Picture:
    """A picture and the sentence that says what it shows."""

    png: bytes
    caption: str


def draw_all(course: Course, processes: int) -> dict[str, Picture]:
    """Each exercise's picture, by name; without those that cannot be drawn here, for lack of a model, say."""
    with ThreadPoolExecutor(max(processes, 1)) as pool:
        drawn = pool.map(lambda name: picture(course, name), course.names)
    return {name: found for name, found in zip(course.names, drawn, strict=True) if found}


def picture(course: Course, name: str) -> Picture | None:
    """An exercise's picture; nothing where it cannot be drawn here."""
    scripts = [course.solution(base) for base in (*foundations(course, course.exercise(name)), name)]
    key = digest(" ".join(digest(path.read_bytes()) for path in scripts))[:16]
    png = course.root / CACHE / f"{name}-{key}.png"
    caption = png.with_name(f"{png.name}.txt")
    if not (png.is_file() and caption.is_file()) and not _draw(course, scripts[-1], png):
        return None
    return Picture(png.read_bytes(), caption.read_text(encoding="utf-8"))


def _draw(course: Course, script: Path, png: Path) -> bool:
    beside = png.with_name(f".{os.getpid()}.{png.name}")
    beside.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(course.root / "solutions"), str(PROGRAM.parent), str(course.root)]
    program = _DRAW.format(paths=paths, out=str(beside), script=str(script))
    try:
        done = _run([sys.executable, "-P", "-c", program], {"OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(beside.parent)})
        if done != 0 or not beside.is_file():
            return False
        caption = beside.with_name(f"{beside.name}.txt")
        write_whole(png.with_name(f"{png.name}.txt"), caption.read_bytes())
        write_whole(png, beside.read_bytes())
        return True
    finally:
        for path in (beside, beside.with_name(f"{beside.name}.txt")):
            path.unlink(missing_ok=True)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, timeout=SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return 1
