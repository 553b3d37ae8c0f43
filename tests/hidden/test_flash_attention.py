"""Flash attention, hidden: against PyTorch's attention and logsumexp in float64, and its memory measured.

Rounding: a score is a sum of D products, and its error, of numbers up to about 10, becomes a relative one of its
exponential; then come sums of T_k terms. So 3D + T_k + 40 roundings are enough for both results. In one step, the
argument of exp() is rounded once, by a part of itself, and |a| · exp(a) is below 1 for a ≤ 0: a sum of S + 1 terms has
fewer than 2S + 8 roundings. A right answer may also go through logarithms of up to 30; then there are 30 more.

Memory is not timed and does not depend on the machine: PyTorch's profiler notes what every operation takes. Of 32
queries and 384 keys, heads of one number and blocks of 16 keys, a block's scores take 4 KiB in float64. With the limit
of 6 KiB for one tensor, a right answer may compute in float64, and keep each block's output until the end. A whole mask
takes 12 KiB in one piece, and blocks that are four times as large 8 KiB. Nobody gets along without the output.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

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

SHAPES = st.sampled_from(
    [(2, 3, 5, 11, 4, 7), (1, 1, 1, 6, 8, 3), (3, 2, 9, 9, 5, 5), (1, 4, 12, 5, 1, 2), (2, 1, 4, 1, 3, 1)]
)
ROWS = st.sampled_from([(), (4,), (2, 3), (3, 1, 2, 2), (1, 1, 1, 4, 1)])


def normal(seed, *shape, dtype=torch.float32):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(seed, shape, dtype=torch.float32):
    """Query, key and value for B, H, T_q, T_k, D, D_v; some scores stand out."""
    batch, heads, queries, keys, dim, value_dim = shape
    query, key = normal(seed, batch, heads, queries, dim), normal(seed + 1, batch, heads, keys, dim)
    return tuple(x.to(dtype) for x in (1.5 * query, 1.5 * key, normal(seed + 2, batch, heads, keys, value_dim)))


def seen(queries, keys):
    """`[T_q, T_k]`, True where a query may look if attention is causal: a loop over the rows."""
    return torch.tensor([[j <= i + keys - queries for j in range(keys)] for i in range(queries)])


def reference(query, key, value, may_attend=None):
    """PyTorch's attention and logsumexp, in float64; 0 and -inf for a query that sees nothing."""
    query, key, value = query.double(), key.double(), value.double()
    if may_attend is None:
        may_attend = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool)
    output = scaled_dot_product_attention(query, key, value, attn_mask=may_attend | ~may_attend.any(-1, keepdim=True))
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.shape[-1] ** 0.5
    logsumexp = torch.where(may_attend, scores, -math.inf).logsumexp(dim=-1)
    return torch.where(may_attend.any(-1, keepdim=True), output, 0.0), logsumexp


def both(got):
    """The two results."""
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it does not return two things, the output and the logsumexp", got, None)
    return got


def check(got, expected, terms, dtype=torch.float32):
    """Compares output and logsumexp; a logsumexp near 0 is a difference of numbers of order 1."""
    (output, logsumexp), (wanted, wanted_logsumexp) = both(got), expected
    assert_close(output, wanted.to(dtype), terms=terms)
    finite = wanted_logsumexp[wanted_logsumexp.isfinite()]
    scale = max(1.0, float(finite.abs().max()) if len(finite) else 1.0)
    assert_close(logsumexp, wanted_logsumexp.to(dtype), terms=terms, scale=scale)


def traced(module, *args):
    """Calls `flash_attention`, and tells how many bytes the operation took that took most, by itself."""
    profiler = module.library("torch.autograd.profiler_legacy").profile(profile_memory=True)
    with_context = module.library("torch.utils._contextlib").context_decorator
    got = with_context(profiler, module.flash_attention.value())(*args)
    builtins, getter = module.library("builtins"), module.library("operator").attrgetter
    # An iterator over there: thousands of events need not travel.
    lists = builtins.map(getter("function_events"), [profiler])
    events = module.library("itertools").chain.from_iterable(lists)
    return got, builtins.max(builtins.map(getter("self_cpu_memory_usage"), events))


def terms_of(shape):
    """How many roundings may add up."""
    return 3 * shape[4] + shape[3] + 40


@points(0.75, "A step: the new maximum, the corrected sum and the correction")
@rests_on("Steps to m' = max(m, max s), c = exp(m - m'), l' = c l + sum exp(s - m')")
@given(seed=seeds(), rows=ROWS, size=st.integers(1, 7), shift=st.sampled_from([-6.0, 0.0, 6.0]))
def test_step(flash_attention, seed, rows, size, shift):
    """The maximum may stay or grow, and either way the old sum is multiplied by exp(old maximum - new maximum)."""
    before, total = normal(seed, *rows), normal(seed + 1, *rows).abs() + 1
    scores = 2 * normal(seed + 2, *rows, size) + shift
    got = flash_attention.online_softmax_step(before, total, scores)
    largest = torch.cat([before[..., None], scores], dim=-1).amax(dim=-1)
    correction = (before.double() - largest.double()).exp()
    expected = total.double() * correction + (scores.double() - largest.double()[..., None]).exp().sum(dim=-1)
    assert len(got) == 3, "a step returns three tensors"
    assert_close(got[0], largest)
    assert_close(got[1], expected.float(), terms=2 * size + 40)
    assert_close(got[2], correction.float(), terms=16, scale=1.0)


@points(0.5, "The correction is right for whatever was summed")
@rests_on("Whatever was summed so far, times c, is right for the new maximum.")
@settings(max_examples=15)
@given(seed=seeds(), size=st.integers(1, 6))
def test_correction(flash_attention, seed, size):
    """A sum with other weights, such as an output, is right at the end if it is multiplied by every correction."""
    scores, values = 3 * normal(seed, 2, 3, 13), normal(seed + 1, 2, 3, 13)
    largest, total, mixed = torch.full((2, 3), -math.inf), torch.zeros(2, 3), torch.zeros(2, 3)
    for block, value in zip(scores.split(size, dim=-1), values.split(size, dim=-1), strict=True):
        largest, total, correction = flash_attention.online_softmax_step(largest, total, block)
        mixed = mixed * correction + ((block - largest[..., None]).exp() * value).sum(dim=-1)
    expected = (scores.double().softmax(dim=-1) * values.double()).sum(dim=-1).float()
    assert_close(mixed / total, expected, terms=100, scale=float(values.abs().max()))
    assert_close(total, (scores.double() - scores.double().amax(-1, keepdim=True)).exp().sum(-1).float(), terms=60)


@points(0.5, "A step with -inf: no nan, and nothing is added")
@rests_on("None of them is nan: where all scores so far are -inf")
@given(seed=seeds(), size=st.integers(1, 4))
def test_step_minus_infinity(flash_attention, seed, size):
    """Rows that have seen nothing, or only -inf, keep the maximum -inf and the sum 0; the others go on as always."""
    scores = normal(seed, 6, size) - 3
    scores[[0, 1, 2]] = -math.inf
    scores[[3, 4], -1] = -math.inf
    scores[3, 0], scores[4, 0] = (-math.inf, 0.5)
    before = torch.tensor([-math.inf, -7.5, 30.0, -math.inf, -math.inf, -math.inf])
    total = torch.tensor([0.0, 2.5, 1.25, 0.0, 0.0, 0.0])
    if size == 1:
        scores[4] = -math.inf
    largest, summed, correction = flash_attention.online_softmax_step(before, total, scores)
    expected = torch.cat([before[:, None], scores], dim=-1).amax(dim=-1)
    origin = expected.double().nan_to_num(neginf=0.0)
    old = torch.where(total > 0, total.double() * (before.double() - origin).exp(), 0.0)
    assert_equal(largest, expected)
    assert_close(summed, (old + (scores.double() - origin[:, None]).exp().sum(dim=-1)).float(), terms=2 * size + 40)
    assert correction.isfinite().all(), "the correction is no finite number"
    assert_close(correction[1:3], torch.ones(2), terms=4)


@points(0.25, "A step with very large scores")
@rests_on("The maximum may grow, and what was summed up so far was measured from the old one.")
def test_step_large(flash_attention):
    """exp() of a large score is infinite, and of one far below the maximum 0. Differences decide, not sizes."""
    before, total = torch.tensor([-200.0, 300.0, 1e3, -1e3, 12.0]), torch.tensor([1.5, 2.0, 3.0, 1.0, 4.0])
    scores = torch.tensor([[100.0, 100.0], [-300.0, 100.0], [1e3, 1e3], [-1e3, -2e3], [-1e3, -500.0]])
    got = flash_attention.online_softmax_step(before, total, scores)
    assert_equal(got[0], torch.tensor([100.0, 300.0, 1e3, -1e3, 12.0]))
    # Whoever keeps logarithms of sums rounds numbers of 1000, and that is the relative error of the sum.
    assert_close(got[1], torch.tensor([2.0, 2.0, 5.0, 2.0, 4.0]), terms=2000)
    assert_close(got[2], torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]), terms=2000, scale=1.0)


@points(0.75, "The output is that of plain attention for every block size")
@rests_on("The output `[B, H, T_q, D_v]`, which is that of plain attention")
@given(seed=seeds(), shape=SHAPES, block_size=st.integers(1, 13))
def test_output(flash_attention, seed, shape, block_size):
    """One block, many, or a last one that is shorter; values as wide as the keys or not: the result is the same."""
    query, key, value = inputs(seed, shape)
    output, _ = both(flash_attention.flash_attention(query, key, value, block_size))
    assert_close(output, reference(query, key, value)[0].float(), terms=terms_of(shape))


@points(0.5, "The logsumexp is that of all scores")
@rests_on("the logsumexp of every query's scores")
@given(seed=seeds(), shape=SHAPES, block_size=st.integers(1, 13), causal=st.booleans())
def test_logsumexp(flash_attention, seed, shape, block_size, causal):
    """Maximum + log(sum), one number for each query: the logarithm of the sum of exp() of the scores that it sees."""
    query, key, value = inputs(seed, shape)
    _, logsumexp = both(flash_attention.flash_attention(query, key, value, block_size, causal))
    may_attend = seen(shape[2], shape[3]) if causal else None
    expected = reference(query, key, value, may_attend)[1].float()
    assert_close(
        logsumexp, expected, terms=terms_of(shape), scale=max(1.0, float(expected.nan_to_num(neginf=0).abs().max()))
    )


@points(0.75, "Causal attention, with as many queries as keys, fewer and more")
@rests_on("whether query i sees the keys up to i + T_k - T_q alone")
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (6, 6), (1, 9), (4, 11), (9, 4), (7, 1)])
@pytest.mark.parametrize("block_size", [1, 3, 64])
def test_causal(flash_attention, queries, keys, block_size):
    """Query i sees the keys up to i + T_k - T_q, itself included; one that sees none gives 0 and -inf, and no nan."""
    shape = (2, 3, queries, keys, 4, 5)
    query, key, value = inputs(10 * queries + keys, shape)
    got = flash_attention.flash_attention(query, key, value, block_size=block_size, causal=True)
    check(got, reference(query, key, value, seen(queries, keys)), terms_of(shape))


@points(0.25, "By default a block has 64 keys, and nothing is hidden")
@rests_on("block_size: int = 64, causal: bool = False")
def test_defaults(flash_attention):
    """Both are right for a text that is longer than a block, also when called again with other lengths."""
    for queries, keys in ((70, 150), (5, 64), (3, 65), (5, 64)):
        shape = (1, 2, queries, keys, 8, 8)
        query, key, value = inputs(queries + keys, shape)
        check(flash_attention.flash_attention(query, key, value), reference(query, key, value), terms_of(shape))
        again = flash_attention.flash_attention(query, key, value, causal=True)
        check(again, reference(query, key, value, seen(queries, keys)), terms_of(shape))


@points(0.25, "Very large scores do not overflow")
@rests_on("It is no approximation: the result is that of plain attention.")
@pytest.mark.parametrize("order", ["rising", "falling"])
def test_large_scores(flash_attention, order):
    """Scores of hundreds, the largest first or last: the corrections keep every exponential at 1 or below."""
    # One number a head, so that scores are exact; neighbors lie 1 apart, or 100s.
    # Whoever keeps logarithms rounds numbers of 1600 in place of those of 1.
    key = torch.tensor([-900.0, -400.0, -399.0, 0.0, 200.0, 799.0, 800.0])[:, None].expand(1, 2, 7, 1)
    key = key if order == "rising" else key.flip(2)
    query, value = torch.tensor([[1.0], [-1.0], [2.0]]).expand(1, 2, 3, 1), normal(3, 1, 2, 7, 5)
    for block_size in (1, 2, 7):
        got = flash_attention.flash_attention(query.contiguous(), key.contiguous(), value, block_size)
        check(got, reference(query, key, value), 60 + 1600)


@points(0.25, "Heads and texts do not see each other")
@rests_on("*B* texts, *H* heads")
def test_separate(flash_attention):
    """Each head of each text is attention by itself: another key in one of them changes that one alone."""
    query, key, value = inputs(8, (3, 4, 5, 7, 6, 2))
    other = key.clone()
    other[1, 2, 3] += 2
    before, after = (both(flash_attention.flash_attention(query, k, value, 3))[0] for k in (key, other))
    changed = (before != after).flatten(2).any(-1)
    assert changed[1, 2], "a key is not seen"
    assert int(changed.sum()) == 1, "a key is seen by another head or text"


@points(0.75, "Never more than T_q × block_size scores or mask entries at once")
@rests_on("No more than T_q × block_size scores or mask entries of a head are there at once.")
def test_memory(flash_attention):
    """The scores of one block, and its part of the mask, are all that is needed."""
    queries, keys, block_size = 32, 384, 16
    query, key, value = inputs(9, (1, 1, queries, keys, 1, 1))
    got, largest = traced(flash_attention, query, key, value, block_size, True)
    assert_close(both(got)[0], reference(query, key, value, seen(queries, keys))[0].float(), terms=3 + keys + 40)
    assert largest >= 4 * queries, "nothing was taken, not even what the output needs"
    assert largest <= 12 * queries * block_size, f"{largest} bytes were taken in one piece"


@points(0.25, "Floats keep their dtype")
@rests_on("both in the dtype of the query")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(flash_attention, dtype):
    """Results have the dtype of the query, and a float64 result the digits of one."""
    shape = (2, 2, 4, 9, 4, 3)
    query, key, value = inputs(11, shape, dtype)
    got = both(flash_attention.flash_attention(query, key, value, 4, causal=True))
    step = flash_attention.online_softmax_step(query[..., 0], query[..., 1].exp(), key[:, :, :4, :])
    for result in (*got, *step):
        assert_dtype(result, dtype)
    expected = reference(query, key, value, seen(4, 9))
    if dtype == torch.float64:
        check(got, expected, terms_of(shape), dtype)
    else:  # of numbers up to 4, in which float16 has three digits and bfloat16 two
        for ours, theirs in zip(got, expected, strict=True):
            assert float((ours.double() - theirs).abs().max()) < 0.15, "it is not nearly right"


@points(0.25, "A block size below 1 raises a ValueError")
@rests_on("ValueError: `block_size` is less than 1.")
def test_bad_block_size(flash_attention):
    """A block holds at least one key: 0 and less are refused with a sentence about it, whatever else is asked for."""
    query, key, value = inputs(12, (1, 2, 3, 4, 5, 6))
    for block_size in (0, -1, -64):
        for causal in (False, True):
            assert_raises_value_error(flash_attention.flash_attention, query, key, value, block_size, causal=causal)
    assert_shape(both(flash_attention.flash_attention(query, key, value, 1))[1], (1, 2, 3))
