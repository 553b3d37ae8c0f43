"""Attention, visible: the worked examples, and the few properties that say what is meant."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_equal, assert_shape, points, seeds
from autograder.suites.compare import describe_kind


def pair(result):
    """The two arrays that a result should be."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mismatch(f"it returned {describe_kind(result)} instead of two arrays", result, None)
    return result


@points(0.5, "The worked example comes out")
def test_worked_example(attention):
    """The weights are the softmax of the plain dot products, not scaled, and the context mixes the hidden states."""
    hidden_states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    previous_state = np.array([[2.0, 0.0], [0.0, 0.0]])  # the example's, and one that finds all hidden states alike
    w_n, c_t = pair(attention.dot_product_attention(hidden_states, previous_state))
    e = np.exp(2.0)  # the example's dot products are [2, 0, 2]
    expected = np.array([[e, 1.0, e], [1.0, 1.0, 1.0]]) / np.array([[2 * e + 1], [3.0]])
    assert_close(w_n, expected, terms=8)
    assert_close(c_t, np.array([[2 * e, e + 1], [2.0, 2.0]]) / np.array([[2 * e + 1], [3.0]]), terms=8)


@points(0.5, "The worked example comes out, scaled")
def test_scaled_example(attention):
    """With two features, dot products are divided by √2 before the softmax. Then the weights mix the values.

    In a batch, each item's queries see its own keys and values alone; without a mask, all of them.
    """
    query = np.array([[2.0, 0.0]])
    key = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    value = np.array([[10.0], [20.0], [60.0]])
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value))
    e = np.exp(2 / np.sqrt(2))
    assert_close(weights, np.array([[e, 1.0, e]]) / (2 * e + 1), terms=16)
    assert_close(output, np.array([[70 * e + 20]]) / (2 * e + 1), terms=16)
    # A batch of two: the example with its keys in two orders, and with as many queries as keys.
    query, order = np.tile(query, (2, 3, 1)), np.array([[0, 1, 2], [1, 2, 0]])  # [2, 3, 2]
    output, weights = pair(attention.scaled_dot_product_attention(query, key[order], value[order]))
    expected = np.array([[e, 1.0, e], [1.0, e, e]]) / (2 * e + 1)
    assert_close(weights, np.repeat(expected[:, None], 3, axis=1), terms=16)
    assert_close(output, np.full((2, 3, 1), (70 * e + 20) / (2 * e + 1)), terms=16)


@points(0.25, "The weights of each query sum to 1")
@given(seed=seeds(), sizes=st.sampled_from([(3, 4, 5), (4, 2, 3), (1, 3, 4)]))
def test_weights_sum_to_one(attention, seed, sizes):
    """A row of weights says how one query shares its attention over all keys: along the keys it sums to 1."""
    queries, keys, features = sizes
    rng = np.random.default_rng(seed)
    query, key = rng.uniform(-1, 1, (queries, features)), rng.uniform(-1, 1, (keys, features))
    w_n, _ = pair(attention.dot_product_attention(key, query))
    _, weights = pair(attention.scaled_dot_product_attention(query, key, key))
    for rows in (w_n, weights):
        assert_shape(rows, (queries, keys), like=query)
        assert_close(rows.sum(axis=-1), np.ones(queries), digits=6)


@points(0.5, "The causal mask lets every position see itself and what came before")
def test_causal_mask(attention):
    """Row i, column j is True where j is not after i: on the diagonal and below it. Booleans, not numbers."""
    assert_equal(attention.causal_mask(3), np.array([[True, False, False], [True, True, False], [True, True, True]]))
    assert_equal(attention.causal_mask(1), np.array([[True]]))
    assert_dtype(attention.causal_mask(2), np.bool_)


@points(0.5, "What the mask hides has weight exactly 0")
def test_masked_keys(attention):
    """False in the mask means that this query may not see this key; the keys that it may see share the whole.

    A hidden key takes no part in the softmax, however large its score. A mask with one axis says the same for all rows.
    """
    # Each query finds all keys alike but the second, which would win by far, and which nobody may see.
    query, key = np.ones((2, 4)), np.array([[0.0], [1e6], [0.0]]) * np.ones(4)
    mask = np.array([[True, False, True], [False, False, True]])
    output, weights = pair(attention.scaled_dot_product_attention(query, key, np.array([[1.0], [2.0], [4.0]]), mask))
    assert_close(weights, np.array([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]))
    assert_equal(weights[~mask], np.zeros(3))
    assert_close(output, np.array([[2.5], [4.0]]))
    _, weights = pair(
        attention.scaled_dot_product_attention(query, key, np.ones((3, 1)), np.array([True, False, True]))
    )
    assert_close(weights, np.array([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]))


@points(0.5, "Under a causal mask, the future changes nothing")
@given(seed=seeds(), now=st.integers(0, 3))
def test_future_changes_nothing(attention, seed, now):
    """What a position gets must not depend on the keys and values of later positions."""
    rng = np.random.default_rng(seed)
    query, key, value = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    mask = np.tril(np.ones((5, 5), dtype=bool))
    before, _ = pair(attention.scaled_dot_product_attention(query, key, value, mask))
    later = np.arange(5)[:, None] > now  # [5, 1]
    after, _ = pair(attention.scaled_dot_product_attention(query, key + 5 * later, value - 50 * later, mask))
    assert_close(after[: now + 1], before[: now + 1], digits=6)
    assert_close(before[0], value[0], digits=6)  # the first position sees itself alone


@points(0.25, "float32 stays float32")
def test_float32(attention):
    """Floating dtypes are kept: a root or a mask in float64 must not widen a float32 model."""
    x, mask = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2), np.tril(np.ones((3, 3), dtype=bool))
    for results in (
        attention.dot_product_attention(x, x),
        attention.scaled_dot_product_attention(x, x, x),
        attention.scaled_dot_product_attention(x, x, x, mask),
    ):
        for result in pair(results):
            assert_dtype(result, np.float32)
