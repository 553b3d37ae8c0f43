"""Decoding, hidden: against loops in float64, the transformers library's logits warpers, and the laws of chance.

A filter rounds nothing: what stays is exactly as it was, so filters are compared exactly. Which tokens stay could hang
on a rounding where a sum of probabilities is about p; examples with a sum within 1e-4 of p, a hundred times float32's
rounding, are left out.

A right sampler never fails. Every count of draws is binomial; one is refused only when the chance of a count so small,
or so large, is below 1e-12, computed exactly. There are fewer than 50 such decisions, so the chance that a right one
meets such a count is below 1e-10. (Its float32 probabilities may be off by 1e-6 of themselves, which moves these
chances by less than a tenth.)
"""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
    rests_on,
    seeds,
)

SHAPES = st.sampled_from([(9,), (1, 5), (4, 7), (2, 3, 8), (3, 1, 2, 6), (2, 150), (5, 5), (4, 4, 4), (1,), (2, 1)])
DTYPES = st.sampled_from([torch.float32, torch.float64])


def normal(seed, shape, dtype=torch.float32, spread=2.0):
    """Logits around 0, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def row_by_row(logits, stays):
    """The logits where `stays`, a function from a row's numbers to the set of places that stay, keeps them."""
    rows = logits.reshape(-1, logits.shape[-1])
    kept = torch.zeros(rows.shape, dtype=torch.bool)
    for keeps, row in zip(kept, rows.tolist(), strict=True):
        keeps[sorted(stays(row))] = True
    return torch.where(kept, rows, -math.inf).reshape(logits.shape)


def largest(row, k):
    """The places of the k largest numbers, and of those as large as the k-th."""
    kth = sorted(row)[-min(k, len(row))]
    return {i for i, score in enumerate(row) if score >= kth}


def nucleus(row, p):
    """The places of the most probable tokens, one after the other until they hold p; and how near to p a sum came."""
    total = math.fsum(math.exp(score - max(row)) for score in row)
    held, kept, margin = 0.0, set(), p
    for i in sorted(range(len(row)), key=lambda i: -row[i]):
        if held >= p:
            break
        kept.add(i)
        held += math.exp(row[i] - max(row)) / total
        margin = min(margin, abs(held - p))
    return kept, margin


def seeded(module, seed):
    """A fresh generator over there."""
    return module.library("torch").Generator().manual_seed(seed)


def plausible(count, draws, probability):
    """Whether something of this probability may well happen so often."""
    return min(bdtr(count, draws, probability), bdtrc(count - 1, draws, probability)) >= 1e-12


def drawn(ids, shape):
    """The ids as a NumPy array, after a look at their kind."""
    assert_shape(ids, shape, like=torch.empty(0))
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise Mismatch(f"ids are whole numbers, and these have the dtype {ids.dtype}", ids, None)
    return ids.numpy()


@points(0.5, "Temperature: every logit is divided by it")
@rests_on("divides the logits (Ackley, Hinton & Sejnowski 1985)", "integers are computed as floats")
@given(seed=seeds(), shape=SHAPES, dtype=DTYPES, temperature=st.floats(0.05, 20.0))
def test_temperature_values(decoding, seed, shape, dtype, temperature):
    """The result is new logits, not probabilities: each one divided by the temperature, be it below 1 or above."""
    logits = normal(seed, shape, dtype)
    got = decoding.apply_temperature(logits, temperature)
    assert_dtype(got, dtype)
    assert_close(got, TemperatureLogitsWarper(temperature)(None, logits.double()), terms=2)
    whole = torch.tensor([[3, -1, 0], [2, 5, -7]])
    assert_close(decoding.apply_temperature(whole, 4), torch.tensor([[0.75, -0.25, 0.0], [0.5, 1.25, -1.75]]))


@points(0.75, "Top-k: each row keeps its own k largest logits")
@rests_on("the logits that stay are as they were, and the others are `-inf`")
@given(seed=seeds(), shape=SHAPES, dtype=DTYPES, more=st.integers(0, 100))
def test_top_k_values(decoding, seed, shape, dtype, more):
    """A row keeps its own k largest logits, exactly as they were; every other becomes -inf, no other number."""
    logits, k = normal(seed, shape, dtype), 1 + more % shape[-1]
    assert_equal(decoding.top_k_filter(logits, k), row_by_row(logits, lambda row: largest(row, k)))


@points(0.5, "Top-k: whoever ties with the k-th stays")
@rests_on("Ties with the k-th stay as well")
@given(seed=seeds(), k=st.integers(1, 6))
def test_top_k_ties(decoding, seed, k):
    """Equal logits have equal rights: a token with the same logit as the k-th stays too, so more than k may."""
    logits = torch.randint(-2, 3, (3, 4, 6), generator=torch.Generator().manual_seed(seed)).float()
    assert_equal(decoding.top_k_filter(logits, k), row_by_row(logits, lambda row: largest(row, k)))
    close = torch.tensor([1.0, 1.0 + 2**-23, 1.0, 2.0])  # neighbors in float32 are no tie
    assert_equal(decoding.top_k_filter(close, 2), torch.tensor([-math.inf, 1.0 + 2**-23, -math.inf, 2.0]))


@points(0.25, "Top-k: a k beyond the vocabulary keeps all")
@rests_on("from V on, all tokens stay")
def test_top_k_beyond_the_vocabulary(decoding):
    """A row has only V logits. A k larger than V is no error: then all of them stay."""
    logits = normal(3, (2, 5))
    for k in (5, 6, 1000):
        assert_equal(decoding.top_k_filter(logits, k), logits)


@points(1, "Top-p: each row keeps the smallest set that reaches p")
@rests_on("The token whose probability takes the sum to p stays, and the first always stays.")
@given(seed=seeds(), shape=SHAPES, dtype=DTYPES, p=st.floats(0.05, 0.99), spread=st.sampled_from([0.5, 2.0]))
def test_top_p_values(decoding, seed, shape, dtype, p, spread):
    """From the most probable token down, tokens stay until they hold p together, the one that reaches it included."""
    logits = normal(seed, shape, dtype, spread)
    margins = [nucleus(row, p)[1] for row in logits.reshape(-1, shape[-1]).double().tolist()]
    if min(margins) < 1e-4:
        return  # rounding decides
    assert_equal(decoding.top_p_filter(logits, p), row_by_row(logits, lambda row: nucleus(row, p)[0]))


@points(0.5, "Top-p: never empty, and p = 1 keeps all")
@rests_on("Keeps the smallest set of most probable tokens that together hold the probability p")
def test_top_p_edges(decoding):
    """However small p is, the most probable token stays; with p = 1 all do. And no logit is too large for a softmax."""
    logits = normal(8, (3, 2, 7), spread=1.0)
    assert_equal(decoding.top_p_filter(logits, 1.0), logits)
    for p in (1e-12, 1e-6):
        assert_equal(decoding.top_p_filter(logits, p), row_by_row(logits, lambda row: largest(row, 1)))
    # Probabilities [0, 0.731, 0.269, 0] and [0.474, 0.174, 0.064, 0.287].
    large = torch.tensor([[900.0, 1000.0, 999.0, -1000.0], [-5000.0, -5001.0, -5002.0, -5000.5]])
    expected = torch.tensor([[-math.inf, 1000.0, -math.inf, -math.inf], [-5000.0, -math.inf, -math.inf, -5000.5]])
    assert_equal(decoding.top_p_filter(large, 0.7), expected)
    # Equal logits have the probability 1/V exactly: m of them hold m/V. Which, is free; so is who keeps all that tie.
    for size in (2, 4, 8):
        for m in range(1, size):
            kept = int(decoding.top_p_filter(torch.full((size,), 1.5), m / size).isfinite().sum())
            assert kept in (m, size), f"{m} of {size} equal tokens hold p, and {kept} stay"


@points(0.5, "One after the other, as in the transformers library")
@rests_on("What a filter cuts becomes `-inf`")
@given(seed=seeds(), temperature=st.floats(0.3, 3.0), k=st.integers(2, 30), p=st.floats(0.2, 0.95))
def test_chain(decoding, seed, temperature, k, p):
    """The steps follow one another: a token that an earlier one cut (-inf) counts for nothing later, and stays cut."""
    logits = normal(seed, (3, 24), torch.float64)
    logits[:, seed % 24] = -math.inf
    cooler = TemperatureLogitsWarper(temperature)(None, logits)
    fewer = TopKLogitsWarper(k)(None, cooler)
    if min(nucleus(row, p)[1] for row in fewer.tolist()) < 1e-4:
        return  # rounding decides
    got = decoding.apply_temperature(logits, temperature)
    assert_close(got, cooler, terms=2)
    assert_equal(decoding.top_k_filter(cooler, k), fewer)
    assert_equal(decoding.top_p_filter(fewer, p), TopPLogitsWarper(p)(None, fewer))


@points(0.25, "Floats keep their dtype")
@rests_on("Floating dtypes are kept", "the logits that stay are as they were")
def test_dtypes_are_kept(decoding):
    """A half-precision model's logits stay half precision: float16 in, float16 out, and so for every dtype."""
    for dtype in (torch.float16, torch.float32, torch.float64):
        logits = torch.tensor([[1.0, 4.0, 2.0, -3.0, 3.0], [0.5, -2.0, 5.0, 0.25, 1.0]], dtype=dtype)
        assert_dtype(decoding.apply_temperature(logits, 0.7), dtype)
        assert_dtype(decoding.top_k_filter(logits, 2), dtype)
        assert_dtype(decoding.top_p_filter(logits, 0.8), dtype)


@points(0.25, "Arguments without sense raise a ValueError")
@rests_on(
    "ValueError: `temperature` is 0 or less.", "ValueError: `k` is less than 1.", "ValueError: `p` is not in (0, 1]."
)
def test_bad_arguments(decoding):
    """A temperature of 0 or less, a k below 1, a p not above 0 or above 1: each is refused with a sentence about it."""
    logits = normal(5, (2, 6))
    for temperature in (0.0, 0, -0.5, -3.0):
        assert_raises_value_error(decoding.apply_temperature, logits, temperature)
    for k in (0, -1, -6):
        assert_raises_value_error(decoding.top_k_filter, logits, k)
    for p in (0.0, -0.2, 1.01, 90):
        assert_raises_value_error(decoding.top_p_filter, logits, p)


@points(0.5, "A token comes as often as its probability says")
@rests_on("One token id from every row, with the probabilities softmax(logits).")
def test_frequencies(decoding):
    """Each row has its own distribution, softmax of its logits, however large those are; draws follow it."""
    logits = torch.tensor(
        [[1.5, 0.0, -1.0, 0.75, -2.0, 0.5], [-3.0, -1.0, 0.0, -0.5, 0.5, 1.25], [0.0, 0.0, 2.5, 0.0, 1.0, 0.0]]
    )
    shift = torch.tensor([[0.0], [1000.0], [-2000.0]])  # exact in float32, for all logits are quarters
    probabilities, draws = logits.double().softmax(-1).tolist(), 1500
    rows = (logits + shift)[:, None, :].expand(3, draws, 6).contiguous()
    ids = drawn(decoding.sample(rows, seeded(decoding, 11)), (3, draws))
    for row, distribution in zip(ids, probabilities, strict=True):
        for token, probability in enumerate(distribution):
            count = int((row == token).sum())
            assert plausible(count, draws, probability), (
                f"{count} of {draws} draws, where the probability is {probability}"
            )


@points(0.25, "A token with -inf is never drawn")
@rests_on("a token with `-inf` is never drawn")
def test_minus_infinity(decoding):
    """-inf means never. Each row is drawn from its own tokens alone: with one left, it is drawn for certain."""
    for shape in ((), (5,), (4, 3), (2, 3, 4)):
        only = torch.randint(0, 7, shape, generator=torch.Generator().manual_seed(len(shape) + 1))
        logits = torch.where(torch.nn.functional.one_hot(only, 7) == 1, -2.5, -math.inf)
        assert_equal(drawn(decoding.sample(logits, seeded(decoding, 3)), shape), only.numpy())
        other = torch.where(torch.nn.functional.one_hot((only + 1) % 7, 7) == 1, -2.5, -math.inf)
        assert_equal(drawn(decoding.sample(other, seeded(decoding, 3)), shape), ((only + 1) % 7).numpy())
    far = torch.full((3, 2, 3000), -math.inf)  # a vocabulary of an ordinary size
    far[..., 2998] = 4.0
    assert_equal(drawn(decoding.sample(far, seeded(decoding, 3)), (3, 2)), np.full((3, 2), 2998))
    logits = normal(6, (40, 50, 7))
    logits[normal(7, (40, 50, 7)) > 0.5] = -math.inf
    logits[..., 4] = 0.0
    ids = drawn(decoding.sample(logits, seeded(decoding, 4)), (40, 50))
    assert np.isfinite(np.take_along_axis(logits.numpy(), ids[..., None], -1)).all(), "a token with -inf was drawn"


@points(0.5, "The generator's state decides, and moves on")
@rests_on("The same state gives the same ids.")
def test_repeatable(decoding):
    """The same state gives the same ids, whatever was drawn in between; the next draw and another seed give others."""
    logits = normal(9, (4, 30, 7), spread=0.3)
    generator = seeded(decoding, 5)
    first = decoding.sample(logits, generator)
    state = generator.get_state()
    second = decoding.sample(logits, generator)
    other = decoding.sample(logits, seeded(decoding, 6))
    generator.set_state(state)
    assert_equal(decoding.sample(logits, generator), second)
    assert_equal(decoding.sample(logits, seeded(decoding, 5)), first)
    for ids in (second, other):
        assert not np.array_equal(drawn(ids, (4, 30)), drawn(first, (4, 30))), "the generator does not decide"


@points(0.25, "Every row of every axis has a draw of its own")
@rests_on("throw the dice, once for every row")
def test_independence(decoding):
    """Rows with the same logits are still drawn one by one: no axis of them, and no later draw, shares one id."""
    logits = torch.tensor([0.5, 0.0, -0.5, 1.0, 0.25])
    alike = float((logits.double().softmax(-1) ** 2).sum())  # the chance that two draws agree
    rows, generator = logits.expand(40, 50, 5).contiguous(), seeded(decoding, 12)
    ids = drawn(decoding.sample(rows, generator), (40, 50))
    later = drawn(decoding.sample(rows, generator), (40, 50))
    # Each comparison takes every draw once, so its agreements are independent of each other.
    for left, right in ((ids[::2], ids[1::2]), (ids[:, ::2], ids[:, 1::2]), (ids, later)):
        agreements = int((left == right).sum())
        assert plausible(agreements, left.size, alike), f"{agreements} of {left.size} pairs agree"
