"""GitLab's Code Quality artifact, which shows each failure beside its line in a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from autograder.course import Course
from autograder.files import digest
from autograder.reports.gates import visible
from autograder.reports.gradebook import Entry
from autograder.reports.places import troubles


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The artifact: a list of findings."""
    findings = [
        {
            "description": visible(f"{entry.student}: " * (len(entries) > 1) + f"{trouble.title}: {trouble.text}"),
            "check_name": visible(trouble.title),
            "fingerprint": digest(f"{entry.student}\0{trouble.file}\0{trouble.title}"),
            "severity": "major",
            "location": {"path": trouble.file, "lines": {"begin": trouble.line}},
        }
        for entry in entries
        for trouble in troubles(entry.grade)
    ]
    return json.dumps(findings, indent=1, ensure_ascii=False) + "\n"
