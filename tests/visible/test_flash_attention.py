"""Flash attention, visible: the worked examples, and plain attention in blocks of several sizes.

The reference is plain attention in float64. A result goes through a sum of D products, an exponential, whose argument
turns the rounding of scores of about 10 into relative errors, and a sum of T_k terms: 60 roundings are generous.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.suites import Mismatch, assert_close, assert_raises_value_error, points, seeds

E1, E2, E3, E4 = (math.exp(-n) for n in (1, 2, 3, 4))


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain(query, key, value, hidden=None):
    """Plain attention in float64, and the logsumexp of the scores; `hidden` is True where a query may not look."""
    scores = query.double() @ key.double().transpose(-2, -1) / math.sqrt(query.shape[-1])
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    return scores.softmax(dim=-1) @ value.double(), scores.logsumexp(dim=-1)


def check(got, expected):
    """Compares both results, the output first."""
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it does not return two things, the output and the logsumexp", got, None)
    for ours, theirs in zip(got, expected, strict=True):
        assert_close(ours, theirs.float(), terms=60)


@points(0.5, "The worked example of one step after the other comes out")
def test_step_example(flash_attention):
    """The scores 1, 3 and then 2, 5: the maxima are 3 and 5, the correction is e⁻², and the sums are 1.135, 1.203."""
    start, zero = torch.tensor(-math.inf), torch.tensor(0.0)
    largest, total, _ = flash_attention.online_softmax_step(start, zero, torch.tensor([1.0, 3.0]))
    assert_close(largest, torch.tensor(3.0))
    assert_close(total, torch.tensor(E2 + 1), terms=4)
    got = flash_attention.online_softmax_step(torch.tensor(3.0), torch.tensor(E2 + 1), torch.tensor([2.0, 5.0]))
    for ours, theirs in zip(got, (5.0, E4 + E2 + E3 + 1, E2), strict=True):
        assert_close(ours, torch.tensor(theirs), terms=6)


@points(0.5, "Block after block, the sum is that of all scores")
@settings(max_examples=15)
@given(seed=seeds(), size=st.integers(1, 5))
def test_steps(flash_attention, seed, size):
    """After the last block, maximum + log(sum) is the logsumexp of the whole row, whatever the size of a block."""
    scores = 3 * normal(seed, 2, 3, 11)
    largest, total = torch.full((2, 3), -math.inf), torch.zeros(2, 3)
    for block in scores.split(size, dim=-1):
        largest, total, _ = flash_attention.online_softmax_step(largest, total, block)
    assert_close(largest, scores.amax(dim=-1))
    assert_close(largest + total.log(), scores.double().logsumexp(dim=-1).float(), terms=30)


@points(0.25, "Scores of -inf give no nan")
def test_step_minus_infinity(flash_attention):
    """A block may be masked throughout, at first or later: it adds nothing, and the maximum may still be -inf."""
    before = torch.tensor([-math.inf, -math.inf, 2.0]), torch.tensor([0.0, 0.0, 1.5])
    scores = torch.tensor([[-math.inf, -math.inf], [-math.inf, 1.0], [-math.inf, -math.inf]])
    largest, total, correction = flash_attention.online_softmax_step(*before, scores)
    assert_close(largest, torch.tensor([-math.inf, 1.0, 2.0]))
    assert_close(total, torch.tensor([0.0, 1.0, 1.5]), terms=4)
    assert_close(correction[2:], torch.ones(1), terms=4)
    assert correction.isfinite().all(), "the correction is no finite number"


@points(0.5, "The worked example of attention comes out")
@pytest.mark.parametrize("block_size", [2, 3, 4])
def test_attention_example(flash_attention, block_size):
    """The scores 1, 3, 2, 5 mix the values 10, 20, 30, 40 into 36.88; the logsumexp is 5.185."""
    key, value = torch.tensor([0.5, 1.5, 1.0, 2.5]), torch.tensor([10.0, 20.0, 30.0, 40.0])
    got = flash_attention.flash_attention(
        torch.tensor([[[[2.0]]]]), key.view(1, 1, 4, 1), value.view(1, 1, 4, 1), block_size
    )
    total = E4 + E2 + E3 + 1
    mixed = (E4 * 10 + E2 * 20 + E3 * 30 + 40) / total
    check(got, (torch.full((1, 1, 1, 1), mixed), torch.full((1, 1, 1), 5 + math.log(total))))


@points(0.75, "In blocks of any size it is plain attention")
@settings(max_examples=15)
@given(seed=seeds(), block_size=st.integers(1, 12))
def test_plain(flash_attention, seed, block_size):
    """Two texts, three heads, five queries and nine keys; the last block may be shorter, or the only one."""
    query, key, value = normal(seed, 2, 3, 5, 4), normal(seed + 1, 2, 3, 9, 4), normal(seed + 2, 2, 3, 9, 6)
    check(flash_attention.flash_attention(query, key, value, block_size=block_size), plain(query, key, value))


@points(0.5, "Causal attention: the last query stands at the last key")
@pytest.mark.parametrize(("queries", "keys"), [(6, 6), (3, 8), (5, 3)])
def test_causal(flash_attention, queries, keys):
    """Query i sees the keys up to i + T_k - T_q. One that sees none has the output 0 and the logsumexp -inf."""
    query, key, value = normal(5, 2, 3, queries, 4), normal(6, 2, 3, keys, 4), normal(7, 2, 3, keys, 6)
    hidden = torch.ones(queries, keys, dtype=torch.bool).triu(diagonal=1 + keys - queries)
    expected = [part.nan_to_num(nan=0.0, neginf=-math.inf) for part in plain(query, key, value, hidden)]
    check(flash_attention.flash_attention(query, key, value, 2, causal=True), expected)
    assert_raises_value_error(flash_attention.flash_attention, query, key, value, -2)
