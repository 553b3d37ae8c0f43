"""Files that outlive a version: what they say of when and with what they were made, and what is said of later ones."""

import hashlib
import json
import re
import subprocess
import sys

import pytest
from course_copy import ROOT, copy_course

from autograder import __version__
from autograder.authoring.browser import MEMORY, Address
from autograder.batch.results import LOG, ResultError, Results, read_results
from autograder.course import CourseError, load_course
from autograder.diagnosis.fingerprints import read
from autograder.grades import FORMAT, Grade, as_json
from autograder.loop.state import STATE, load
from autograder.versions import in_use


@pytest.fixture
def course(tmp_path):
    """A course of one exercise."""
    return copy_course(tmp_path / "course", ["softmax"])


def grade(course):
    """The real command on an untouched stub, and the grade's text."""
    out = course.root / "results"
    command = [sys.executable, "-P", "-m", "autograder", "grade", "exercises/softmax.py", "--out", str(out)]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    return done, (out / "softmax.json").read_text(encoding="utf-8")


def test_a_grade_says_when_and_with_what_it_was_made(course):
    """And keeps that when it is used again; the suites' digest follows the suites, and nothing else differs."""
    done, first = grade(course)
    assert done.returncode == 0, done.stderr
    data = json.loads(first)
    assert "graded_at" not in data  # two runs give the same bytes
    assert data["versions"].items() >= in_use().items()
    assert data["versions"]["autograder"] == __version__
    log = course.root / "results" / LOG
    (line,) = log.read_text().splitlines()
    when = json.loads(line)["graded_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", when)
    assert grade(course)[1] == first
    assert log.read_text().splitlines() == [line]
    with log.open("a") as file:
        file.write('{"submission": "soft')  # a crash
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "autograder", "report", "results", "--report", "student"],
        cwd=course.root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"Graded at {when} with autograder {__version__}" in shown
    hidden = course.suite("softmax", "hidden")
    hidden.write_text(hidden.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    again = json.loads(grade(course)[1])
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["grade"] == hashlib.sha256((course.root / "results" / "softmax.json").read_bytes()).hexdigest()
    assert again["versions"]["suites"] != data["versions"]["suites"]
    assert again["versions"]["course"] == data["versions"]["course"]
    for told in (data, again):
        del told["versions"]
    assert again == data


LATER = rf"has format \d+, and autograder {re.escape(__version__)} reads up to \d: a later version wrote it"


def test_a_later_grade_is_neither_read_nor_written_over(tmp_path):
    """A report refuses it with a sentence, and so does grading into the same folder."""
    (tmp_path / "ada.json").write_text(json.dumps({**as_json(Grade("ada", ())), "format": FORMAT + 1}))
    with pytest.raises(ResultError, match=LATER):
        read_results(tmp_path)
    with pytest.raises(ResultError, match="--force grades anew"):
        Results(tmp_path).reusable("ada", {}, "full")


def test_a_later_course_state_and_fingerprints(course):
    """Each is one sentence, and an older one is read as ever."""
    assert load(course).at == ""
    state = course.root / STATE
    state.parent.mkdir()
    state.write_text('{"format": 2, "at": "softmax", "exercises": {}}')
    with pytest.raises(CourseError, match=LATER):
        load(course)
    state.write_text('{"at": "softmax", "exercises": {}}')
    assert load(course).at == "softmax"
    fingerprints = course.root / "softmax.json"
    fingerprints.write_text('{"format": 2, "right": {}, "mistakes": []}')
    with pytest.raises(CourseError, match=LATER):
        read(fingerprints)
    (course.root / MEMORY).write_text('format = 2\nurl = "https://github.com/ada/llm"\n')
    with pytest.raises(CourseError, match=LATER):
        Address.kept(course.root)
    table = course.root / "course.toml"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("format = 1", "format = 2") + "[something_new]\n", encoding="utf-8")
    with pytest.raises(CourseError, match=LATER):
        load_course(course.root)
    table.write_text(text.replace("format = 1", ""), encoding="utf-8")
    assert load_course(course.root).names == ("softmax",)


def test_what_is_written_has_a_number():
    """In this repository, and in what the program writes."""
    assert re.search(r"^format = 1\b", (ROOT / "course.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert as_json(Grade("ada", ()))["format"] == FORMAT
