"""How much a report on a hidden test can tell: counted, with a submission that tries to say as many things as it can.

Its answers are whatever the number asks for that it is called with; each different report is a thing that it can say.
"""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from autograder.course import Budget
from autograder.isolation.between.messages import Limits
from autograder.isolation.near.remote import RemoteModule, Session, Stopped
from autograder.isolation.near.worker import Confinement
from autograder.suites import assert_close, assert_dtype, assert_equal, assert_raises_value_error, runner
from autograder.suites.explain import Explainer
from autograder.suites.runner import Outcome

PROMISED = 8.0  # bits a hidden test and attempt: SECURITY.md gives this number
HIDDEN = runner.Test("t", "T", "hidden", 1.0, "What it is about.")
HERE = Path(__file__).parent / "attacks" / "tells_much.py"
# Two hundred functions, one of which raises: which one is another thing that could be told.
FUNCTIONS = "".join(f"def f{n}(error):\n    raise error('told')\n" + "\n" * (n % 7) for n in range(200))
# More functions than any exercise has, that a suite calls and that may be told as the place where something was raised.
ASKED = {"softmax", "refused", "ended", *(f"f{n}" for n in range(8))}
TRIES = HERE.read_text("utf-8") + FUNCTIONS


@pytest.fixture(scope="module")
def session(worker):
    """A child with such a submission, shut in."""
    budget = Budget(call=10, load=20, exercise=120, restarts=200)
    session = Session(worker, "tries", {"tries": TRIES}, budget, Confinement(True, Limits()))
    assert session.load() is None
    yield session
    session.end()


def _looks(student):
    """What a suite may do with an answer."""
    right = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.25, 0.25, 0.5]])
    return (
        lambda n: assert_close(student.softmax(n), right),
        lambda n: assert_dtype(student.softmax(n), np.dtype(np.float64)),
        lambda n: assert_equal(student.softmax(n), (1, "a")),
        lambda n: assert_raises_value_error(student.softmax, n),
        lambda n: student.softmax(n) + "suite",
    )


def test_a_report_on_a_hidden_test_tells_little(session):
    """As many reports as a test can have, whatever is done with the answer: so many bits, and no more."""
    student = RemoteModule(session.perform, "tries", session.calls)
    explainer = Explainer("tries", TRIES, session.definitions, 10.0, ASKED)
    counts = []
    for look in _looks(student):
        told = set()
        tries = [(look, n) for n in range(600)]
        tries += [(student.refused, n) for n in range(12)]
        if not counts:
            tries += [(student.ended, n) for n in (*range(0, 60, 6), *(60 + s for s in (1, 6, 9, 11, 15)))]
        for attempt, n in tries:
            error = None
            try:
                attempt(n)
            except (Exception, Stopped) as caught:
                error = caught
            if error is not None:
                told.add(explainer.explain(Outcome(HIDDEN, "failed", error, tuple(session.calls[-1:]), 1)))
        counts.append(len(told) + 1)  # and that it passed
    bits = [math.log2(count) for count in counts]
    print(f"\nbits a hidden test and attempt: {', '.join(f'{number:.1f}' for number in bits)}")
    assert 5 < max(bits) <= PROMISED


def test_of_a_hidden_test_nothing_is_told_that_a_submission_names(session):
    """Its own functions, classes, types, texts and numbers are in no report on a hidden test."""
    student = RemoteModule(session.perform, "tries", session.calls)
    explainer = Explainer("tries", TRIES, session.definitions, 10.0, {"softmax"})
    for look in _looks(student):
        for n in range(120):
            with suppress(Stopped):
                try:
                    look(n)
                except Exception as error:
                    text, line = explainer.explain(Outcome(HIDDEN, "failed", error, tuple(session.calls[-1:]), 1))
                    assert "told" not in text.lower()
                    assert "951" not in text
                    assert "`f" not in text
                    assert line in (0, session.definitions["softmax"][0])
