"""nbgrader grades under whatever protection holds, and not at all where none does."""

from pathlib import Path

import pytest
from nbgrader.converters.base import NbGraderException

from autograder.isolation.between.messages import PROFILES
from autograder.isolation.near import protection
from autograder.nbgrader_support.reading import SubmittedNotebookExporter
from autograder.nbgrader_support.service import GradingService
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", list(PROFILES)[1:])
def test_the_next_one_is_taken(monkeypatch, name):
    """Where the stronger ones are missing: the exporter finds it, the service grades with it, the grade says so."""
    really, stronger = protection.why_not, list(PROFILES)[: list(PROFILES).index(name)]
    if reason := really(name):
        pytest.skip(reason)
    monkeypatch.setattr(protection, "_looks_whole", lambda: False)
    monkeypatch.setattr(
        protection, "why_not", lambda of, secrets=(): "there is no such lock" if of in stronger else really(of, secrets)
    )
    exporter = SubmittedNotebookExporter(course=str(ROOT))
    service = exporter._service(("softmax",))
    assert isinstance(service, GradingService)
    try:
        source = (ROOT / "solutions" / "softmax.py").read_text("utf-8")
        grade = service.grade(Submission("ada", {"softmax": source}))
    finally:
        service.close()
    assert (grade.protection, grade.score) == (name, 10)


def test_none_is_a_refusal(monkeypatch):
    """It says which is missing and why, and grades nothing."""
    monkeypatch.setattr(protection, "_looks_whole", lambda: False)
    monkeypatch.setattr(protection, "why_not", lambda name, secrets=(): "there is no such lock")
    with pytest.raises(NbGraderException, match=r"(?s)Nothing was graded.*full.*unprivileged.*no such lock"):
        SubmittedNotebookExporter(course=str(ROOT))
