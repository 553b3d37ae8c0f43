"""Reports: each format is read by what reads it."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xmlschema
from made import NASTY, made, nasty
from rich.console import Console
from scipy import stats

from autograder.cli import main
from autograder.course import CourseError, GraderError
from autograder.grades import ExerciseGrade, Grade, as_json
from autograder.reports import (
    classroom,
    github,
    gitlab,
    gradescope,
    junit,
    markdown,
    spreadsheet,
    student,
)
from autograder.reports.changes import changes
from autograder.reports.formats import FORMATS, check_specs, list_formats, read_course_results, write_report
from autograder.reports.gradebook import Entry, without_policy
from autograder.reports.gradescope_zip import write_zip
from autograder.reports.places import annotations_of
from autograder.reports.statistics import items, mistakes
from autograder.reports.terminal import print_failures, print_grades, print_reading
from autograder.submission import Submission

FORMATS_HERE = Path(__file__).parent / "formats"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def graded(grader, course):
    """Real grades: right, wrong in a known way, raising, not Python, and not begun."""
    right = course.solution("softmax").read_text(encoding="utf-8")
    sources = {
        "right": right,
        "wrong": right.replace("np.exp(", "np.exp2("),
        "raises": "def softmax(scores, axis=-1):\n    x = 1\n    return x[0]\n",
        "broken": "def softmax(scores:\n",
        "fresh": course.stub("softmax").read_text(encoding="utf-8"),
    }
    return {name: grader.grade(Submission(name, {"softmax": source})) for name, source in sources.items()}


def test_junit_is_what_its_schema_says(course, graded):
    """The XML is valid, its counts are true, and no text of a student breaks it."""
    text = junit.render(course, without_policy([*graded.values(), nasty()]))
    schema = xmlschema.XMLSchema(FORMATS_HERE / "junit.xsd")
    schema.validate(text)
    suites = {suite.get("name"): suite for suite in xmlschema.XMLResource(text).root}
    assert {tag: suites["right.softmax"].get(tag) for tag in ("failures", "errors", "skipped")} == {
        "failures": "0",
        "errors": "0",
        "skipped": "0",
    }
    wrong = suites["wrong.softmax"]
    assert int(wrong.get("failures")) == len(wrong.findall("testcase/failure")) > 0
    assert int(suites["broken.softmax"].get("errors")) == int(suites["broken.softmax"].get("tests"))
    assert int(suites["fresh.softmax"].get("skipped")) == int(suites["fresh.softmax"].get("tests"))


def test_annotations_stand_at_the_students_lines(course, graded):
    """A failure points at the line that raised or does not parse, or at its function; fresh work is left in peace."""
    lines = {name: {(t.file, t.line) for t in annotations_of(grade)} for name, grade in graded.items()}
    assert ("exercises/softmax.py", 3) in lines["raises"]
    assert lines["broken"] == {("exercises/softmax.py", 1)}
    source = course.solution("softmax").read_text(encoding="utf-8").splitlines()
    begins = {number for number, line in enumerate(source, 1) if line.startswith("def ")}
    # Wrong numbers have no line of their own: their function has, or the place where they go wrong first.
    places = {place.line for exercise in graded["wrong"].exercises for place in exercise.places}
    assert {line for _, line in lines["wrong"]} == begins | places
    assert not [place for place in lines["fresh"] | lines["right"] if "softmax" in place[0]]
    commands = github.render(course, without_policy([graded["raises"]])).splitlines()
    assert any(re.match(r"::error file=exercises/softmax\.py,line=3,title=[^:,]+::", line) for line in commands)


def test_no_text_becomes_a_command(course):
    """A student's text cannot start a workflow command, a table row or a tag of its own."""
    commands = github.render(course, without_policy([nasty()]))
    assert commands.count("\n") == 1
    assert not re.search(r"^(?!::error file=exercises)", commands.rstrip("\n"), re.MULTILINE)
    text = markdown.render(course, without_policy([nasty()]))
    assert "<script>" not in text.split("```text")[0]
    xml = junit.render(course, without_policy([nasty()]))
    out = io.StringIO()
    shown = Console(file=out, width=200, force_terminal=True)
    print_grades(shown, [nasty()])
    print_reading(shown, [nasty(), replace(nasty(), unreadable=NASTY)])
    print_failures(shown, nasty().exercises[0], whole=True)
    for said in (commands, text, xml, re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())):
        assert not re.search(r"^\s*(?:::|##\[)(?!error file=exercises)", said, re.MULTILINE)
        assert "##[" not in said
        assert not re.search("[\x00\x1b\u202e\u2066\x9b]", said)


def test_the_summary_has_the_table(course, graded):
    """The Markdown summary names each exercise once with its score."""
    text = markdown.render(course, without_policy([graded["wrong"]]))
    assert re.search(r"\| Softmax \| ❌ failed \| [\d.]+/10 \| \d+ of \d+ \|", text)


def test_gitlab_reads_the_artifact(course, graded):
    """What GitLab documents for Code Quality: the fields, and fingerprints that are unique."""
    findings = json.loads(gitlab.render(course, without_policy(list(graded.values()))))
    assert findings
    assert all({"description", "check_name", "fingerprint", "severity", "location"} == set(f) for f in findings)
    assert all(f["location"]["lines"]["begin"] >= 1 for f in findings)
    assert len({f["fingerprint"] for f in findings}) == len(findings)


def test_gradescope_results(course, graded):
    """Gradescope's documented fields: hidden tests and hints wait for the due date, scores add up."""
    data = json.loads(gradescope.render(course, without_policy([graded["wrong"]])))
    assert data["score"] == graded["wrong"].score
    assert sum(test.get("score", 0) for test in data["tests"]) == pytest.approx(graded["wrong"].score)
    known = {"name", "number", "score", "max_score", "status", "visibility", "output", "output_format"}
    for test in data["tests"]:
        assert set(test) <= known
        assert test["visibility"] in ("visible", "after_due_date", "after_published", "hidden")
    hidden = [t for e in graded["wrong"].exercises for t in e.tests if t.visibility == "hidden"]
    shown = {test["name"] for test in data["tests"] if test["visibility"] == "visible"}
    assert not {f"{course.exercise('softmax').title}: {test.title}" for test in hidden} & shown


def test_gradescopes_zip_runs_in_its_folders(tmp_path, small_copy, graded):
    """Unpacked as Gradescope does, `run_autograder` leaves the results where Gradescope looks; twice the same bytes."""
    course = small_copy
    for name in ("a.zip", "b.zip"):
        write_zip(course, tmp_path / name, course.select(["softmax"]), trust=False)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    root = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        archive.extractall(root / "source")
    (root / "submission").mkdir()
    (root / "results").mkdir()
    shutil.copy(root / "source" / "run_autograder", root)
    (root / "run_autograder").chmod(0o755)
    (root / "submission" / "softmax.py").write_text(course.solution("softmax").read_text(encoding="utf-8"))
    (root / "source" / ".venv" / "bin").mkdir(parents=True)  # what setup.sh makes, with this Python's libraries
    python = root / "source" / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run([root / "run_autograder"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert data["score"] == 10
    assert len(data["tests"]) == len(graded["right"].exercises[0].tests)
    metadata = {"id": 4711, "users": [{"name": "Ada Lovelace"}, {"name": "Charles Babbage"}]}
    (root / "submission_metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (root / "source" / "course.toml").write_text("[course", encoding="utf-8")
    _gradescope_says(root, "Submission 4711 of Ada Lovelace, Charles Babbage was not graded", "course.toml")
    shutil.rmtree(root / "source")
    (root / "submission_metadata.json").write_text("[", encoding="utf-8")
    _gradescope_says(root, "This submission was not graded", "exit code 3")


def _gradescope_says(root, *words):
    """Where the grader fails there are results all the same: no zero, and the reason for the instructor alone."""
    done = subprocess.run([root / "run_autograder"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    (test,) = data["tests"]
    assert test["visibility"] == "hidden"
    assert test["max_score"] == 0
    assert "score" not in data
    assert "not your fault" in data["output"]
    for word in words:
        assert word in test["output"]
        assert word not in data["output"]


@pytest.fixture(scope="module")
def small_copy(tmp_path_factory):
    """A course of softmax and attention in a folder of its own."""
    from course_copy import copy_course

    return copy_course(tmp_path_factory.mktemp("course"), ["softmax", "attention"])


def test_csv_comes_back_as_it_was(course):
    """A CSV reader gets names with commas, quotes and line breaks back, and no cell is a formula."""
    names = ['O\'Neil, Zoë "Z"', "Ada\nLovelace", "李"]
    formulas = ["=HYPERLINK(1)", " =1+1", "＝1+1", "x;=1+1", "x\t@SUM(1)", "'-1", "\x1b[2J=1"]
    text = spreadsheet.render(course, without_policy(made(n, 1, 0) for n in [*names, *formulas]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["student"] for row in rows[:3]] == names
    assert all(row["student"].startswith("'") for row in rows[3:-1])
    assert rows[-1]["student"] == "\\x1b[2J=1"
    assert text.startswith('"student"')  # every cell in quotes: no separator of another country parts one
    assert {row["softmax"] for row in rows} == {"2"}
    assert {row["score"] for row in rows} == {"2"}


def test_item_analysis_agrees_with_scipy(course):
    """Difficulty is a mean, discrimination SciPy's point-biserial correlation with the rest of the score."""
    marks = np.random.default_rng(0).integers(0, 2, (30, 4))
    marks[:, 3] = 1
    found = items(without_policy(made(f"s{i}", *map(int, row)) for i, row in enumerate(marks)))
    for place in range(3):
        rest = 2 * (marks.sum(axis=1) - marks[:, place])
        expected = stats.pointbiserialr(marks[:, place], rest).statistic
        assert found[place].discrimination == pytest.approx(expected)
        assert found[place].difficulty == pytest.approx(marks[:, place].mean())
    assert found[3].discrimination is None
    assert found[3].passed == 30


def test_mistakes_are_counted():
    """The most frequent mistake comes first."""
    grades = [made("a", 0, hints=["x"]), made("b", 0, hints=["y", "x"]), made("c", 1)]
    assert [(mistake, count) for _, mistake, _, count in mistakes(without_policy(grades))] == [("x", 2), ("y", 1)]


@pytest.fixture
def class_of_40():
    """Forty students with several attempts, one of them with a hostile name."""
    random = np.random.default_rng(1)
    entries = []
    for number in range(40):
        marks = [int(mark) for mark in random.integers(0, 2, 6)]
        grade = made(f"student {number}" if number else NASTY, *marks, hints=["no-max"] if number % 3 == 0 else ())
        entries.append(
            Entry(grade.submission, grade, grade.score, ("1 day late: 10 % less.",), (1.0, 2.0, grade.score))
        )
    return entries


def test_pages_hold_all_that_they_show(course, graded, class_of_40):
    """No page loads anything or runs anything, hostile text stays text, and the same input gives the same page."""
    for text in (student.render(course, without_policy([nasty()])), classroom.render(course, class_of_40)):
        assert "<script" not in text
        assert not re.search(r'(?:src|href)="(?!#)', text)
        assert "&lt;script&gt;" in text
    assert classroom.render(course, class_of_40) == classroom.render(course, class_of_40)
    ids = re.findall(r' id="([^"]+)"', classroom.render(course, class_of_40))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [390, 1200])
def test_pages_in_a_browser(course, graded, class_of_40, tmp_path, width):
    """Chromium draws both pages, on a phone and on a desk."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here: `apt-get install chromium`")
    for name, text in (
        ("student", student.render(course, without_policy([graded["wrong"]]))),
        ("class", classroom.render(course, class_of_40)),
    ):
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8", errors="replace")
        picture = tmp_path / f"{name}.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},1400"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
        subprocess.run([*command, f"file://{tmp_path}/{name}.html"], check=True, capture_output=True, timeout=100)
        assert picture.stat().st_size > 10_000
        if keep := os.environ.get("KEEP_SCREENSHOTS"):
            shutil.copy(picture, Path(keep) / f"{name}-{width}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_pages_pass_axe(course, graded, class_of_40, axe, tmp_path, scheme, width):
    """No violation of axe-core's rules, in the light and in the dark, and nothing wider than a phone."""
    if not (driver := shutil.which("chromedriver")):
        pytest.skip("there is no chromedriver here: `apt-get install chromium-driver`")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    pages = {
        "student": student.render(course, without_policy([graded["wrong"]])),
        "class": classroom.render(course, class_of_40),
    }
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # the pages themselves run no script
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for name, text in pages.items():
            (tmp_path / f"{name}.html").write_text(text, encoding="utf-8", errors="replace")
            browser.get(f"file://{tmp_path}/{name}.html")
            browser.execute_script(axe)
            found = browser.execute_async_script("const done = arguments[0]; axe.run().then(done)")
            assert not [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]], name
            assert len(found["passes"]) > 15
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.quit()


def test_what_changed_and_why():
    """Who gained, lost, came and went, test by test; nothing for equal grades."""
    old = [made("ada", 1, 0), made("bob", 1, 1), made("cy", 1, 1)]
    new = [made("ada", 1, 1), made("bob", 0, 1), made("dee", 1, 1), made("cy", 1, 1)]
    text = "\n".join(changes(old, new))
    assert "ada: 2 → 4 (+2)" in text
    assert "bob: 4 → 2 (-2)" in text
    assert "Test 0: 2 → 0" in text
    assert "dee: is new" in text
    assert "cy" not in text
    assert list(changes(old, old)) == []
    assert "no grade any more" in "\n".join(changes(old, []))


def test_the_report_command(tmp_path, monkeypatch, capsys):
    """Files where asked for, several students in a folder each; bad wishes and bad results are sentences, exit 2."""
    results = tmp_path / "results"
    results.mkdir()
    for grade in (made("ada", 1, 0), made("O'Neil, Zoë", 1, 1)):
        (results / f"{grade.submission}.json").write_text(json.dumps(as_json(grade)))
    assert (
        main(["report", str(results), "--report", f"csv={tmp_path}/a.csv", "--report", f"student={tmp_path}/pages"])
        == 0
    )
    assert (tmp_path / "a.csv").read_text().count("\n") == 3
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"ada.html", "O'Neil, Zoë.html"}
    assert main(["report", "--diff", str(results), str(results)]) == 0
    assert "Nothing changed." in capsys.readouterr().out
    for arguments in (
        ["report", str(results), "--report", "pdf"],
        ["report", str(results), "--report", "gradescope"],
        ["report", str(results)],
        ["report", str(tmp_path / "none"), "--report", "csv"],
        ["report", "--diff", str(results), str(tmp_path / "none")],
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert error.strip()
        assert "Traceback" not in error
    (results / "bad.json").write_text("{")
    assert main(["report", str(results), "--report", f"csv={tmp_path}/a.csv"]) == 2
    assert (tmp_path / "a.csv").read_text().count("\n") == 3


def test_results_of_another_course(course, tmp_path):
    """An exercise that this course does not have is named."""
    grade = Grade("ada", (ExerciseGrade("knitting", "passed", ()),))
    (tmp_path / "ada.json").write_text(json.dumps(as_json(grade)))
    with pytest.raises(CourseError, match="knitting"):
        read_course_results(course, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="no grades"):
        read_course_results(course, tmp_path / "empty")


def test_the_page_lists_every_format(course):
    """The table of docs/reports.md and `report --formats` have what there is, and nothing else."""
    page = (course.root / "docs" / "reports.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(FORMATS)
    assert [line.split()[0] for line in list_formats().splitlines()] == list(FORMATS)


def test_reports_are_whole_or_not_at_all(course, tmp_path):
    """What cannot be written is said; every format can be."""
    with pytest.raises(GraderError, match="could not be written"):
        write_report("csv=/dev/null/x.csv", course, without_policy([made("a", 1)]))
    for name in set(FORMATS) - {"classroom50"}:  # needs its runner's environment
        check_specs([name])
        write_report(f"{name}={tmp_path / name}", course, without_policy([made("a", 1)]))
        assert (tmp_path / name).is_file()
    assert not list(tmp_path.glob(".*.new"))
