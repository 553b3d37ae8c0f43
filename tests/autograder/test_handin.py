"""`submit`: one zip that `grade` reads, whatever state the work is in."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest
from course_copy import copy_course
from tmux import HAS_TMUX, terminal

from autograder.loop.handin import MANIFEST
from autograder.notebooks import source_of
from autograder.submission import read_submission

NAMES = ["softmax", "attention"]
AUTOGRADER = [sys.executable, "-P", "-m", "autograder"]
WRONG = ("np.sum(exponentials", "np.mean(exponentials")


@pytest.fixture
def small(tmp_path):
    """A course of two exercises, none of them started."""
    return copy_course(tmp_path / "course", NAMES)


def submit(course, *more, code=0, **options):
    """Hands in where nobody can be asked, and returns what was said."""
    command = [*AUTOGRADER, "submit", *more]
    done = subprocess.run(
        command, cwd=course.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_unfinished_work_is_handed_in_and_read_by_grade(small, solution):
    """What is right counts, what is unfinished is listed, and `grade` finds in the zip what lies in the folder."""
    small.stub("softmax").write_text(solution("softmax"))
    (small.root / "exercises" / "helper.py").write_text("x = 1\n")
    (small.root / "exercises" / ".hidden.py").write_text("x = 1\n")
    (small.root / "exercises" / "notes.txt").write_text("not a source")
    (small.root / "exercises" / "link.py").symlink_to("/etc/passwd")
    said = submit(small)
    assert "1 of 2 exercises pass: 4 of 8 points." in said
    assert "attention: not started (8 holes)" in said
    assert "You can hand in unfinished work" in said
    path = small.root / "build" / "submission.zip"
    with zipfile.ZipFile(path) as archive:
        names = {f"exercises/{name}.py" for name in (*NAMES, "helper")}
        assert {*archive.namelist()} == {*names, MANIFEST}
        listed = json.loads(archive.read(MANIFEST))["files"]
        assert {name: entry["sha256"] for name, entry in listed.items()} == {
            name: hashlib.sha256(archive.read(name)).hexdigest() for name in names
        }
    submission = read_submission(path, small)
    assert submission.sources == read_submission(small.root / "exercises", small).sources
    command = [*AUTOGRADER, "grade", str(path), "--json"]
    (grade,) = json.loads(subprocess.run(command, cwd=small.root, capture_output=True, text=True, check=True).stdout)
    assert [exercise["status"] for exercise in grade["exercises"]] == ["passed", "not_started"]
    assert grade["exercises"][0]["score"] == 10


def test_the_same_work_gives_the_same_bytes(small, tmp_path):
    """No time and no order of the disk is in the zip."""
    for name in ("one", "two"):
        submit(small, "--out", str(tmp_path / f"{name}.zip"))
        os.utime(small.stub("softmax"), (1, 1))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_nothing_keeps_a_student_from_handing_in(small, tmp_path):
    """A file that does not parse, one that is no text, one that is missing, and a course that cannot be checked."""
    small.stub("softmax").write_bytes(b"def softmax(:\n\xff")
    small.stub("attention").unlink()
    said = submit(small)
    assert "softmax: cannot be loaded" in said
    assert "attention: there is no attention.py" in said
    small.stub("attention").write_text("x = 1\n")
    small.suite("attention", "visible").unlink()
    said = submit(small, "--out", str(tmp_path / "ada.zip"))
    assert "could not be checked" in said
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert archive.read("exercises/softmax.py") == b"def softmax(:\n\xff"


def test_notebooks_go_without_what_their_cells_gave(small):
    """The sources of a notebook are its cells: outputs may be large, and private."""
    cell = {"cell_type": "code", "metadata": {}, "source": "x = 1", "execution_count": 3}
    notebook = {"cells": [{**cell, "outputs": [{"output_type": "stream", "text": "private"}]}], "nbformat": 4}
    small.stub("softmax").unlink()
    (small.root / "exercises" / "softmax.ipynb").write_text(json.dumps(notebook))
    submit(small)
    with zipfile.ZipFile(small.root / "build" / "submission.zip") as archive:
        data = archive.read("exercises/softmax.ipynb")
    assert b"private" not in data
    assert source_of(data).strip() == "x = 1"


def test_what_cannot_be_written_is_said(small):
    """A sentence with a way out, and no half a zip; the same where there is nothing to hand in."""
    (small.root / "file").write_text("")
    assert "Try --out with another place." in submit(small, "--out", "file/ada.zip", code=2)
    for name in NAMES:
        small.stub(name).unlink()
    assert "There is nothing to hand in" in submit(small, code=2)
    assert not list(small.root.glob("build/*"))


@pytest.mark.skipif(not HAS_TMUX, reason="the tests in a terminal need Debian's package tmux")
def test_it_asks_once(small):
    """In a terminal: no is no, and Enter is yes."""
    path = small.root / "build" / "ada.zip"
    command = f"{' '.join(AUTOGRADER)} submit --out {path}"
    with terminal(command, small.root) as window:
        window.wait("softmax: not started (5 holes)", "Hand in? [Y/n]")
        window.keep("submit-80")
        window.press("n", "Enter")
        window.wait("Nothing was written.", "[ended: 1]")
    assert not path.exists()
    with terminal(command, small.root, 40) as window:
        window.wait("Hand in? [Y/n]")
        window.keep("submit-40")
        window.press("Enter")
        window.wait("Wrote build/ada.zip: 2 files and a manifest.", "[ended: 0]")
    assert path.is_file()
