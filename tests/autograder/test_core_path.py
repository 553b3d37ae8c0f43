"""The core path: marked in course.toml, shown by the map, the course and the site, and released alone."""

import re
import subprocess
import sys

import pytest
from course_copy import copy_course

from autograder.authoring.browser import Address
from autograder.authoring.coursemap import course_map
from autograder.authoring.release import released_part, texts
from autograder.course import CourseError, find_course, load_course
from autograder.site.drawing import as_svg

COURSE = find_course()


@pytest.fixture
def small(tmp_path):
    """Two exercises of the core path, and one that is not on it."""
    return copy_course(tmp_path / "course", ["softmax", "attention", "tokenization"])


def rewritten(course, before, after):
    """The course with one text of its table of contents replaced, everywhere."""
    path = course.root / "course.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    return load_course(course.root)


def test_the_core_stands_on_itself():
    """Whoever takes the core path alone meets nothing that builds on what was left out."""
    core = COURSE.core
    assert "softmax" in core
    assert core[-1] == "pretrained_model"
    assert all(set(COURSE.exercise(name).builds_on) <= set(core) for name in core)


def test_the_map_marks_it(small):
    """In bold in the table, framed in the drawings, with how long it takes; and nowhere where it is all there is."""
    said = course_map(small)
    assert "  class softmax,attention core" in said
    assert "bold in the table: 2 exercises, about 1 hour." in said
    assert "**[Softmax](exercises/softmax.py)**" in said
    assert "| [Byte-pair encoding](exercises/tokenization.py) |" in said
    assert "Together 3 exercises, about 2 hours." in said
    assert as_svg(small, lambda name: name).count('<rect class="core"') == 2
    assert "core" not in course_map(rewritten(small, "core = true\n", ""))


def test_the_course_shows_it(small):
    """A mark beside its exercises, and how much of it is done; in words where there are no marks."""
    shown, plain = (
        subprocess.run(
            [sys.executable, "-P", "-m", "autograder", "course", *options],
            cwd=small.root,
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for options in ([], ["--plain"])
    )
    assert re.search(r"softmax [◆*] ", shown)
    assert not re.search(r"tokenization [◆*]", shown)
    assert "the core path: 0 of 2 exercises" in shown
    assert "on the core path" in plain
    assert "Core path: 0 of 2 exercises." in plain


def test_it_is_released_alone(small):
    """The release has its exercises and no others, in the files, in the table of contents and in the README."""
    core, table = released_part(small, "", core=True)
    assert core.names == ("softmax", "attention")
    assert "tokenization" not in table
    files = {str(path): text for path, text in texts(core, Address.parse("https://github.com/you/course")).items()}
    assert {path for path in files if path.startswith("exercises/")} == {
        "exercises/softmax.py",
        "exercises/attention.py",
    }
    assert files["README.md"].count("Open in Colab") == 2
    everything, whole = released_part(small, "")
    assert everything.names == small.names
    assert "tokenization" in whole
    marked = texts(small, Address.parse("https://github.com/you/course"))
    assert next(text for path, text in marked.items() if str(path) == "README.md").count("Open in Colab") == 3


def test_what_makes_no_sense_is_said(small):
    """No core path, a mark that is neither true nor false, an assignment of more than is released."""
    path = small.root / "course.toml"
    text = path.read_text(encoding="utf-8")
    more = '\n[[assignment]]\nname = "week1"\nexercises = ["softmax", "tokenization"]\n'
    path.write_text(text + more, encoding="utf-8")
    with pytest.raises(CourseError, match="the assignment week1 asks for tokenization, which the core path lacks"):
        released_part(load_course(small.root), "week1", core=True)
    path.write_text(text.replace("core = true\n", ""), encoding="utf-8")
    with pytest.raises(CourseError, match="there is no core path"):
        released_part(load_course(small.root), "", core=True)
    path.write_text(text.replace("core = true", 'core = "yes"'), encoding="utf-8")
    with pytest.raises(CourseError, match="softmax: core is true or false, and not 'yes'"):
        load_course(small.root)
