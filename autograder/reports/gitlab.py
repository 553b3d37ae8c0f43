"""GitLab's Code Quality artifact, which shows each failure beside its line in a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from autograder.course import Course
from autograder.files import digest
from autograder.reports.gates import visible
from autograder.reports.gradebook import Entry
from autograder.reports.places import annotations_of


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The artifact: a list of findings."""
    findings = [
        {
            "description": visible(f"{entry.student}: " * (len(entries) > 1) + f"{found.title}: {found.text}"),
            "check_name": visible(found.title),
            "fingerprint": digest(f"{entry.student}\0{found.file}\0{found.title}"),
            "severity": "major",
            "location": {"path": found.file, "lines": {"begin": found.line}},
        }
        for entry in entries
        for found in annotations_of(entry.grade)
    ]
    return json.dumps(findings, indent=1, ensure_ascii=False) + "\n"
