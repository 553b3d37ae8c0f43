"""Where the lesson answers a known mistake: the words that the tests which catch it rest on."""

from __future__ import annotations

import json

from autograder.course import Course
from autograder.declared import declared_tests
from autograder.diagnosis.catalogue import known_mistakes


def grounds(course: Course, name: str) -> dict[str, str]:
    """For each known mistake of an exercise the words of its text that say it right, where a test names them."""
    if not course.suite(name, "hidden").is_file():
        return _recorded(course, name)
    tests = {
        test.name: test.rests_on for kind in ("visible", "hidden") for test in declared_tests(course.suite(name, kind))
    }
    found = {
        m.id: [words for test in m.caught_by for words in tests.get(test, ())] for m in known_mistakes(course, name)
    }
    return {mistake: words[0] for mistake, words in found.items() if words}


def _recorded(course: Course, name: str) -> dict[str, str]:
    """What a release knows of it; nothing where its file is not there or damaged."""
    try:
        recorded = json.loads(course.fingerprints(name).read_text(encoding="utf-8"))["grounds"]
        return {str(mistake): str(words) for mistake, words in recorded.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
