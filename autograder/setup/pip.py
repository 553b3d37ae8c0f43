"""Runs pip, and shows that it is alive: silence for minutes looks like a hang."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from autograder.setup.trouble import SetupError, explain

_COLLECTING = re.compile(r"^Collecting (?P<what>[\w.-]+)")
_DOWNLOADING = re.compile(r"^\s*Downloading (?:\S*/)?(?P<what>[\w.-]+?)-\d\S* \((?P<size>[\d.]+ ?[kMG]?B)\)")
_UNPACKING = re.compile(r"^Installing collected packages: (?P<what>.*)")
_OFTEN, _SELDOM = 1.0, 30.0  # seconds between signs of life, on a terminal and in a log


class Progress:
    """One line on a terminal that changes; in a log a line for what takes long."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._text, self._since = "", time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)

    def follow(self, line: str) -> None:
        """Takes a line of pip's."""
        if match := _DOWNLOADING.match(line):
            self._say(f"downloading {match['what']}, {match['size']}", large=match["size"].endswith(("MB", "GB")))
        elif match := _COLLECTING.match(line):
            self._say(f"looking for {match['what']}")
        elif match := _UNPACKING.match(line):
            self._say(f"installing {match['what'].count(',') + 1} packages", large=True)

    def _say(self, text: str, large: bool = False) -> None:
        self._text, self._since = text, time.monotonic()
        if self._terminal:
            self._draw()
        elif large:
            print(f"  {text}", flush=True)

    def _tick(self) -> None:
        while not self._done.wait(_OFTEN if self._terminal else _SELDOM):
            if self._terminal:
                self._draw()
            else:
                print(f"  still {self._text or 'at it'} ({time.monotonic() - self._since:.0f} s)", flush=True)

    def _draw(self) -> None:
        seconds = time.monotonic() - self._since
        print(f"\r\x1b[K  {self._text[:60] or 'starting'}  {seconds:.0f} s", end="", flush=True)


class Pip:
    """The pip of one Python.

    Attributes:
        python: that Python's executable.
        folder: where it installs to, for what is said.
        marker: exists while packages are being unpacked: one that was stopped then is half there.
    """

    def __init__(self, python: Path, folder: Path, marker: Path | None = None) -> None:
        self.python, self.folder, self.marker = python, folder, marker

    def install(self, *arguments: str) -> None:
        """Installs, with signs of life.

        Raises:
            SetupError: it could not.
        """
        code, output = self._run(["install", "--no-input", "--disable-pip-version-check", *arguments])
        if code:
            raise SetupError(explain(output, self.folder, f"{sys.version_info[0]}.{sys.version_info[1]}"))

    def tries(self, *arguments: str) -> bool:
        """Whether it could install that."""
        return self._run(["install", "--no-input", "--disable-pip-version-check", *arguments])[0] == 0

    def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        command = [str(self.python), "-m", "pip", *arguments]
        lines = []
        with (
            Progress() as progress,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                progress.follow(line)
                if self.marker and _UNPACKING.match(line):
                    self.marker.touch()
            code = process.wait()
        if self.marker and code == 0:
            self.marker.unlink(missing_ok=True)
        return code, "".join(lines)
