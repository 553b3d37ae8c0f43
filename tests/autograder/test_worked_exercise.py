"""The page that makes an exercise end to end: its very files, proved by `verify` in a copy of the course."""

import re
from pathlib import Path

from course_copy import ROOT, copy_course

from autograder.authoring.coursemap import write_map
from autograder.authoring.mutants import run_mutants
from autograder.authoring.skeleton import write_stubs
from autograder.authoring.verify import verify
from autograder.course import load_course

PAGE = (ROOT / "docs" / "worked-exercise.md").read_text(encoding="utf-8")


def test_the_exercise_of_the_page_is_in_order(tmp_path):
    """What the page prints is what comes out, and no mutant survives."""
    root = copy_course(tmp_path / "course", ["softmax"]).root
    files = re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(files) == 6
    for path, text in files:
        target = Path(root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:  # the entry is added to what is there
            file.write(text)
    course = load_course(root)
    written = write_stubs(course)
    assert written == ["layer_norm"]
    write_map(course)
    reports = list(verify(course, course.select(["layer_norm"]), processes=1))
    # The page shows a few mistakes and one answer; the guide asks for more of both, and `verify` says so.
    complaints = [complaint for report in reports for complaint in report.complaints]
    assert len(complaints) == 2
    assert all(complaint.endswith("are asked") for complaint in complaints)
    assert reports[-1].line() in PAGE
    (mutants,) = run_mutants(course, course.select(["layer_norm"]), processes=1)
    assert mutants.survivors == ()
    assert mutants.killed > 15
