"""A term of 120 students and three assignments, played through by commands, and all points worked out a second time."""

import csv
import io
import json
import math
import random
import re
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from course_copy import copy_course

from autograder.cli import main
from autograder.course import load_course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.grading import EVERYTHING, Grader
from autograder.submission import Submission

STUDENTS, LATE_DAYS, PENALTY, LIMIT = 120, 2, 10, 3
EXERCISE = {"week1": "softmax", "week2": "positional_encoding", "week3": "quantization"}
DUE = {week: datetime(2027, 1, 10, 12, tzinfo=UTC) + timedelta(weeks=n) for n, week in enumerate(EXERCISE)}
NAMES = ['O\'Neil, Zoë "Z"', "=Cmd, Eve", "Ñandú, José", "李, 小龙", "de la Cruz, Ana María"]
TOML = """
[[assignment]]
name = "{week}"
exercises = ["{exercise}"]
deadline = {due}
penalty_percent_per_day = 10
{more}
"""


def person(number):
    """A student's name, as Canvas writes it."""
    return NAMES[number] if number < len(NAMES) else f"Last{number:03}, First{number:03}"


@pytest.fixture(scope="module")
def term(tmp_path_factory):
    """The course with its three assignments, and the roster."""
    root = tmp_path_factory.mktemp("term")
    course = copy_course(root / "course", list(EXERCISE.values()))
    more = {"week1": "", "week2": f"attempts = {LIMIT}", "week3": "groups = true\npoints = 20"}
    with open(course.root / "course.toml", "a", encoding="utf-8") as file:
        file.write(f"\n[policy]\nlate_days = {LATE_DAYS}\n")
        for week, exercise in EXERCISE.items():
            file.write(TOML.format(week=week, exercise=exercise, due=DUE[week].isoformat(), more=more[week]))
    with open(root / "roster.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "email", "group", "identifier"])
        for n in range(STUDENTS):
            writer.writerow([1000 + n, person(n), f"s{n}@x.org", f"G{n // 2}", f"Participant {5000 + n}"])
    return load_course(course.root), root


@pytest.fixture(scope="module")
def texts(term):
    """What students hand in, by exercise: right, wrong in known ways, not begun, no Python."""
    course, _ = term
    found = {}
    for name in EXERCISE.values():
        mistakes = known_mistakes(course, name)
        found[name] = {
            "right": course.solution(name).read_text(encoding="utf-8"),
            "wrong": mistakes[0].source,
            "worse": mistakes[7].source,
            "stub": course.stub(name).read_text(encoding="utf-8"),
            "broken": "def (:\n",
        }
    return found


def worth(term, texts, worker, name):
    """The points of each text, by the grader alone."""
    course = load_course(term[0].root)
    grader = Grader.start(course, course.select([name]), EVERYTHING, worker, locked=True)
    return {kind: grader.grade(Submission("x", {name: text})).score for kind, text in texts[name].items()}


def notebook(text):
    """A notebook that holds a text."""
    return json.dumps({"cells": [{"cell_type": "code", "source": text}], "nbformat": 4})


def packed(files):
    """A zip's bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def rows(path):
    """A CSV's rows."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def counts(points, time, due, free):
    """A second reckoning of late work: what counts, and how many free days are used."""
    days = max(math.ceil((time - due) / timedelta(days=1)), 0) if time else 0
    used = min(days, free)
    return points * max(1 - (days - used) * PENALTY / 100, 0), used


def test_a_term(term, texts, worker, monkeypatch, capsys):
    """Hand-ins of every kind, late, extended, in groups, over the limit; a corrected suite; gradebook files out."""
    course, root = term
    monkeypatch.chdir(course.root)
    chance = random.Random(2027)
    kinds = ["right"] * 5 + ["wrong", "worse", "stub", "broken"]
    expected = {n: {} for n in range(STUDENTS)}
    free = dict.fromkeys(range(STUDENTS), LATE_DAYS)

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    def grade(week, *more):
        paths = sorted(path for path in (root / week).iterdir() if path.name != "handed-in.csv")
        listed = ("--handed-in", root / week / "handed-in.csv")
        return run("grade", *paths, *listed, "--assignment", week, "--out", root / f"r-{week}", "--plain", *more)

    # Week 1: Gradescope's download, with times. Numbers 100 to 104 do nothing; 5 is excused, 6 has an extension.
    chosen1, files, metadata = {}, {}, []
    for n in [n for n in range(STUDENTS) if not 100 <= n < 105]:
        kind, late = chance.choice(kinds), chance.choice([-5, -1, 0, 0.5, 1.5, 3.2])
        chosen1[n] = (kind, DUE["week1"] + timedelta(days=late))
        files[f"export/submission_{n}/softmax.py"] = texts["softmax"][kind]
        metadata.append(
            f"submission_{n}:\n  :submitters:\n  - :name: x\n    :sid: '{1000 + n}'\n  :created_at: "
            f"{chosen1[n][1]:%Y-%m-%d %H:%M:%S} Z\n"
        )
    files["export/submission_metadata.yml"] = "".join(metadata)
    (root / "week1.zip").write_bytes(packed(files))
    said = run("collect", root / "week1.zip", root / "week1", "--roster", root / "roster.csv")
    assert "116 files in the download: 115 in 115 submissions, 1 left out." in said
    assert "Without a submission (5)" in said
    (root / "r-week1").mkdir()
    (root / "r-week1" / "exceptions.toml").write_text(
        '[[exception]]\nperson = "1005"\nexcused = true\nreason = "ill"\n'
        '[[exception]]\nperson = "s6@x.org"\nassignment = "week1"\nextension_hours = 96\nreason = "moved house"\n'
    )
    grade("week1")

    # A suite is corrected, and the week graded again: what was worth a point is worth nothing, another test two.
    suite = course.root / "tests" / "hidden" / "test_softmax.py"
    before = suite.read_text(encoding="utf-8")
    first, second = list(re.finditer(r"@points\(1,", before))[:2]
    after = (
        before[: first.start()]
        + "@points(0.5,"
        + before[first.end() : second.start()]
        + "@points(1.5,"
        + before[second.end() :]
    )
    suite.write_text(after, encoding="utf-8")
    old = {path.name: path.read_bytes() for path in (root / "r-week1").glob("*.json")}
    grade("week1")
    assert any((root / "r-week1" / name).read_bytes() != data for name, data in old.items())
    points1 = worth(term, texts, worker, "softmax")
    for n, (kind, time) in chosen1.items():
        if n != 5:
            due = DUE["week1"] + timedelta(hours=96 if n == 6 else 0)
            expected[n]["week1"], used = counts(points1[kind], time, due, free[n])
            free[n] -= used

    # Week 2: a folder of zips, notebooks, scripts and nested zips by hand, several attempts, one more than are allowed.
    name, folder, listed = EXERCISE["week2"], root / "week2", ["submission,student,time"]
    points2 = worth(term, texts, worker, name)
    folder.mkdir()
    for n in range(STUDENTS):
        tried = chance.choice([1, 1, 1, 2, 4])
        scores = []
        for attempt in range(tried):
            kind, form = chance.choice(kinds), chance.choice(["zip", "ipynb", "folder", "nested", "loose name"])
            time = DUE["week2"] + timedelta(hours=chance.choice([-30, -3, 1, 40])) + timedelta(minutes=attempt)
            text, where = texts[name][kind], folder / f"s{n}-{attempt}"
            if form == "zip":
                where.with_suffix(".zip").write_bytes(packed({f"exercises/{name}.py": text}))
            elif form == "ipynb":
                where.mkdir()
                (where / f"{name}.ipynb").write_text(notebook(text))
            else:
                where.mkdir()
                if form == "nested":
                    (where / "submission.zip").write_bytes(packed({f"exercises/{name}.py": text}))
                else:
                    (where / (f"{name}.py" if form == "folder" else f"{name} (1).py")).write_text(text)
            listed.append(f"s{n}-{attempt},s{n}@x.org,{time.isoformat()}")
            scores.append((time, kind, kind if form == "ipynb" else ""))
        # The limit counts texts, not hand-ins: the same text a second time is no attempt. A notebook's text is another.
        seen, graded = set(), []
        for time, kind, also in sorted(scores):
            if (kind, also) not in seen and len(seen) == LIMIT:
                continue
            seen.add((kind, also))
            graded.append(counts(points2[kind], time, DUE["week2"], free[n]))
        expected[n]["week2"] = max(score for score, _ in graded)
        best = next(used for score, used in graded if score == expected[n]["week2"])
        free[n] -= best
    (folder / "handed-in.csv").write_text("\n".join(listed) + "\n")
    said = grade("week2", "--roster", root / "roster.csv")
    refused = int(re.search(r"(\d+) attempts? not graded", said)[1])
    assert refused > 0
    assert refused + len(list((root / "r-week2").glob("*.json"))) == len(listed) - 1

    # Week 3: Moodle's download, a zip or notebook a folder, one member for each group; damaged, empty and a stranger's.
    name, files = EXERCISE["week3"], {}
    points3 = worth(term, texts, worker, name)
    for group in range(STUDENTS // 2):
        n = 2 * group + chance.randrange(2)
        kind, form = chance.choice(kinds), chance.choice(["zip", "ipynb", "py"])
        top = f"{' '.join(reversed(person(n).split(', ')))}_{5000 + n}_assignsubmission_file_"
        if group < 3:
            files[f"{top}/damaged.zip"] = b"PK\x03\x04 no"
            continue
        text = texts[name][kind]
        held = {"zip": packed({f"exercises/{name}.py": text}), "ipynb": notebook(text), "py": text}[form]
        files[f"{top}/{'submission.zip' if form == 'zip' else f'{name}.{form}'}"] = held
        for member in (2 * group, 2 * group + 1):
            expected[member]["week3"] = 2 * points3[kind]
    files["Some Body_99_assignsubmission_file_/quantization.py"] = texts[name]["right"]
    (root / "week3.zip").write_bytes(packed(files))
    said = run("collect", root / "week3.zip", root / "week3", "--roster", root / "roster.csv")
    assert "61 files in the download: 61 in 61 submissions, 0 left out." in said
    assert "Of nobody in the roster (1)" in said
    said = grade("week3")
    assert "3 submissions could not be read" in said

    # Everything that went in comes out, with the points of the second reckoning.
    folders = [root / f"r-{week}" for week in EXERCISE]
    run("report", *folders, "--report", f"csv={root}/all.csv", "--report", f"class={root}/class.html")
    table = rows(root / "all.csv")
    assert len(table) == STUDENTS + 1
    by_id = {row["id"]: row for row in table}
    total = 0.0
    for n in range(STUDENTS):
        row, mine = by_id[str(1000 + n)], expected[n]
        for week in EXERCISE:
            cell = row[f"assignment {week}"]
            assert (float(cell) if cell else None) == (
                pytest.approx(mine[week], abs=0.006) if week in mine else None
            ), (n, week)
        assert float(row["score"]) == pytest.approx(sum(mine.values()), abs=0.02)
        total += sum(mine.values())
    assert sum(float(row["score"]) for row in table if row["id"]) == pytest.approx(total, abs=0.5)
    assert by_id[""]["problem"] == "unmatched"
    page = (root / "class.html").read_text(encoding="utf-8")
    assert "Some Body" in page
    assert "<script" not in page

    # Canvas's own gradebook file, filled in: the same rows in the same order, one column changed.
    head = "Student,ID,SIS Login ID,Section,week3 (77),Other\r\n"
    lines = [
        ",".join(['"{}"'.format(person(n).replace('"', '""')), str(1000 + n), f"s{n}", "A", "", "x"])
        for n in range(STUDENTS)
    ]
    canvas = head + "\r\n".join(lines) + "\r\n"
    (root / "canvas.csv").write_bytes(canvas.encode())
    people = ("--roster", root / "roster.csv")
    said = run("fill", root / "canvas.csv", root / "r-week3", "--out", root / "filled.csv", *people)
    assert "Wrote 114 grades" in said
    filled = rows(root / "filled.csv")
    assert [row["ID"] for row in filled] == [str(1000 + n) for n in range(STUDENTS)]
    for n, row in enumerate(filled):
        assert bool(row["week3 (77)"]) == ("week3" in expected[n])
        assert not row["week3 (77)"] or float(row["week3 (77)"]) == pytest.approx(expected[n]["week3"])
    plain = re.sub(r",[\d.]*,x\r\n", ",,x\r\n", (root / "filled.csv").read_bytes().decode())
    assert plain == canvas
