"""Attempts are counted once and for good, and a student is told no more than the assignment says."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from autograder import grades as grade_module
from autograder.course import CourseError
from autograder.grades import ExerciseGrade, Grade, Hint
from autograder.reports import classroom50, gradescope, markdown, prairielearn, student
from autograder.reports.disclosure import disclosed
from autograder.reports.formats import write_report
from autograder.reports.gradebook import gradebook, without_policy
from autograder.submission import Submission
from autograder.term.admission import admit
from autograder.term.assignments import Assignment
from autograder.term.attempts import LOG, Log, refusals

START = datetime(2027, 1, 1, 12, tzinfo=UTC)
LIMITED = Assignment("w", ("softmax",), attempts=3, per_day=2, cooldown=timedelta(minutes=10))


def test_limits_by_hand(tmp_path):
    """A cool-down, a budget for a day and a limit; the same text costs nothing; a larger limit lets in what waited."""
    log = Log.read(tmp_path)
    minutes = {"a": 0, "b": 5, "c": 20, "d": 40, "e": 24 * 60 + 30, "f": 3 * 24 * 60}
    judged = {
        text: log.judge(LIMITED, "ada", f"ada-{text}", text, START + timedelta(minutes=after))
        for text, after in minutes.items()
    }
    assert [text for text, why in judged.items() if not why] == ["a", "c", "e"]
    assert "10 minutes" in judged["b"]
    assert "24 hours" in judged["d"]
    assert "all 3 attempts" in judged["f"]
    assert not log.judge(LIMITED, "ada", "again", "a", START + timedelta(days=9))
    assert not log.judge(LIMITED, "bob", "bob", "a", START)
    assert len(Log.read(tmp_path).attempts) == 7
    assert set(refusals(tmp_path)) == {"ada-b", "ada-d", "ada-f"}
    assert not Log.read(tmp_path).judge(replace(LIMITED, attempts=4), "ada", "ada-f", "f", START + timedelta(days=3))
    assert set(refusals(tmp_path)) == {"ada-b", "ada-d"}
    # A limit that sinks later takes nothing back.
    assert not Log.read(tmp_path).judge(replace(LIMITED, attempts=1), "ada", "ada-e", "e", START)


def test_batches_groups_and_the_gradebook(tmp_path, course):
    """In the order of time, not of names; a group's attempts are one account; each member hears of what was refused."""
    (tmp_path / "roster.csv").write_text("id,name,group\n1,Ada,A\n2,Bob,A\n3,Cy,\n")
    (tmp_path / "in.csv").write_text(
        "submission,student,time\nlast,Ada,2027-01-04T00:00:00Z\nfirst,Bob,2027-01-01T00:00:00Z\n"
        "second,Ada,2027-01-02T00:00:00Z\ncy,Cy,2027-01-01T00:00:00Z\n"
    )
    submissions = [Submission(name, {"softmax": name}) for name in ("last", "first", "second", "cy")]
    assignment = Assignment("w", ("softmax",), attempts=2, groups=True)
    for _ in range(2):  # a second run decides nothing anew
        kept, refused = admit(assignment, submissions, tmp_path, tmp_path / "in.csv")
        assert [submission.name for submission in kept] == ["first", "second", "cy"]
        assert list(refused) == ["last"]
    assert len((tmp_path / LOG).read_text().splitlines()) == 4
    entry = {"name": "w", "exercises": ["softmax"], "attempts": 2, "groups": True}
    test = grade_module.TestResult("t", "T", "visible", "passed", 10.0, 10.0, "")
    grades = [Grade(s.name, (ExerciseGrade("softmax", "passed", (test,)),)) for s in kept]
    from autograder.term.roster import read_roster

    roster = read_roster(tmp_path / "roster.csv")
    found = gradebook(replace(course, assignments=(entry,)), grades, tmp_path, "w", roster, None, refusals(tmp_path))
    assert [entry.student for entry in found if "last was not graded" in " ".join(entry.remarks)] == ["Ada", "Bob"]
    (tmp_path / "less.csv").write_text("submission,student,time\ncy,Cy,2027-01-01T00:00:00Z\n")
    with pytest.raises(CourseError, match="lacks a line"):
        admit(assignment, submissions, tmp_path, tmp_path / "less.csv")


def test_a_half_written_line_is_no_attempt(tmp_path):
    """What a crash cut off is taken away by the next attempt; damage in the middle is a sentence."""
    log = Log.read(tmp_path)
    log.judge(LIMITED, "ada", "a", "1", START)
    with open(tmp_path / LOG, "ab") as file:
        file.write(b'{"who": "ada", "submi')
    again = Log.read(tmp_path)
    assert len(again.attempts) == 1
    again.judge(LIMITED, "ada", "b", "2", START + timedelta(days=1))
    assert len(Log.read(tmp_path).attempts) == 2
    text = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(b"{\n" + text)
    with pytest.raises(CourseError, match="line 1"):
        Log.read(tmp_path)


CHILD = """
import sys
from datetime import datetime, timedelta, UTC
from pathlib import Path
from autograder.term.assignments import Assignment
from autograder.term.attempts import Log
log = Log.read(Path(sys.argv[1]))
for number in range(10_000):
    log.judge(Assignment("w", ("softmax",), attempts=9), str(number), f"s{number}", "text", datetime.now(UTC))
    print(number, flush=True)
"""


def test_kill_9_loses_no_attempt(tmp_path):
    """Every attempt that was let in before the kill is in the log afterwards; ten times, at different moments."""
    said = -1
    for wait in range(1, 11):
        command = [sys.executable, "-P", "-c", CHILD, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(3 * wait):
            said = max(said, int(child.stdout.readline()))
        os.kill(child.pid, signal.SIGKILL)
        said = max([said, *map(int, child.stdout.read().split())])
        child.stdout.close()
        child.wait()
        known = {attempt.who for attempt in Log.read(tmp_path).attempts}
        assert {str(number) for number in range(said + 1)} <= known
        assert len(known) == len(Log.read(tmp_path).attempts)


def graded():
    """One exercise: two visible tests that pass, four hidden ones of which two fail."""
    tests = [grade_module.TestResult(f"v{i}", f"Visible {i}", "visible", "passed", 2.0, 2.0, "") for i in range(2)]
    for i, passed in enumerate((True, False, True, False)):
        status = "passed" if passed else "failed"
        said = "" if passed else f"Because {i}"
        points = 1.5 * passed
        tests.append(grade_module.TestResult(f"h{i}", f"Secret {i}", "hidden", status, points, 1.5, said))
    return Grade("ada", (ExerciseGrade("softmax", "failed", tuple(tests), hints=(Hint("m", "Look there"),)),))


@pytest.mark.parametrize(
    ("tells", "shown", "hidden"),
    [
        ("titles", ["Secret 0", "Secret 3", "Because 1", "Look there"], []),
        ("count", ["Hidden tests", "2 of 4 pass", "7 of 10"], ["Secret", "Because", "Look there"]),
        (
            "first",
            ["Secret 1", "Because 1", "The other hidden tests", "7 of 10"],
            ["Secret 0", "Secret 3", "Because 3"],
        ),
        ("nothing", ["4 of 4", "after the deadline"], ["Secret", "Because", "Look there", "Hidden", "7", "10 points"]),
    ],
)
def test_what_a_student_is_told(course, tells, shown, hidden):
    """Each setting on the student's page, in Markdown and for Gradescope; after the deadline nothing is held back."""
    deadline = START + timedelta(days=1)
    entry = {"name": "w", "exercises": ["softmax"], "tells": tells, "deadline": deadline}
    term = replace(course, assignments=(entry,))
    (before,) = (disclosed(term, entry, START) for entry in without_policy([graded()]))
    page = student.render(term, [before]).split("<body>")[1]
    for text in (page, gradescope.render(term, [before]), prairielearn.render(term, [before])):
        assert not [word for word in hidden if word in text and word not in ("7", "10 points")]
    assert not [word for word in hidden if word in page]
    assert not [word for word in shown if word not in page]
    assert "Secret" in markdown.render(term, without_policy([graded()]))
    (after,) = (disclosed(term, entry, deadline + timedelta(days=1)) for entry in without_policy([graded()]))
    if tells == "nothing":
        assert after.score == 7
        assert "Secret 3" in student.render(term, [after])


def test_reports_of_students_are_held_back(course, tmp_path):
    """By `write_report` itself, whatever format is asked for; instructors' reports say all."""
    entry = {
        "name": "w",
        "exercises": ["softmax"],
        "tells": "nothing",
        "deadline": datetime.now(UTC) + timedelta(days=1),
    }
    term = replace(course, assignments=(entry,))
    for name in ("student", "gradescope", "markdown", "github", "gitlab", "junit", "prairielearn"):
        write_report(f"{name}={tmp_path}/{name}", term, without_policy([graded()]))
        assert "Secret" not in (tmp_path / name).read_text(), name
    write_report(f"class={tmp_path}/class", term, without_policy([graded()]))
    assert "Secret 1" in (tmp_path / "class").read_text()


def test_formats_of_other_systems(course, monkeypatch):
    """What PrairieLearn and Classroom 50 publish is what they get; points that are no whole numbers become such."""
    schemas = {
        n: json.loads((Path(__file__).parent / "formats" / f"{n}.schema.json").read_text())
        for n in ("classroom50", "prairielearn")
    }
    broken = replace(graded(), unreadable="It is no zip.")
    with pytest.raises(CourseError, match="CLASSROOM"):
        classroom50.render(course, without_policy([graded()]))
    for name in ("CLASSROOM", "ASSIGNMENT", "COMMIT_URL", "RELEASE_URL", "OWNER"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setenv("SUBMISSION_TAG", "submit/2027-01-01T00-00-00Z-abc")
    for grade in (graded(), broken):
        jsonschema.validate(json.loads(classroom50.render(course, without_policy([grade]))), schemas["classroom50"])
        jsonschema.validate(json.loads(prairielearn.render(course, without_policy([grade]))), schemas["prairielearn"])
    result = json.loads(classroom50.render(course, without_policy([graded()])))
    assert (result["score"], result["max-score"]) == (14, 20)
    assert sum(test["score"] for test in result["tests"]) == 14
    assert json.loads(prairielearn.render(course, without_policy([graded()])))["score"] == 0.7
    assert json.loads(prairielearn.render(course, without_policy([broken])))["gradable"] is False
