"""A pytest plugin: warnings are errors on the versions that the course is tested with, and are listed on others.

A deprecation in a library that came out this morning is news for whoever keeps constraints.txt, and nobody's failure.
"""

from __future__ import annotations

import pytest

from autograder.versions import LOCK, differing, locked


def pytest_configure(config: pytest.Config) -> None:
    """Makes warnings errors, where nothing differs."""
    if locked(config.rootpath) and not differing(config.rootpath):
        config.addinivalue_line("filterwarnings", "error")


def pytest_report_header(config: pytest.Config) -> str:
    """Says which it is."""
    if not locked(config.rootpath):
        return f"warnings: listed, for there is no {LOCK}"
    others = [f"{name} {installed} ({tested})" for name, (tested, installed) in differing(config.rootpath).items()]
    if not others:
        return f"warnings: errors, for the versions are those of {LOCK}"
    return f"warnings: listed, for these versions are not those of {LOCK}: {', '.join(others)}"
