"""The lesson beside the editor: `read`, and what is said where no browser or no page is."""

import os
import subprocess
import sys

import pytest
from course_copy import copy_course

from autograder.loop.lessons import open_lesson


@pytest.fixture
def course(tmp_path):
    """A course with one lesson, whose page is there."""
    course = copy_course(tmp_path / "a course", ["softmax"])
    page = course.root / "pages" / "lessons" / "softmax.html"
    page.parent.mkdir(parents=True)
    page.write_text("<title>Softmax</title>")
    return course


@pytest.fixture
def browser(tmp_path, monkeypatch):
    """A browser that writes down what it is asked for."""
    program, asked = tmp_path / "browser", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$1" > "{asked}"\necho "noise on the screen"\n')
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return asked


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script for a browser")
def test_read_opens_the_page(course, browser):
    """`autograder read softmax` hands the page's address over, in a folder with a space too."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "autograder", "read", "softmax"],
        cwd=course.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    page = course.root / "pages" / "lessons" / "softmax.html"
    assert done.stdout.replace(os.sep, "/") == "pages/lessons/softmax.html is open in your browser.\n"
    assert browser.read_text().strip() == page.as_uri()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always one")
def test_without_a_browser_it_says_where_the_page_is(course, monkeypatch):
    """Logged in from elsewhere: no program that would take the terminal is started."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    found, said = open_lesson(course, "softmax")
    assert found
    assert said.endswith(str(course.root / "pages" / "lessons" / "softmax.html"))


def test_without_pages_it_says_how_to_get_them(course):
    """A course that has none yet."""
    (course.root / "pages" / "lessons" / "softmax.html").unlink()
    found, said = open_lesson(course, "softmax")
    assert not found
    assert "`make site`" in said
