"""JUnit XML, which Jenkins, GitLab, Azure and most other CI systems read: a suite an exercise, a case a test."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from autograder.course import Course
from autograder.reports.gates import xml
from autograder.reports.gradebook import Entry


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The report."""
    root = ET.Element("testsuites", name=xml(course.title))
    for entry in entries:
        for exercise in entry.grade.exercises:
            ended = {"failed": 0, "not_run": 0, "passed": 0}
            suite = ET.SubElement(root, "testsuite", name=xml(f"{entry.grade.submission}.{exercise.name}"))
            for test in exercise.tests:
                ended[test.status] += 1
                where = xml(f"{entry.grade.submission}.{exercise.name}")
                case = ET.SubElement(suite, "testcase", name=test.name, classname=where, time="0")
                if test.status != "passed":
                    # An exercise that did not load has failed, one that was never begun is skipped.
                    skipped = test.status == "not_run" and exercise.status in ("not_started", "missing")
                    tag = "skipped" if skipped else "failure" if test.status == "failed" else "error"
                    message = xml(test.title)
                    outcome = ET.SubElement(
                        case, tag, {"message": message} if skipped else {"message": message, "type": tag}
                    )
                    outcome.text = xml("\n".join([test.feedback, *(f"Hint: {hint.text}" for hint in exercise.hints)]))
            tags = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
            suite.attrib.update(
                tests=str(len(exercise.tests)),
                failures=str(tags["failure"]),
                errors=str(tags["error"]),
                skipped=str(tags["skipped"]),
                time="0",
            )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
