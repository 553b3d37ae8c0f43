"""Hidden tests ask only for what is said: each names a sentence, and it stands in the stub at every level."""

import re

from course_copy import copy_course

from autograder.authoring.fairness import plain, unfounded


def test_a_sentence_runs_on_over_the_ends_of_lines_and_comments():
    """Text cells are comments, and docstrings are indented; a student reads neither the marks nor the line ends."""
    text = "# So choose *c*\n# well.\n    #\n    Then no\n    overflow.\n"
    assert plain(text) == "So choose *c* well. Then no overflow."


def test_a_test_without_a_sentence_and_one_that_is_said_nowhere(tmp_path):
    """Both are named; what stands in a comment above a hole is not said, for an open stub does not have it."""
    course = copy_course(tmp_path / "course", ["softmax"])
    assert unfounded(course, "softmax") == []
    path = course.suite("softmax", "hidden")
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'@rests_on\("Floating dtypes are kept"\)\n', "", text)
    text = text.replace('"integers are computed as floats"', '"Integers are refused."')
    text = text.replace('"its probability is exactly 0"', '"exp of what is left of each score"')
    text = text.replace('"finite wherever the scores are"', '"finite"')
    path.write_text(text, encoding="utf-8")
    assert unfounded(course, "softmax") == [
        "the hidden test minus_infinity rests on 'exp of what is left of each score', which is not in the stub (open)",
        "the hidden test log_softmax_extremes rests on 'finite', which is too short to be looked up",
        "the hidden test dtypes_are_kept names no sentence that it rests on",
        "the hidden test integers rests on 'Integers are refused.', which is not in the stub (guided, fading, open)",
    ]
