"""Assignments and people: what counts for whom, worked out again by hand; and bad input, a sentence each."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from course_copy import copy_course

from autograder import grades as grade_module
from autograder.authoring.release import release, released_part, texts
from autograder.cli import main
from autograder.course import CourseError, load_course
from autograder.grades import ExerciseGrade, Grade, as_json
from autograder.reports import spreadsheet
from autograder.reports.gradebook import gradebook
from autograder.reports.term import joined, read_term
from autograder.term.assignments import assignments, due, find, late_days
from autograder.term.roster import read_roster, read_table

DEADLINE = datetime(2027, 1, 31, 23, 59, tzinfo=UTC)
WEEK1 = {"name": "week1", "exercises": ["attention", "softmax"], "deadline": DEADLINE, "penalty_percent_per_day": 10}


def with_assignments(course, *entries, **policy):
    """The course with these assignments."""
    return replace(course, assignments=entries, policy=policy)


def made(name, unreadable="", **marks):
    """A grade by hand: an exercise a keyword, ten points, so many of them reached; None for a missing one."""

    def exercise(title, points):
        test = grade_module.TestResult(
            "t", "T", "visible", "passed" if points == 10 else "failed", float(points or 0), 10.0, ""
        )
        status = "missing" if points is None else "passed" if points == 10 else "failed"
        return ExerciseGrade(title, status, (test,))

    return Grade(name, tuple(exercise(*mark) for mark in marks.items()), unreadable=unreadable)


def test_what_an_assignment_inherits(course):
    """Settings of the policy hold for every assignment that says nothing else; exercises come in the course's order."""
    week2 = {"name": "week2", "exercises": ["positional_encoding"], "points": 5, "tells": "count"}
    found = assignments(with_assignments(course, WEEK1, week2, grace_hours=2, attempts=3, late_days=4))
    assert found[0].exercises == ("softmax", "attention")
    assert [a.grace for a in found] == [timedelta(hours=2)] * 2
    assert [a.attempts for a in found] == [3, 3]
    assert [a.penalty for a in found] == [10, 0]
    assert found[1].points == 5
    assert late_days(with_assignments(course, late_days=4)) == 4
    assert find(course, "").exercises == course.names
    assert "in 30 days" in due(found[0], datetime(2027, 1, 1, tzinfo=UTC))
    assert "was due" in due(found[0], datetime(2027, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"exercises": ["softmax"]}, "needs a name"),
        ({"name": "../x", "exercises": ["softmax"]}, "folders"),
        ({"name": "w"}, "needs exercises"),
        ({"name": "w", "exercises": ["sofmax"]}, "Is softmax meant"),
        ({"name": "w", "exercises": ["softmax"], "deadline": datetime(2027, 1, 1)}, "zone"),
        ({"name": "w", "exercises": ["softmax"], "deadlines": 3}, "deadlines is unknown"),
        ({"name": "w", "exercises": ["softmax"], "points": 0}, "points"),
        ({"name": "w", "exercises": ["softmax"], "attempts": 0}, "attempts"),
        ({"name": "w", "exercises": ["softmax"], "attempts": True}, "attempts"),
        ({"name": "w", "exercises": ["softmax"], "tells": "all"}, "tells"),
        ({"name": "w", "exercises": ["softmax"], "groups": 1}, "groups"),
        ({"name": "w", "exercises": ["softmax"], "cooldown_minutes": -1}, "cooldown"),
    ],
)
def test_assignments_that_make_no_sense(course, entry, why):
    """Each is one sentence; so are two of one name, one that is not there, and a table that nobody knows."""
    with pytest.raises(CourseError, match=why):
        assignments(with_assignments(course, entry))
    with pytest.raises(CourseError, match="twice"):
        assignments(with_assignments(course, WEEK1, WEEK1))
    with pytest.raises(CourseError, match="There are: week1"):
        find(with_assignments(course, WEEK1), "week2")


def test_a_misspelt_table_is_found(tmp_path, course):
    """`[polic]` is no policy."""
    text = (course.root / "course.toml").read_text(encoding="utf-8")
    (tmp_path / "course.toml").write_text(text + "\n[polic]\ndeadline = 3\n")
    with pytest.raises(CourseError, match="polic is unknown"):
        load_course(tmp_path)


def rows(text):
    """A CSV's rows."""
    return list(csv.DictReader(io.StringIO(text)))


def test_people_groups_extensions_and_late_days(course, tmp_path):
    """Everybody comes out once: in time, late, late with free days, extended, excused, in a group, idle, unreadable."""
    term = with_assignments(course, {**WEEK1, "groups": True}, late_days=2)
    (tmp_path / "roster.csv").write_text(
        "id,name,email,group\n"
        '1,"Lovelace, Ada",ada@x.org,A\n2,Charles Babbage,cb@x.org,A\n3,José Ñandú,j@x.org,\n4,"Noether, Emmy",e@x,\n'
        "5,=Late Person,l@x.org,\n6,Nobody Home,n@x.org,\n7,Sick Leave,s@x.org,\n8,Broken Zip,b@x.org,\n",
        encoding="utf-8",
    )
    roster = read_roster(tmp_path / "roster.csv")
    late3 = (DEADLINE + timedelta(days=2, hours=1)).isoformat()
    (tmp_path / "handed-in.csv").write_text(
        f"submission,student,time\nada,ada@x.org,2027-01-30T00:00:00Z\njose,jose\u0301 n\u0303andu\u0301,{late3}\n"
        f"emmy,Emmy Noether,{late3}\nlate,5,{(DEADLINE + timedelta(days=3, hours=1)).isoformat()}\nbroken,8,\n",
        encoding="utf-8",
    )
    (tmp_path / "exceptions.toml").write_text(
        '[[exception]]\nperson = "e@x"\nassignment = "week1"\nextension_hours = 72\nreason = "ill"\n'
        '[[exception]]\nperson = "7"\nexcused = true\nreason = "on leave"\n'
    )
    grades = [made("ada", softmax=10, attention=5), made("jose", softmax=10, attention=10)]
    grades += [made("emmy", softmax=8, attention=10), made("late", softmax=10, attention=10)]
    grades += [made("broken", "it is no zip", softmax=0, attention=0), made("stranger", softmax=1, attention=0)]
    found = gradebook(term, grades, tmp_path, "week1", roster)
    book = {entry.student: entry for entry in found}
    assert len(found) == 9  # eight people and a stranger
    assert {name: entry.status for name, entry in book.items() if entry.status != "graded"} == {
        "Nobody Home": "absent", "Sick Leave": "excused", "Broken Zip": "unreadable", "stranger": "unmatched",
    }  # fmt: skip
    assert book["Lovelace, Ada"].score == book["Charles Babbage"].score == 15
    assert book["José Ñandú"].score == pytest.approx(20 * 0.9)  # three days late, two of them free
    assert book["José Ñandú"].late_days == 2
    assert book["Noether, Emmy"].score == 18
    assert "ill" in " ".join(book["Noether, Emmy"].remarks)
    assert book["=Late Person"].score == pytest.approx(20 * 0.8)  # four days late
    table = rows(spreadsheet.render(term, found))
    assert [row["student"] for row in table if row["score"] == ""] == ["Nobody Home", "Sick Leave", "Broken Zip"]
    assert {row["student"] for row in table} == {name if name[0] != "=" else f"'{name}" for name in book}
    for row in table:
        if row["score"]:
            assert float(row["softmax"]) + float(row["attention"]) == pytest.approx(float(row["score"]))


def test_the_best_of_each_exercise(course, tmp_path):
    """Two files of one student are one student's work, and each exercise keeps its best attempt, or its last."""
    grades = [made("one", softmax=10, attention=None), made("two", softmax=None, attention=10)]
    (tmp_path / "handed-in.csv").write_text(
        "submission,student,time\none,Alonzo,2027-01-01T00:00:00Z\ntwo,Alonzo,2027-02-01T12:00:00Z\n"
    )
    (entry,) = gradebook(with_assignments(course, WEEK1), grades, tmp_path, "week1")
    assert entry.score == 10 + 9  # the second was a day late
    assert entry.scores == {"softmax": 10, "attention": 9}
    last = [made("one", softmax=10, attention=4), made("two", softmax=2, attention=None)]
    (entry,) = gradebook(with_assignments(course, WEEK1, attempt="last"), last, tmp_path, "week1")
    assert entry.scores == {"softmax": pytest.approx(1.8), "attention": 4}
    scaled = with_assignments(course, {**WEEK1, "points": 5, "penalty_percent_per_day": 0})
    (entry,) = gradebook(scaled, grades, tmp_path, "week1")
    assert (entry.score, entry.max_score) == (5, 5)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("roster.csv", "id,name\n1,A\n1,B\n", "line 3: the id 1 is A's in line 2 and B's here"),
        ("roster.csv", "id,vorname\n1,A\n", "needs the columns"),
        ("roster.csv", "id,name\n", "lists nobody"),
        ("roster.csv", "id,name\n1,Lovelace, Ada\n", "needs quotes"),
        ("roster.csv", "id,name\n1,Jos\u00e9\n".encode("cp1252"), "not UTF-8"),
        (
            "handed-in.csv",
            "submission,student,time\na,A,2027-01-01T00:00:00Z\na,A,2027-01-01T00:00:00Z\n",
            "line 3.*line 2",
        ),
        ("handed-in.csv", "submission,student,time\nb,A,2027-01-01T00:00:00Z\n", "no submission 'b'"),
        ("handed-in.csv", "submission,student,time\nA ,A,tomorrow\n", "line 2: 'tomorrow'"),
        ("handed-in.csv", "", "is empty"),
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = 90\nreason = "r"\n', "more than the 10"),
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = 1\n', "no reason"),
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = 1\nreason = "r"\nby = "me"\n', "by is unknown"),
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = 1\nreason = "r"\n' * 2, "Which one holds"),
        ("overrides.toml", "override = [3]\n", "entries and nothing else"),
        ("exceptions.toml", '[[exception]]\nperson = "a"\nreason = "r"\n', "changes nothing"),
        ("exceptions.toml", '[[exception]]\nperson = "a"\nexcused = true\nreason = " "\n', "no reason"),
        (
            "exceptions.toml",
            '[[exception]]\nperson = "a"\nassignment = "x"\nexcused = true\nreason = "r"\n',
            "no assignment",
        ),
        ("exceptions.toml", '[[exception]]\nperson = "a"\ndeadline = 2027-01-01T00:00:00\nreason = "r"\n', "zone"),
    ],
)
def test_bad_files_are_sentences(course, tmp_path, file, text, why):
    """Nothing is guessed, nothing is lost: the file, the line or the entry, and what to try."""
    path = tmp_path / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CourseError, match=why):
        gradebook(
            with_assignments(course, WEEK1),
            [made("a", softmax=1)],
            tmp_path,
            "",
            read_roster(path) if file == "roster.csv" else None,
        )


def test_exports_as_they_are(tmp_path):
    """Rosters of Canvas, Moodle (participants and grading worksheet), Gradescope and Classroom 50, ; or UTF-16."""
    canvas = 'Student,ID,SIS User ID,SIS Login ID,S,w (7)\n" Points Possible",,,,,20\n"Lovelace, Ada",101,S1,ada,,\n'
    moodle = "First name,Last name,ID number,Email address,Groups\nAda,Lovelace,,ada@x.org,A\n"
    sheet = "Identifier;Full name;Email address;Status;Grade\nParticipant 4711;Ada Lovelace;ada@x.org;;\n"
    gradescope = "First Name,Last Name,SID,Email,Sections\nAda,Lovelace,S1,ada@x.org,1\n"
    classroom = "username,first_name,last_name,email,section,github_id\nadal,Ada,Lovelace,,,9\n"
    for text, ids in ((canvas, "101"), (moodle, "ada@x.org"), (sheet, "4711"), (gradescope, "S1"), (classroom, "adal")):
        (tmp_path / "r.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-16"))
        roster = read_roster(tmp_path / "r.csv")
        assert len(roster.people) == 1
        for word in (ids, "Ada Lovelace", "lovelace,  ada", "lovelaceada"):
            assert roster.find(word) == roster.people[0], (text, word)
    assert read_table(tmp_path / "r.csv").delimiter == ","


def test_a_term_in_one_table(course, tmp_path, capsys, monkeypatch):
    """Several folders of results are one gradebook; late days that were used are gone."""
    two = {**WEEK1, "name": "week2", "exercises": ["positional_encoding"], "deadline": DEADLINE + timedelta(days=7)}
    term = with_assignments(course, WEEK1, two, late_days=2)
    late = {"week1": 1, "week2": 3}
    for name, exercise in (("week1", "softmax"), ("week2", "positional_encoding")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ".assignment").write_text(name)
        (folder / "ada.json").write_text(json.dumps(as_json(made("ada", **{exercise: 10}))))
        time = find(term, name).deadline + timedelta(days=late[name], hours=-1)
        (folder / "handed-in.csv").write_text(f"submission,student,time\nada,Ada,{time.isoformat()}\n")
    (tmp_path / "roster.csv").write_text("id,name\n1,Ada\n2,Bob\n")
    book = {entry.student: entry for entry in read_term(term, [tmp_path / "week2", tmp_path / "week1"])}
    assert book["Ada"].score == 10 + 8  # of three days one was left
    assert book["Ada"].max_score == 20
    assert (book["Bob"].status, book["Bob"].score, book["Bob"].max_score) == ("absent", 0, 20)
    (row, other) = rows(spreadsheet.render(term, list(book.values())))
    assert (row["assignment week1"], row["assignment week2"], row["score"]) == ("10", "8", "18")
    assert other["score"] == ""
    assert joined({}) == []
    with pytest.raises(CourseError, match="holds the grades of week1"):
        read_term(term, [tmp_path / "week1"], assignment="week2")


def test_a_release_of_one_week(tmp_path, capsys):
    """Up to the assignment, with what it builds on: its exercises, suites and deadlines, and no later exercise."""
    course = copy_course(tmp_path / "course", ["softmax", "attention", "positional_encoding"])
    with open(course.root / "course.toml", "a", encoding="utf-8") as file:
        file.write(
            '\n[[assignment]]\nname = "week1"\nexercises = ["attention"]\ndeadline = 2027-01-31T23:59:00+01:00\n'
            '\n[[assignment]]\nname = "week2"\nexercises = ["positional_encoding"]\n\n[policy]\nassistants = "free"\n'
        )
    course = load_course(course.root)
    said = []
    release(course, tmp_path / "students", 1, assignment="week1", said=said.append)
    released = load_course(tmp_path / "students")
    assert released.names == ("softmax", "attention")
    assert [assignment.name for assignment in assignments(released)] == ["week1"]
    assert not list((tmp_path / "students").rglob("*positional_encoding*"))
    readme = (tmp_path / "students" / "README.md").read_text(encoding="utf-8")
    assert "| week1 | Dot-product attention | Sunday 31 January 2027, 23:59 UTC+01:00 |" in readme
    assert "positional" not in readme.lower()
    assert "Help as you are asked" in (tmp_path / "students" / "AGENTS.md").read_text(encoding="utf-8")
    assert len(said) == 2
    assert released_part(course, "week2")[0].names == course.names
    with pytest.raises(CourseError, match="There are: week1, week2"):
        released_part(course, "week3")
    off = replace(course, policy={"assistants": "off"})
    assert Path("AGENTS.md") not in {Path(path) for path in texts(off)}


def test_commands_that_take_an_assignment(tmp_path, monkeypatch, capsys):
    """`submit`, `course`, `grade`, `report` and `gradescope` know it; results are of one assignment for good."""
    course = copy_course(tmp_path / "course", ["softmax", "attention"])
    with open(course.root / "course.toml", "a", encoding="utf-8") as file:
        file.write(
            '\n[[assignment]]\nname = "week1"\nexercises = ["softmax"]\n'
            "deadline = 2127-01-31T23:59:00+01:00\npoints = 4\n"
        )
    monkeypatch.chdir(course.root)
    assert main(["submit", "--assignment", "week1", "--yes", "--plain"]) == 0
    out = capsys.readouterr().out
    assert "week1 is due" in out
    assert "attention" not in out
    assert (course.root / "build" / "week1.zip").is_file()
    assert main(["course", "--plain"]) == 0
    assert "week1 is due Fri 31 Jan 2127, 23:59 UTC+01:00" in capsys.readouterr().out
    (tmp_path / "ada.py").write_text("")
    (course.root / "exercises" / "softmax.py").write_bytes(course.solution("softmax").read_bytes())
    results = str(tmp_path / "r")
    assert main(["grade", "exercises", "--assignment", "week1", "--out", results, "--processes", "1"]) == 0
    assert main(["report", results, "--report", f"csv={tmp_path}/a.csv"]) == 0
    (row,) = rows((tmp_path / "a.csv").read_text())
    assert (row["score"], row["max_score"], row["softmax"]) == ("4", "4", "4")
    assert main(["grade", "exercises", "--out", results]) == 0  # it is still of week1
    assert main(["grade", "exercises", "--assignment", "week1", "--exercise", "attention"]) == 2
    assert main(["gradescope", str(tmp_path / "g.zip"), "--assignment", "week1"]) == 0
    assert main(["grade", "exercises", "--assignment", "week9"]) == 2
    assert main(["report", results, "--report", "csv", "--diff", results, results]) == 2
