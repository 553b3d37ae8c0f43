"""Evaluation, hidden: against SciPy in float64, whole numbers of any length, and loops over characters and bins."""

import math
import string
from collections import Counter
from fractions import Fraction

import numpy as np
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import arrays, assert_close, assert_equal, assert_raises_value_error, points, rests_on


def mean_nats(logits, ids, mask):
    """The mean of -log p of the tokens that count, one after the other, in float64; None if none does."""
    log_p = scipy.special.log_softmax(logits.double().numpy(), axis=-1)
    places = [(b, t) for b in range(ids.shape[0]) for t in range(1, ids.shape[1]) if mask[b, t]]
    return -sum(log_p[b, t - 1, ids[b, t]] for b, t in places) / len(places) if places else None


@st.composite
def predictions(draw, size):
    """Logits [B, T, V] up to a size, ids [B, T] and a mask [B, T] or None."""
    b, t, v = draw(st.integers(1, 3)), draw(st.integers(2, 5)), draw(st.integers(2, 5))
    logits = torch.from_numpy(draw(arrays((b, t, v), -size, size, np.float32)))
    ids = torch.tensor(draw(st.lists(st.integers(0, v - 1), min_size=b * t, max_size=b * t))).view(b, t)
    mask = torch.tensor(draw(st.lists(st.booleans(), min_size=b * t, max_size=b * t))).view(b, t)
    return logits, ids, draw(st.sampled_from([None, mask]))


@points(1.0, "Perplexity is exp of the mean surprise of the tokens that count")
@rests_on("The exponential of the mean of -log p(ids[:, t + 1]), where logits[:, t] are the scores.")
@given(example=st.one_of(predictions(4.0), predictions(60.0)))
def test_perplexity(evaluation, example):
    """The shift is inside, the mask marks ids, the first never counts, and the mean is over all rows together."""
    logits, ids, mask = example
    expected = mean_nats(logits, ids, torch.ones_like(ids, dtype=torch.bool) if mask is None else mask)
    if expected is None:
        assert_raises_value_error(evaluation.perplexity, logits, ids, mask)
    elif expected < 80:  # beyond, float32 has no such perplexity
        got = evaluation.perplexity(logits, ids) if mask is None else evaluation.perplexity(logits, ids, mask=mask)
        assert_equal(type(got), float)
        assert_close(np.float32(math.log(max(got, 1e-30))), np.float32(expected), terms=30, scale=60.0)


@points(0.5, "Half precision is computed in float32, double precision in float64")
@rests_on("It is computed in float32 at least: half precision has three digits.")
def test_precision(evaluation):
    """The mean of hundreds of surprises needs more digits than float16 and bfloat16 have; the logits may be either."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(7, (3, 250), generator=generator)
    for dtype, terms in ((torch.float16, 60), (torch.bfloat16, 60), (torch.float32, 60), (torch.float64, 60)):
        logits = (5 * torch.randn(3, 250, 7, generator=generator)).to(dtype)
        expected = mean_nats(logits, ids, torch.ones_like(ids, dtype=torch.bool))
        kind = np.float64 if dtype == torch.float64 else np.float32
        assert_close(kind(math.log(evaluation.perplexity(logits, ids))), kind(expected), terms=terms)


@points(0.5, "Bits per byte, whatever the script")
@rests_on("the text, of which the UTF-8 bytes count")
@given(
    text=st.text(st.sampled_from("aZ 7\né߀語😀"), min_size=1, max_size=12),
    nats=st.sampled_from([0.0, 0.5, 37.25, 1e6]),
)
def test_bits_per_byte(evaluation, text, nats):
    """Characters take from one to four bytes in UTF-8; spaces and line breaks are bytes like any other."""
    size = sum(1 + (ord(c) >= 0x80) + (ord(c) >= 0x800) + (ord(c) >= 0x10000) for c in text)
    got = evaluation.bits_per_byte(nats, text)
    assert_equal(type(got), float)
    assert_close(got, nats * math.log2(math.e) / size, terms=8)


@points(0.5, "A choice by the sum, or the sum per unit of length")
@rests_on("of several that are equally good, the first")
@given(
    choices=st.lists(st.lists(st.integers(-40, 0), min_size=1, max_size=5), min_size=1, max_size=5),
    lengths=st.one_of(st.none(), st.lists(st.sampled_from([1, 2, 4, 8]), min_size=5, max_size=5)),
)
def test_choose(evaluation, choices, lengths):
    """The largest sum wins, or the largest sum over a length; where several are equal, the first of them."""
    # Eighths, and lengths that are powers of 2, so that every quotient is exact, and equal is equal.
    tensors = [torch.tensor(numbers, dtype=torch.float32) / 8 for numbers in choices]
    scores = [Fraction(sum(numbers)) for numbers in choices]
    if lengths is not None:
        lengths = lengths[: len(choices)]
        scores = [score / length for score, length in zip(scores, lengths, strict=True)]
    got = evaluation.choose(tensors) if lengths is None else evaluation.choose(tensors, lengths)
    assert_equal(got, scores.index(max(scores)))


@points(0.25, "Lengths are what they are given as")
@rests_on("the length of each choice, > 0, in any unit")
def test_lengths(evaluation):
    """Bytes or characters, say: they need not be the numbers of tokens, and may be large, and long texts improbable."""
    choices = [torch.full((500,), -3.0, dtype=torch.float64), torch.full((300,), -4.0), torch.full((100,), -8.0)]
    for lengths, expected in ((None, 2), ([500, 300, 100], 0), ([10, 1200, 400], 1), ([500, 600, 800], 2)):
        assert_equal(evaluation.choose(choices, lengths=lengths), expected)


def cleaned(answer):
    """SQuAD's words, character by character: what is no letter or digit parts words, and is a part of the text."""
    kept = "".join(c for c in answer.lower() if c not in string.punctuation)
    words, run = "", ""
    for c in [*kept, " "]:
        if c.isalnum():
            run += c
        else:
            words += (" " if run in ("a", "an", "the") else run) + c
            run = ""
    return words.split()


PIECES = (
    "a",
    "an",
    "The",
    "the",
    "cat",
    "Cat",
    "cats",
    "anna",
    "é",
    "...",
    ", ",
    " ",
    "\n\t",
    "_",
    "-",
    "'",
    "“",
    "7",
    "ÉTÉ",
)
ANSWERS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
SENTENCES = st.lists(st.sampled_from(["no", "yes", "The", "cat", "a", "Cat!", "an"]), max_size=7).map(" ".join)


@points(0.75, "Exact match, after the cleaning of SQuAD")
@rests_on("Whether both are the same once they are cleaned.")
@given(prediction=ANSWERS, reference=ANSWERS)
def test_exact_match(evaluation, prediction, reference):
    """Lower case, punctuation out, then articles that are words of their own, then the whitespace."""
    plain = "".join(c for c in prediction if c not in string.punctuation)
    pairs = [(prediction, reference), (prediction, plain.upper() + "!"), (f"the {reference}", reference)]
    pairs += [(f"Theatre {prediction}", f"atre {prediction}"), (f"a-cat {reference}", f"acat {reference}")]
    for one, other in pairs:
        assert_equal(evaluation.exact_match(one, other), cleaned(one) == cleaned(other))


@points(0.75, "F1 of the words, each as often as both have it")
@rests_on("1.0 for two empty answers, 0.0 for one")
@given(prediction=st.one_of(ANSWERS, SENTENCES), reference=st.one_of(ANSWERS, SENTENCES))
def test_token_f1(evaluation, prediction, reference):
    """Twice what they share over the words of both. Two empty answers have 1, one empty answer 0."""
    ours, theirs = Counter(cleaned(prediction)), Counter(cleaned(reference))
    shared = sum(min(count, theirs[word]) for word, count in ours.items())
    both = ours.total() + theirs.total()
    expected = Fraction(2 * shared, both) if both else Fraction(1)
    got = evaluation.token_f1(prediction, reference)
    assert_equal(type(got), float)
    assert_close(got, float(expected), terms=8)


@points(0.75, "pass@k is exact, for any numbers of programs")
@rests_on("n; 10,000 of them are no trouble")
@given(
    numbers=st.one_of(
        st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))),
        st.sampled_from(
            [(10_000, 1, 1), (10_000, 9_999, 1), (10_000, 5000, 10), (10_000, 3, 9_997), (10_000, 3, 9_998)]
        ),
        st.sampled_from([(10_000, 2, 5_000), (10_000, 0, 10_000), (10_000, 10_000, 1), (9_999, 20, 300), (1, 1, 1)]),
    )
)
def test_pass_at_k(evaluation, numbers):
    """One minus the part of all picks of k that hold no program that passes, counted in whole numbers."""
    n, c, k = numbers
    expected = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    got = evaluation.pass_at_k(n, c, k)
    assert_equal(type(got), float)
    # A product of c factors rounds c times; so does a sum of logarithms.
    assert_close(got, float(expected), terms=8 + c, scale=1.0)


def calibration_by_hand(confidences, correct, num_bins):
    """Bin by bin in exact fractions."""
    numbers = [Fraction(c) for c in confidences]
    total = Fraction(0)
    for b in range(num_bins):
        low, high = Fraction(b, num_bins), Fraction(b + 1, num_bins)
        inside = [i for i, c in enumerate(numbers) if low < c <= high or (b == 0 and c == 0)]
        total += abs(sum((int(correct[i]) - numbers[i] for i in inside), Fraction(0)))
    return float(total / len(numbers))


@points(0.5, "The calibration error, bin by bin")
@rests_on("A confidence of 0 goes into the first bin. Empty bins count nothing.")
@given(
    answers=st.lists(
        st.tuples(st.one_of(st.integers(0, 64), st.integers(0, 8).map(lambda edge: 8 * edge)), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    num_bins=st.sampled_from([None, 1, 2, 4, 8, 10, 15]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_calibration(evaluation, answers, num_bins, dtype):
    """Bins of equal width, the upper edge in and the lower out, weighed by their answers; empty bins count nothing."""
    places, correct = zip(*answers, strict=True)
    confidences = [place / 64 for place in places]  # exact in binary, and on no edge that is not
    expected = calibration_by_hand(confidences, correct, num_bins or 10)
    arguments = (torch.tensor(confidences, dtype=dtype), torch.tensor(correct))
    got = evaluation.expected_calibration_error(*arguments, **({} if num_bins is None else {"num_bins": num_bins}))
    assert_equal(type(got), float)
    assert_close(np.float32(got), np.float32(expected), terms=24, scale=1.0)


@points(0.25, "By default there are ten bins")
@rests_on("num_bins: int = 10")
def test_ten_bins(evaluation):
    """Bins of a tenth each: with confidences all over from 0 to 1, any other number of bins gives another error."""
    places = torch.arange(65)
    correct = (places * 7) % 5 < 2
    expected = calibration_by_hand((places / 64).tolist(), correct.tolist(), 10)
    got = evaluation.expected_calibration_error((places / 64).double(), correct)
    assert_close(np.float32(got), np.float32(expected), terms=24, scale=1.0)


@points(0.25, "What makes no sense is a ValueError that says why")
@rests_on(
    "ValueError: no token counts.", "ValueError: the text is empty.", "ValueError: unless 0 <= c <= n and 1 <= k <= n."
)
def test_errors(evaluation):
    """Nothing that counts, no bytes, and numbers of programs that cannot be; just inside the bounds all is well."""
    ids = torch.zeros(2, 1, dtype=torch.int64)
    assert_raises_value_error(evaluation.perplexity, torch.zeros(2, 1, 3), ids)
    longer = torch.zeros(2, 3, dtype=torch.int64)
    first_only = torch.tensor([[True, False, False]] * 2)
    for mask in (first_only, torch.zeros(2, 3, dtype=torch.bool)):
        assert_raises_value_error(evaluation.perplexity, torch.zeros(2, 3, 3), longer, mask)
    assert_raises_value_error(evaluation.bits_per_byte, 0.0, "")
    for wrong in ((5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6), (5, 2, -1), (0, 0, 1)):
        assert_raises_value_error(evaluation.pass_at_k, *wrong)
    for right in ((5, 5, 1), (5, 0, 1), (5, 2, 5), (1, 0, 1)):
        evaluation.pass_at_k(*right)
