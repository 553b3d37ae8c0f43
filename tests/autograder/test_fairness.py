"""Hidden tests ask only for what is said: each names a sentence, and it stands in the stub at every level."""

import re

from course_copy import copy_course

from autograder.authoring.fairness import unfounded, unguided
from autograder.course import load_course
from autograder.stubs import plain


def test_a_sentence_runs_on_over_the_ends_of_lines_and_comments():
    """Text cells are comments, and docstrings are indented; a student reads neither the marks nor the line ends."""
    text = "# So choose *c*\n# well.\n    #\n    Then no\n    overflow.\n"
    assert plain(text) == "So choose *c* well. Then no overflow."


def test_hints_are_for_holes_and_say_what_stands_nowhere(tmp_path):
    """A function with holes has a hint, a hint is for a function with holes, and none repeats the screen."""
    course = copy_course(tmp_path / "course", ["softmax"])
    assert unguided(course, course.exercise("softmax")) == []
    path = course.root / "course.toml"
    text = path.read_text(encoding="utf-8").replace("hints.log_softmax", "hints.logarithm")
    text = text.replace('"Do not take the log', '"Each slice divided by its own sum. Do not take the log')
    path.write_text(text, encoding="utf-8")
    assert unguided(course, load_course(course.root).exercise("softmax")) == [
        "there is no hint for log_softmax",
        "there are hints for logarithm, where no hole is",
        "a hint for logarithm says what stands in the stub: Each slice divided by its own sum.",
    ]


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
