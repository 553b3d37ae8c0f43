"""What suites stand on: the tiny checkpoint, examples that are drawn once, and random numbers that are their own."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from course_copy import copy_course
from tiny_checkpoint import tiny_checkpoint, tiny_logits, tiny_tokenizer

from autograder.grading import EVERYTHING, Grader
from autograder.submission import Submission
from autograder.suites import examples
from autograder.suites.randomness import own_random_numbers, seed


@pytest.mark.parametrize("adds_start", [True, False])
def test_the_tiny_checkpoint_is_what_transformers_reads(adds_start):
    """Transformers loads it; its logits and its tokens are those that the suites expect."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_checkpoint(adds_start)
    text = " the cat sat on café moon."
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert ids == tiny_tokenizer(adds_start).encode(text).ids
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    logits = model(torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(tiny_logits(ids), logits, rtol=0, atol=1e-5)  # its angles are float32


def test_kept_examples_are_those_of_a_plain_run(grader, course, solution, monkeypatch):
    """The grader asks the same, in the same order, as hypothesis does when it draws every time."""
    attention = course.exercise("attention")
    sources = {name: solution(name) for name in ("softmax", "attention")}
    kept = [grader.run(attention, sources).session.calls for _ in range(2)]
    monkeypatch.setattr(examples, "DataObject", object)  # a test that draws inside is left to hypothesis
    plain = grader.run(attention, sources).session.calls
    assert len(plain) > 300
    for calls in kept:
        assert [call.message for call in calls] == [call.message for call in plain]


def test_a_student_sees_the_smallest_example(grade_softmax, solution):
    """Of a visible property that fails, hypothesis finds the simplest case."""
    wrong = solution("softmax").replace("/ np.sum(exponentials, axis=axis, keepdims=True)", "/ np.sum(exponentials)")
    (test,) = [t for t in grade_softmax(wrong).tests if t.name == "slices_sum_to_one"]
    assert "softmax(np.array([[0., 0.]," in test.feedback


def _draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_each_example_has_the_same_random_numbers():
    """Whatever the example before it drew, or did not draw because it failed."""
    drawn = []

    def inner_test(times):
        drawn.append(_draws())
        for _ in range(times):
            _draws()

    test = SimpleNamespace(hypothesis=SimpleNamespace(inner_test=inner_test))
    with own_random_numbers():
        assert [examples._failure(test, {}, {"times": times}) for times in (0, 3, 1)] == [None] * 3
    assert len(set(drawn)) == 1


def test_random_numbers_are_put_back():
    """Those of Python, NumPy and PyTorch."""
    with own_random_numbers():
        seed(5)
        expected = _draws()
        seed(5)
        with own_random_numbers():
            seed(6)
            assert len({*_draws(), *expected}) == 6
        assert _draws() == expected


def test_a_suite_is_read_again_when_it_has_changed(grader, worker, solution, tmp_path):
    """A process that has loaded a suite takes the text that is there now, and not what it has under that name."""
    course = copy_course(tmp_path, ["softmax"])
    suite = course.suite("softmax", "hidden")
    before, exercise = suite.read_text(encoding="utf-8"), course.exercise("softmax")

    def worth() -> float:
        fresh = Grader.start(course, [exercise], EVERYTHING, worker, locked=True)
        return fresh.grade_exercise(Submission("test", {"softmax": solution("softmax")}), exercise, ()).score

    assert worth() == 10
    suite.write_text(before.replace("@points(1,", "@points(3,", 1), encoding="utf-8")
    assert worth() == 12
