"""The lesson as a page in the browser, beside the editor: `read`, and `o` in the session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from autograder.course import Course

PLACES = ("pages", "build/site")  # where a release has the pages, and where `make site` writes them
SECONDS = 15.0  # for a browser to take the address
# In a process of its own without a terminal: a browser that draws in one would take the session's.
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


def page(course: Course, name: str) -> Path | None:
    """A lesson's page; nothing where the pages are not here."""
    pages = (course.root / place / "lessons" / f"{name}.html" for place in PLACES)
    return next((path for path in pages if path.is_file()), None)


def open_lesson(course: Course, name: str) -> tuple[bool, str]:
    """Opens a lesson in the browser; gives whether its page is here, and what is to be said."""
    if (path := page(course, name)) is None:
        return False, f"The lessons' pages are not here: `make site` writes them. The text is in exercises/{name}.py."
    if _has_browser() and _opened(path.as_uri()):
        return True, f"{path.relative_to(course.root)} is open in your browser."
    return True, f"No browser can be opened from here. The lesson is {path}"


def _has_browser() -> bool:
    """Whether a browser would have a window: on Linux somebody may be logged in from elsewhere."""
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    return sys.platform != "linux" or any(os.environ.get(name) for name in named)


def _opened(address: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _OPEN, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True  # it was started, and stays
    except OSError:
        return False
    return done.returncode == 0
