"""Words cannot kill: whatever comes back is explained in bounded time and memory, or not at all."""

import contextlib
import random
import resource
import threading
import time

import fuzz_words
import numpy as np
import pytest
import torch

from autograder.grading import _words
from autograder.isolation.between.wire import encode
from autograder.isolation.near.remote import Call, Failure, Request, Stopped, StudentError
from autograder.suites import limits
from autograder.suites.compare import Mismatch, assert_close, assert_equal, assert_shape
from autograder.suites.differences import describe
from autograder.suites.explain import Explainer
from autograder.suites.limits import contained
from autograder.suites.runner import Outcome
from autograder.suites.runner import Test as Declared
from autograder.suites.shown import paste, show

EXPLAINER = Explainer("softmax", "def softmax(scores):\n    return 1\n", {"softmax": (1, 2)}, 10.0)
MOST = 6000  # characters of one explanation


def _hostile(rng, depth=0):
    """A value such as a submission may send."""
    plain = [
        None, True, -(2**63), 10**200, float("nan"), -0.0, complex(1, float("inf")), "", "a" * 100_000, "\ud800\x1b[2J",
        b"\0" * 5000, ..., np.float16(1e-7), np.zeros(0), np.zeros((0, 2**20)), np.zeros((1,) * 16, np.int8),
        np.zeros((4,) * 9 + (3,), np.int8), np.full((3, 3), np.inf), np.array(5), np.zeros((2, 0, 3), bool),
        torch.zeros(2, 3, requires_grad=True), torch.zeros(0, 2**20, dtype=torch.bool), torch.tensor(1.0).bfloat16(),
        torch.ones(3, dtype=torch.complex64), np.float32, torch.float16, torch.device("cpu"),
    ]  # fmt: skip
    if depth < 3 and rng.random() < 0.5:
        items = [_hostile(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 3 if depth else 200]))]
        return rng.choice([items, tuple(items), {str(i): item for i, item in enumerate(items)}])
    return rng.choice(plain)


@pytest.mark.parametrize("seed", range(12))
def test_hostile_values_are_put_in_bounded_words(seed):
    """Through every comparison and both kinds of test: no exception but the suite's own, no page of text."""
    rng = random.Random(seed)
    begun = time.process_time()
    for _ in range(6):
        got, expected = _hostile(rng), rng.choice([np.ones(3), torch.ones(2, 3), 1.0, [1, 2], "text", _hostile(rng)])
        for compare in (
            assert_close,
            assert_equal,
            _shape_of,
        ):
            try:
                compare(got, expected)
            except Exception as error:
                raised = error
            else:
                continue
            for visibility in ("visible", "hidden"):
                call = Call(encode(tuple(Request("call", ("softmax", "softmax"), (np.ones(3),)))), value=got)
                test = Declared("t", "T", visibility, 1.0, "Meaning.")
                assert len(_words(Outcome(test, "failed", raised, (call,), 1), EXPLAINER).text) < MOST
        assert len(show(got)) < MOST
        assert len(paste(got)) < MOST
        assert len(describe(got, expected, None)) < 300
    assert time.process_time() - begun < 20


def _shape_of(got, expected):
    assert_shape(got, tuple(expected.shape) if hasattr(expected, "shape") else ())


def test_a_tuple_of_tensors_gets_a_useful_sentence():
    """A `forward` that returns output and weights, with gradients."""
    pair = (torch.ones(2, 3, requires_grad=True), torch.ones(2, 2, requires_grad=True))
    with pytest.raises(Mismatch, match=r"a tuple of 2 tensors instead of a tensor of shape .*; the part at index 0"):
        assert_close(pair, torch.ones(2, 3))


def test_texts_are_never_made_an_array():
    """A hundred thousand letters and ten thousand empty texts would be four gigabytes."""
    texts = ["a" * 100_000] + [""] * 10_000
    assert describe(texts, np.ones(3), None) == ""
    with pytest.raises(Mismatch):
        assert_close(texts, np.ones(3))


def test_a_hidden_test_tells_few_things():
    """A submission that tries: lines, exit codes, types, factors and shapes come to a handful of texts."""
    test = Declared("t", "T", "hidden", 1.0, "Meaning.")
    call = Call(encode(tuple(Request("call", ("softmax", "softmax"), (np.ones(3),)))), value=None)
    errors = [
        *(StudentError(Failure("raised", f"E{i}", frames=(("softmax.py", i % 3, "f"),))) for i in range(300)),
        *(Stopped(Failure("crashed", status=status)) for status in range(-60, 256)),
        *(_mismatch(np.arange(3.0) * i + i % 7, np.arange(3.0)) for i in range(2, 300)),
        *(_mismatch(np.ones((i, i + 1)), np.ones((2, 2))) for i in range(300)),
    ]
    texts = {_words(Outcome(test, "failed", error, (call,), 1), EXPLAINER) for error in errors}
    assert len(texts) <= 64


def _mismatch(got, expected):
    try:
        assert_close(got, expected)
    except Mismatch as error:
        return error
    return Mismatch("the same", got, expected)


@pytest.mark.parametrize("seed", range(2))
def test_hostile_submissions_are_graded_and_reported(grader, seed):
    """The same through a real child, the suites, the diagnosis and every report; `fuzz_words.py` takes more of them."""
    fuzz_words.once(grader, seed, ["softmax"])


def test_words_are_bounded_in_any_thread(monkeypatch):
    """Time and memory of what is said are bounded in the main thread and in every other, and the bounds are lifted."""
    monkeypatch.setattr(limits, "SECONDS", 0.2)
    monkeypatch.setattr(limits, "MEMORY", 2**27)
    before = resource.getrlimit(resource.RLIMIT_AS)
    found = []

    def say():
        begun = time.monotonic()
        found.append(contained(_deaf, "too long"))
        found.append(contained(lambda: bytearray(2**30), "too large"))
        found.append(contained(lambda: "said", "not said"))
        found.append(time.monotonic() - begun < 10)

    for run in (lambda: say(), lambda: _in_thread(say)):
        found.clear()
        run()
        assert found == ["too long", "too large", "said", True]
        assert resource.getrlimit(resource.RLIMIT_AS) == before


def _deaf():
    """Runs for ever, deaf to every `Exception`."""
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def _in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
