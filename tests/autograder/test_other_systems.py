"""What can be tried here of Windows and macOS: no fork, files with CRLF, archives with backslashes."""

import json
import subprocess
import sys
import zipfile

import pytest
from course_copy import copy_course

from autograder.diagnosis.catalogue import known_mistakes
from autograder.submission import read_submission

CHECK = """
import sys
from autograder.isolation.near import worker
worker.CAN_FORK = {forks}
from autograder.cli import main
sys.exit(main(["check", "--json", "--force", *sys.argv[1:]]))
"""


@pytest.fixture
def course(tmp_path):
    """Two exercises: the first holds a known mistake, the second is as it was given out."""
    course = copy_course(tmp_path / "course", ["softmax", "attention"])
    mistake = next(m for m in known_mistakes(course, "softmax") if m.id == "base-two")
    course.stub("softmax").write_text(mistake.source, encoding="utf-8")
    return course


def check(course, forks=True):
    """What `check --json` says of it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHECK.format(forks=forks)],
        cwd=course.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout)


def test_a_check_is_the_same_everywhere(course):
    """With and without fork, and where Git made every line end in CRLF: the same scores, words, hints and holes."""
    here = check(course)
    assert [exercise["status"] for exercise in here["exercises"]] == ["failed", "not_started"]
    assert [hint["mistake"] for hint in here["exercises"][0]["hints"]] == ["base-two"]
    assert check(course, forks=False) == here
    for path in course.root.rglob("*"):
        if path.suffix in (".py", ".toml", ".json", ".md", ".txt") and ".autograder" not in path.parts:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert check(course) == here


def test_a_zip_that_windows_made(course, tmp_path):
    """Its paths have backslashes, its text CRLF and a byte order mark."""
    text = course.stub("attention").read_text(encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = "course\\exercises\\attention.py"  # ZipInfo would put slashes in
        archive.writestr(info, text.replace("\n", "\r\n").encode("utf-8-sig"))
    submission = read_submission(tmp_path / "ada.zip", course)
    assert submission.sources == {"attention": text}
