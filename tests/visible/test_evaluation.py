"""Evaluation, visible: the worked examples of the text, and the errors."""

import math

import torch

from autograder.suites import assert_close, assert_equal, assert_raises_value_error, points


@points(0.5, "Perplexity: the worked example, and a mask")
def test_perplexity(evaluation):
    """Logits at position t are about token t + 1. The tokens that count have 3/4 and 1/2: the mean, then exp."""
    three = math.log(3)
    logits = torch.tensor([[[0.0, three], [0.0, 0.0], [5.0, -5.0]], [[three, 0.0], [0.0, three], [0.0, 0.0]]])
    ids = torch.tensor([[0, 1, 1], [1, 0, 0]])
    got = evaluation.perplexity(logits[:1], ids[:1])
    assert_equal(type(got), float)
    assert_close(got, math.sqrt(8 / 3), digits=6)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert_close(evaluation.perplexity(logits, ids, mask), (4 / 3 * 4 / 3 * 4) ** (1 / 3), digits=6)


@points(0.25, "Bits per byte: the worked example")
def test_bits_per_byte(evaluation):
    """The word "naïve" has five characters and six bytes. A nat is 1 / ln 2 bits."""
    assert_close(evaluation.bits_per_byte(12 * math.log(2), "naïve"), 2.0, terms=8)


@points(0.5, "A choice by its probability, in all or per unit of length")
def test_choose(evaluation):
    """The sum prefers the short answer, the sum per token the long one. Of equally good ones it is the first."""
    choices = [torch.tensor([-2.0]), torch.tensor([-3.0, -1.0, -1.0]), torch.tensor([-1.0]), torch.tensor([-0.5] * 4)]
    assert_equal(evaluation.choose(choices), 2)
    assert_equal(evaluation.choose(choices, lengths=[1, 3, 1, 4]), 3)
    assert_equal(evaluation.choose(choices, lengths=[1, 50, 10, 4]), 1)
    assert_equal(evaluation.choose(choices, lengths=[2, 4, 2, 4]), 2)


@points(0.5, "Answers are cleaned and compared")
def test_answers(evaluation):
    """Case, punctuation, articles and spaces do not matter; F1 counts each shared word as often as both have it."""
    assert_equal(evaluation.exact_match("The cat,  sat!", "cat sat"), True)
    assert_equal(evaluation.exact_match("Theatre", "atre"), False)
    assert_equal(evaluation.exact_match("it's a-b", "its ab"), True)
    assert_close(evaluation.token_f1("The cat sat on a mat!", "a cat on the mat"), 6 / 7, terms=8)
    assert_close(evaluation.token_f1("no no no", "no, no, never!!! Ever"), 4 / 7, terms=8)
    for pair, expected in ((("a", "The."), 1.0), (("a", "cat"), 0.0), (("dog", "the"), 0.0), (("dog", "cat"), 0.0)):
        assert_equal(evaluation.token_f1(*pair), expected)


@points(0.5, "pass@k: the worked example, and ten thousand programs")
def test_pass_at_k(evaluation):
    """Of ten pairs of five programs three have none that passes. Large numbers must not overflow."""
    for (n, c, k), expected in (((5, 2, 2), 0.7), ((5, 0, 3), 0.0), ((5, 4, 2), 1.0), ((5, 3, 2), 0.9)):
        assert_close(evaluation.pass_at_k(n, c, k), expected, digits=9)
    assert_close(evaluation.pass_at_k(10_000, 10, 1000), 0.6514959721, digits=9)


@points(0.5, "The calibration error: the worked example")
def test_calibration(evaluation):
    """A confidence on an edge belongs to the bin below, 0 to the first bin, and bins weigh by their answers."""
    confidences, correct = torch.tensor([0.2, 0.5, 0.7, 0.9, 1.0]), torch.tensor([False, True, False, True, False])
    got = evaluation.expected_calibration_error(confidences, correct, num_bins=4)
    assert_equal(type(got), float)
    assert_close(got, 0.46, digits=6)
    # In ten bins each stands alone, and none on an edge but 0.5 and 1, which are exact in binary.
    apart = torch.tensor([0.23, 0.5, 0.72, 0.88, 1.0])
    got = evaluation.expected_calibration_error(apart, correct)
    assert_close(got, (0.23 + 0.5 + 0.72 + 0.12 + 1) / 5, digits=6)
    some = torch.tensor([0.0, 0.04, 0.27])
    assert_close(evaluation.expected_calibration_error(some, torch.tensor([True, False, True])), 1.69 / 3, digits=6)


@points(0.25, "What makes no sense is an error")
def test_errors(evaluation):
    """A text without a token that counts, one without bytes, and more programs than there are."""
    logits, ids = torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64)
    assert_raises_value_error(evaluation.perplexity, logits, ids, torch.tensor([[True, False, False]]))
    assert_raises_value_error(evaluation.bits_per_byte, 1.0, "")
    for wrong in ((5, 6, 1), (5, 2, 6), (5, 2, 0)):
        assert_raises_value_error(evaluation.pass_at_k, *wrong)
