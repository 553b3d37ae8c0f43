"""Attention, hidden: against einsum and SciPy's softmax, with no two sizes alike, and with all alike.

How far a right answer may be off: a score is a sum of d products and a division, so it is off by at most (d + 2) · eps
times the sum of the products' sizes. exp makes that a relative error of every weight, once in the numerator and once in
the sum, and the sum over T keys rounds T times more (`roundings`). Tests that are about something gross ask for six
digits. Tests of masks and of whole numbers have one feature only: the root of 1 is 1, whatever the scaling.
"""

import numpy as np
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_equal, assert_shape, points, rests_on, seeds
from autograder.suites.compare import describe_kind

# Queries, keys, features and features of a value: no two alike, but also as many queries as keys, and all alike.
SIZES = [(3, 5, 8, 2), (4, 3, 10, 6), (1, 4, 9, 3), (5, 2, 3, 8), (4, 4, 9, 3), (3, 3, 3, 3), (1, 1, 8, 2)]
BATCHES = st.sampled_from([(2,), (3,), (2, 3), (1, 4, 2)])


def pair(result):
    """The two arrays that a result should be."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mismatch(f"it returned {describe_kind(result)} instead of two arrays", result, None)
    return result


def weighted(query, key, scale, mask=True):
    """The weights in float64."""
    scores = scale * np.einsum("...qd,...kd->...qk", query.astype(float), key.astype(float))
    return scipy.special.softmax(np.where(mask, scores, -np.inf), axis=-1)


def roundings(query, key):
    """How many roundings may add up in a weight."""
    products = np.einsum("...qd,...kd->...qk", np.abs(query), np.abs(key))
    return 2 * (key.shape[-1] + 2) * float(products.max()) + key.shape[-2] + 8


def drawn(seed, queries, keys, features, values, batch=()):
    """A query, a key and a value of these sizes, with numbers that leave no softmax saturated."""
    rng = np.random.default_rng(seed)
    shapes = ((*batch, queries, features), (*batch, keys, features), (*batch, keys, values))
    return rng, *(rng.uniform(-1.5, 1.5, shape) for shape in shapes)


def some_mask(rng, shape):
    """A mask that hides about half of the keys, another number in each row, and never all."""
    mask = rng.random(shape) < 0.5
    np.put_along_axis(mask, rng.integers(0, shape[-1], (*shape[:-1], 1)), True, axis=-1)
    return mask


def assert_mixed(mixture, weights, value, terms):
    """Passes when `mixture` is the values mixed by the submission's own weights, which do sum to 1."""
    assert_shape(weights, (*value.shape[:-2], mixture.shape[-2], value.shape[-2]), like=value)
    own = np.asarray(weights, dtype=float)
    assert_close(own.sum(axis=-1), np.ones(own.shape[:-1]), digits=6)
    expected = np.einsum("...qk,...kv->...qv", own, value)
    assert_close(mixture, expected, terms=2 * terms, scale=float(np.abs(value).max()))  # both may have these roundings


@points(0.5, "The weights are the softmax of the plain dot products")
@rests_on("w_n = softmax(previous_state @ hidden_states^T)")
@given(seed=seeds(), sizes=st.sampled_from([(3, 5, 8), (6, 4, 9), (1, 3, 8), (4, 1, 2), (4, 4, 4)]))
def test_dot_product_weights(attention, seed, sizes):
    """Row i holds previous state i's weights over all hidden states: the softmax of its dot products, not scaled."""
    _, previous_state, hidden_states, _ = drawn(seed, *sizes, 1)
    w_n, _ = pair(attention.dot_product_attention(hidden_states, previous_state))
    assert_close(w_n, weighted(previous_state, hidden_states, 1.0), terms=roundings(previous_state, hidden_states))


@points(0.5, "The context mixes the hidden states by these weights")
@rests_on("c_t = w_n @ hidden_states")
@given(seed=seeds(), sizes=st.sampled_from([(3, 5, 8), (6, 4, 9), (1, 3, 8)]))
def test_dot_product_context(attention, seed, sizes):
    """Row i of the context is the sum of all hidden states, each times the weight that previous state i gives it."""
    _, previous_state, hidden_states, _ = drawn(seed, *sizes, 1)
    w_n, c_t = pair(attention.dot_product_attention(hidden_states, previous_state))
    assert_shape(c_t, previous_state.shape, like=previous_state)
    assert_mixed(c_t, w_n, hidden_states, roundings(previous_state, hidden_states))


@points(0.5, "The causal mask is right for every length, and boolean")
@rests_on("Booleans `[seq_len, seq_len]`, True on and below the diagonal.")
def test_causal_masks(attention):
    """Position i may attend the positions up to its own and none after; True and False say so, not numbers."""
    for length in (1, 2, 3, 5, 8, 300):
        mask = attention.causal_mask(length)
        assert_equal(mask, np.arange(length)[None, :] <= np.arange(length)[:, None])
        assert_dtype(mask, np.bool_)


@points(0.5, "The scores are divided by √d_k")
@rests_on("weights = softmax(query @ key^T / sqrt(d_k))")
@given(seed=seeds(), sizes=st.sampled_from(SIZES))
def test_scaled_weights(attention, seed, sizes):
    """The scores are divided by √d_k once; d_k is the length of a query, not of a value, and not the number of keys."""
    _, query, key, value = drawn(seed, *sizes)
    _, weights = pair(attention.scaled_dot_product_attention(query, key, value))
    assert_close(weights, weighted(query, key, sizes[2] ** -0.5), terms=roundings(query, key))


@points(0.5, "Every item of a batch attends to itself alone")
@rests_on("is any number of leading axes (a batch, heads)", "None lets every query attend every key")
@given(seed=seeds(), batch=BATCHES, sizes=st.sampled_from(SIZES))
def test_batches(attention, seed, batch, sizes):
    """The leading axes, a batch or heads, stay as they are: only the last two of the keys change places.

    Without a mask every query attends every key, also where there are as many of both.
    """
    queries, _, features, values = sizes
    _, query, key, value = drawn(seed, *sizes, batch)
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value, mask=None))
    assert_close(weights, weighted(query, key, features**-0.5), terms=roundings(query, key))
    assert_shape(output, (*batch, queries, values), like=value)


@points(0.5, "The output mixes the values by these weights")
@rests_on("output = weights @ value")
@given(
    seed=seeds(), batch=st.one_of(st.just(()), BATCHES), sizes=st.sampled_from([(4, 3, 8, 5), (5, 5, 8, 3), (3,) * 4])
)
def test_output(attention, seed, batch, sizes):
    """Row i of the output is the sum of all values, each times the weight that query i gives to its key."""
    _, query, key, value = drawn(seed, *sizes, batch)
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value))
    assert_shape(output, (*batch, sizes[0], sizes[3]), like=value)
    assert_mixed(output, weights, value, roundings(query, key))


@points(0.5, "Where the mask is False, the weight is exactly 0, and the rest sum to 1")
@rests_on("its weight is exactly 0, and the others share the whole")
@given(seed=seeds(), sizes=st.sampled_from([(4, 6), (5, 3), (4, 4)]))
def test_mask(attention, seed, sizes):
    """True means that this query may attend this key. The keys that are left share the whole by their own scores."""
    rng, query, key, value = drawn(seed, *sizes, 1, 2)
    mask = some_mask(rng, sizes)
    # A mask is for the call that it comes with: the next one, of the same sizes, sees all keys or another part of them.
    attention.scaled_dot_product_attention(query, key, value, mask=some_mask(rng, sizes))
    _, weights = pair(attention.scaled_dot_product_attention(query, key, value))
    assert_close(weights, weighted(query, key, 1.0), digits=6)
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value, mask=mask))
    expected = weighted(query, key, 1.0, mask)
    assert_close(weights, expected, digits=6)
    assert_equal(weights[~mask], np.zeros(int((~mask).sum())))
    assert_close(output, expected @ value, digits=6)


@points(0.5, "A mask may have fewer axes than the scores, or axes of length 1")
@rests_on("booleans that broadcast to `[..., T_q, T_k]`")
@given(seed=seeds(), shape=st.sampled_from([(5,), (1, 5), (4, 5), (3, 1, 5), (2, 1, 1, 5), (1, 3, 4, 5), (2, 3, 4, 5)]))
def test_mask_broadcasts(attention, seed, shape):
    """The mask broadcasts to the scores: one row for all queries, or one mask for all heads, is enough."""
    rng, query, key, value = drawn(seed, 4, 5, 1, 6, (2, 3))
    mask = some_mask(rng, shape)
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value, mask))
    expected = weighted(query, key, 1.0, mask)
    assert_close(weights, expected, digits=6)
    assert_close(output, expected @ value, digits=6)


@points(0.5, "A masked key has weight 0 even if it would win by far")
@rests_on("A masked key has weight exactly 0.")
@given(seed=seeds())
def test_masked_key_with_a_large_score(attention, seed):
    """However high a masked key's score is, and however low all others, the key must not take part in the softmax."""
    rng = np.random.default_rng(seed)
    mask = some_mask(rng, (4,))
    mask[rng.integers(0, 4)] = False
    mask[rng.integers(0, 4)] = True
    small = rng.integers(-3, 4, 4)
    query, key = np.array([[1.0], [2.0], [1.0]]), np.where(mask, small - 4e5, small + 4e5)[:, None]
    mask = np.tile(mask, (3, 1))
    output, weights = pair(attention.scaled_dot_product_attention(query, key, np.eye(4)[:, :3] * 8, mask))
    expected = weighted(query, key, 1.0, mask)
    assert_close(weights, expected, digits=6)
    assert_equal(weights[~mask], np.zeros(int((~mask).sum())))
    assert_close(output, expected[:, :3] * 8, digits=6)


@points(0.5, "Large dot products do not overflow")
@rests_on("Dot products of long vectors may be in the thousands")
def test_large_scores(attention):
    """Dot products of long vectors are large, of either sign. Your softmax is made for that: use it."""
    ones = np.ones((1, 4))
    query = 1000 * np.concatenate([ones, -ones, 0 * ones])
    key = 250 * np.concatenate([ones, -ones, 0.5 * ones, ones, -0.5 * ones])
    expected = np.array([[0.5, 0, 0, 0.5, 0], [0, 1, 0, 0, 0], [0.2] * 5])
    w_n, c_t = pair(attention.dot_product_attention(key, query))
    assert_close(w_n, expected, digits=6)
    assert_close(c_t, expected @ key, digits=6)
    value = np.arange(10.0).reshape(5, 2)
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value))
    assert_close(weights, expected, digits=6)
    assert_close(output, expected @ value, digits=6)


@points(0.5, "float16, float32 and float64 stay what they are")
@rests_on("Floating dtypes are kept")
def test_dtypes_are_kept(attention):
    """Every result has the dtype of the inputs: a root or a mask in float64 must not widen a float32 model."""
    for dtype in (np.float16, np.float32, np.float64):
        _, *vectors = drawn(1, 3, 4, 8, 2)
        query, key, value = (array.astype(dtype) for array in vectors)
        mask = np.array([[True, True, False, True], [True, False, False, True], [False, True, True, True]])
        for results in (
            attention.dot_product_attention(key, query),
            attention.scaled_dot_product_attention(query, key, value),
            attention.scaled_dot_product_attention(query, key, value, mask),
        ):
            for result in pair(results):
                assert_dtype(result, dtype)


@points(0.5, "Whole numbers are computed as floats")
@rests_on("integers are computed as floats")
def test_integers(attention):
    """Vectors of integers are vectors too: weights and mixtures are floating-point arrays."""
    query, key = np.array([[2], [0], [-1]]), np.array([[1], [-2], [3], [0]])
    expected = weighted(query, key, 1.0)
    w_n, c_t = pair(attention.dot_product_attention(key, query))
    assert_close(w_n, expected, digits=6)
    assert_close(c_t, expected @ key, digits=6)
    value = np.array([[1, 0], [7, 2], [-3, 5], [4, 4]])
    mask = np.array([[True, False, True, True], [False, True, True, False], [True, True, False, True]])
    output, weights = pair(attention.scaled_dot_product_attention(query, key, value, mask))
    expected = weighted(query, key, 1.0, mask)
    assert_close(weights, expected, digits=6)
    assert_close(output, expected @ value, digits=6)
