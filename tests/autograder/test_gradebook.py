"""The gradebook: what counts is what the policy says."""

from dataclasses import replace
from datetime import datetime

import pytest
from made import made

from autograder.course import CourseError
from autograder.reports.gradebook import gradebook

DEADLINE = "2027-01-10T12:00:00+00:00"


def policy_of(course, **policy):
    """The course with another policy."""
    return replace(course, policy=policy)


def test_late_work_attempts_and_overrides(course, tmp_path):
    """Grace, a penalty for each begun day, the best or the last attempt, and an instructor's word, with its reason."""
    grades = [made("ada-1", 1, 1, 1), made("ada-2", 1, 0, 0), made("bob", 1, 1, 0), made("cy", 0, 0, 0)]
    (tmp_path / "handed-in.csv").write_text(
        "submission,student,time\n"
        "ada-1,Ada,2027-01-12T13:00:00+00:00\n"  # two days and an hour late: three begun days
        "ada-2,Ada,2027-01-12T14:00:00+00:00\n"
        "bob,Bob,2027-01-10T13:59:00+00:00\n"  # within the grace
    )
    (tmp_path / "overrides.toml").write_text(
        '[[override]]\nsubmission = "cy"\nexercise = "softmax"\nscore = 5\nreason = "ill; examined orally"\n'
    )
    policy = {"deadline": datetime.fromisoformat(DEADLINE), "grace_hours": 2, "penalty_percent_per_day": 10}
    book = {entry.student: entry for entry in gradebook(policy_of(course, **policy), grades, tmp_path)}
    assert book["Ada"].score == pytest.approx(6 * 0.7)
    assert book["Ada"].attempts == pytest.approx((6 * 0.7, 2 * 0.7))
    assert "3 days late" in " ".join(book["Ada"].remarks)
    assert book["Bob"].score == 4
    assert book["Bob"].remarks == ()
    assert book["cy"].score == 5
    assert "ill; examined orally" in " ".join(book["cy"].remarks)
    last = gradebook(policy_of(course, **policy, attempt="last"), grades, tmp_path)
    assert next(entry for entry in last if entry.student == "Ada").score == pytest.approx(2 * 0.7)
    assert [grade.score for grade in grades] == [6, 2, 4, 0]


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"deadline": "tomorrow"}, "deadline"),
        ({"penalty_percent_per_day": 10}, "no deadline"),
        ({"grace_hours": -1}, "grace_hours"),
        ({"penalty_percent_per_day": 200}, "penalty"),
        ({"attempt": "first"}, "best"),
        ({"penalty": 3}, "unknown"),
    ],
)
def test_a_policy_that_makes_no_sense(course, tmp_path, policy, why):
    """Each is one sentence."""
    with pytest.raises(CourseError, match=why):
        gradebook(policy_of(course, **policy), [made("a", 1)], tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = 1\nreason = ""\n', "no reason"),
        ("overrides.toml", '[[override]]\nsubmission = "b"\nscore = 1\nreason = "r"\n', "no grade of b"),
        (
            "overrides.toml",
            '[[override]]\nsubmission = "a"\nexercise = "x"\nscore = 1\nreason = "r"\n',
            "no exercise x",
        ),
        ("overrides.toml", '[[override]]\nsubmission = "a"\nscore = nan\nreason = "r"\n', "no number"),
        ("overrides.toml", "[", "cannot be used"),
        ("handed-in.csv", "submission,student\na,A\n", "needs the columns"),
        ("handed-in.csv", "submission,student,time\na,A,2027-01-01T00:00:00\n", "no zone"),
    ],
)
def test_what_lies_beside_the_grades_must_make_sense(course, tmp_path, file, text, why):
    """Each is one sentence."""
    (tmp_path / file).write_text(text)
    with pytest.raises(CourseError, match=why):
        gradebook(course, [made("a", 1)], tmp_path)
