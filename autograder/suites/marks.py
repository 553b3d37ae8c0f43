"""Points and titles of tests, and what they rest on."""

import pytest


def points(worth: float, title: str) -> pytest.MarkDecorator:
    """Marks a test with what it is worth and what it is called in a student's words."""
    return pytest.mark.points(worth, title)


def rests_on(*sentences: str) -> pytest.MarkDecorator:
    """Marks a hidden test with what it rests on: words of the exercise's text or docstrings, as a student reads them.

    `verify` looks them up in the stub, so that nothing is asked for that is said nowhere.
    """
    return pytest.mark.rests_on(*sentences)
