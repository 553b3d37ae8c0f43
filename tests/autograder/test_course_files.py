"""The course's own files: skeletons, patches, the table of contents, and what is wrong with them in words."""

import subprocess
import sys

import pytest

from autograder.authoring.skeleton import stub
from autograder.course import CourseError, holes, load_course
from autograder.diagnosis.catalogue import apply_patch

SOLUTION = '''\
def f(x: int) -> int:
    """Doc stays."""
    # A hint stays.
    y = (
        x
        + 1
    )  # FINISH ME
    a, b = y, 2  # FINISH ME
    z: int = a  # FINISH ME
    print(z)  # FINISH ME
    # BEGIN SOLUTION
    for i in range(b):
        z += i
    # END SOLUTION
    kept = z  # not a hole
    return kept * 2  # FINISH ME
'''

STUB = '''\
def f(x: int) -> int:
    """Doc stays."""
    # A hint stays.
    y = ...  # FINISH ME
    a, b = ...  # FINISH ME
    z: int = ...  # FINISH ME
    ...  # FINISH ME
    ...  # FINISH ME
    kept = z  # not a hole
    return ...  # FINISH ME
'''


def test_answers_become_holes_and_all_else_stays():
    """Assignments keep their targets, returns stay returns, everything else is one bare hole."""
    assert stub(SOLUTION) == STUB
    assert holes(STUB) == [4, 5, 6, 7, 8, 10]
    assert holes(SOLUTION) == []


def test_a_region_without_an_end_is_refused():
    """Half a region would give the answer away."""
    with pytest.raises(CourseError, match="region"):
        stub("# BEGIN SOLUTION\nx = 1\n")


def test_every_stub_imports_and_is_what_its_solution_gives(course):
    """The files in exercises/ are up to date, and importing one runs no hole."""
    for name in course.names:
        solution, level = course.solution(name).read_text(encoding="utf-8"), course.exercise(name).level
        assert course.stub(name).read_text(encoding="utf-8") == stub(solution, level)


def test_patches_apply_exactly_once():
    """A patch changes its place; one that fits nowhere or twice, or changes nothing, is refused."""
    source = "a = 1\nb = 2\nc = 1\n"
    assert apply_patch(source, "-b = 2\n+b = 3\n") == "a = 1\nb = 3\nc = 1\n"
    assert apply_patch(source, " a = 1\n+x = 0\n@@\n-c = 1\n") == "a = 1\nx = 0\nb = 2\n"
    for patch, why in (
        ("-d = 1\n+d = 2\n", "no longer applies"),
        (" b = 2\n", "changes nothing"),
        ("b = 2\n", "begins with"),
        ("-\n", "no longer applies"),
    ):
        with pytest.raises(CourseError, match=why):
            apply_patch(source, patch)
    with pytest.raises(CourseError, match="more than once"):
        apply_patch("a = 1\na = 1\n", "-a = 1\n+a = 2\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not complete"),
        ("title = ", "cannot be read"),
        ('title = "T"\n[[exercise]]\nname = "A b"\n', "no module's name"),
        ('title = "T"\n[[exercise]]\nname = "a"\n', "not complete"),
    ],
)
def test_a_wrong_table_of_contents_says_where(tmp_path, text, why):
    """A missing, broken or incomplete course.toml is one sentence."""
    (tmp_path / "course.toml").write_text(text)
    with pytest.raises(CourseError, match=why):
        load_course(tmp_path)


def test_pictures_say_what_is_left(course):
    """A stub run as a script is one sentence, not a traceback."""
    path = course.stub("softmax")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "holes to fill" in done.stdout
    assert not done.stderr
