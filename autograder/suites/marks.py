"""Points and titles of tests."""

import pytest


def points(worth: float, title: str) -> pytest.MarkDecorator:
    """Marks a test with what it is worth and what it is called in a student's words."""
    return pytest.mark.points(worth, title)
