"""The key-value cache, hidden: against PyTorch's own multi-head attention, in every split, and its work counted.

The reference is `nn.MultiheadAttention` with the same weights, in float64, on the whole text at once. A result goes
through sums of C, D, S and C terms (a projection, a score, a mixture of S values, a projection) and a softmax, whose
exponentials turn the scores' roundings, of numbers up to about 10, into relative ones: about 3C + S + 30 roundings.

Work is not timed: PyTorch's profiler counts multiplications and additions while a new token is read, after 32 tokens
and after 256. (It is the older profiler, which prints nothing and imports nothing. `FlopCounterMode` counts the same,
but takes a second to begin.) With C = 64 a right answer works two to four times as much after 256 tokens, even if it
attends to the whole of a buffer that grows by doubling, or computes a full square mask each time. Whoever reads the old
tokens again works 18 times as much, or more. The limit is 10. And the four projections of one token are counted at
least: who works where nothing counts it has not shown that he works little.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_equal, assert_shape, points, rests_on, seeds

NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")
SIZES = st.sampled_from([(12, 3), (8, 1), (20, 5), (6, 6), (16, 4)])  # C and H
SPLITS = st.lists(st.integers(1, 4), min_size=2, max_size=4)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.float16])


def normal(seed, *shape):
    """Reproducible numbers around 0, in float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(seed, dim):
    """Weights of a size that spreads attention over some tokens, neither over all nor on one; biases that matter."""
    sizes = {f"{name}.weight": (dim, dim) for name in NAMES} | {f"{name}.bias": (dim,) for name in NAMES}
    return {name: normal(seed + i, *shape) * 1.3 / dim**0.5 for i, (name, shape) in enumerate(sizes.items())}


def loaded(module, weights, heads):
    """A layer with these weights."""
    layer = module.CachedSelfAttention(len(weights["q_proj.bias"]), heads)
    layer.load_state_dict(weights, strict=False)
    return layer


def reference(weights, heads):
    """`nn.MultiheadAttention` with the same weights in float64, and a function that applies it causally."""
    attention = nn.MultiheadAttention(len(weights["q_proj.bias"]), heads, batch_first=True, dtype=torch.float64)
    state = {name: weights[name] for name in ("out_proj.weight", "out_proj.bias")}
    for kind in ("weight", "bias"):
        state[f"in_proj_{kind}"] = torch.cat([weights[f"{name}.{kind}"] for name in NAMES[:3]])
    attention.load_state_dict(state)

    def causal(x):
        x = x.double()
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(diagonal=1)
        return attention(x, x, x, attn_mask=future, need_weights=False)[0]

    return attention, causal


def check_pieces(module, layer, x, expected, split):
    """Reads `x` in pieces of these lengths, with one cache, and compares each with its part of the whole's results."""
    cache, end = module.KVCache(), 0
    for length in split:
        begin, end = end, end + length
        assert_close(layer(x[:, begin:end], cache), expected[:, begin:end], terms=3 * x.shape[-1] + end + 30)


def check_length(cache, length):
    """The cache's length is a number of positions."""
    if (found := len(cache)) != length:
        raise Mismatch(f"the cache's length is {found} after {length} positions", None, None)


@points(0.25, "The parts have their names and shapes")
@rests_on("self.q_proj = nn.Linear(embed_dim, embed_dim)")
def test_names_and_shapes(kv_cache):
    """The projections q_proj, k_proj, v_proj and out_proj are `nn.Linear(embed_dim, embed_dim)`, with bias."""
    state = kv_cache.CachedSelfAttention(10, 5).state_dict()
    for name in NAMES:
        if f"{name}.weight" not in state or f"{name}.bias" not in state:
            raise Mismatch(f"it has no {name} with weight and bias", None, None)
        assert_shape(state[f"{name}.weight"], (10, 10))
        assert_shape(state[f"{name}.bias"], (10,))


@points(0.75, "Without a cache it is causal multi-head attention")
@rests_on("Causal multi-head self-attention (Vaswani et al. 2017) whose past may be in a cache.")
@settings(max_examples=20)
@given(seed=seeds(), size=SIZES, batch=st.integers(1, 3), length=st.integers(1, 6))
def test_without_a_cache(kv_cache, seed, size, batch, length):
    """Every head has its own columns and scores over √D; a token sees itself and those before it, and no others."""
    dim, heads = size
    weights, x = random_weights(seed, dim), normal(seed + 100, batch, length, dim)
    got = loaded(kv_cache, weights, heads)(x)
    assert_close(got, reference(weights, heads)[1](x).detach(), terms=3 * dim + length + 30)


@points(1, "A prompt, then one token at a time, gives what the whole gives")
@rests_on("The new tokens may be the whole prompt at once, or a single token, or a few in the middle")
@settings(max_examples=15)
@given(seed=seeds(), size=SIZES, batch=st.integers(1, 3), prompt=st.integers(1, 4), more=st.integers(1, 4))
def test_token_by_token(kv_cache, seed, size, batch, prompt, more):
    """A new token sees all keys and values in the cache and its own. The prompt itself is masked as always."""
    dim, heads = size
    weights, x = random_weights(seed, dim), normal(seed + 100, batch, prompt + more, dim)
    expected = reference(weights, heads)[1](x).detach()
    check_pieces(kv_cache, loaded(kv_cache, weights, heads), x, expected, [prompt, *[1] * more])


@points(0.75, "Any split into pieces gives what the whole gives")
@rests_on("Any split of a text into pieces, handed over one after the other with one cache")
@settings(max_examples=20)
@given(seed=seeds(), size=SIZES, batch=st.integers(1, 3), split=SPLITS)
def test_any_split(kv_cache, seed, size, batch, split):
    """New tokens that come together stand behind those in the cache: row i of the mask is the text's position P + i."""
    dim, heads = size
    split = [*split, 3]  # at least one piece of several tokens behind others
    weights, x = random_weights(seed, dim), normal(seed + 100, batch, sum(split), dim)
    expected = reference(weights, heads)[1](x).detach()
    check_pieces(kv_cache, loaded(kv_cache, weights, heads), x, expected, split)


@points(0.25, "Long texts: every token sees all that came before")
@rests_on("gives what the whole text gives at once")
def test_long_texts(kv_cache):
    """A text may have hundreds of tokens, read in small pieces or in large ones, and nothing of it is forgotten.

    Neither the mask nor the cache has a length of its own.
    """
    weights, x = random_weights(8, 12), normal(90, 1, 305, 12)
    expected = reference(weights, 3)[1](x).detach()
    layer = loaded(kv_cache, weights, 3)
    check_pieces(kv_cache, layer, x, expected, [40, 1, 260, 1, 3])
    assert_close(layer(x), expected, terms=3 * 12 + 305 + 30)


@points(0.25, "No token sees the future, whatever the pieces")
@rests_on("where a token sees itself and what came before it, also in earlier calls")
@settings(max_examples=8)
@given(seed=seeds(), change=st.integers(1, 8))
def test_causality(kv_cache, seed, change):
    """Other tokens from some position on leave all results before it as they were, also inside a piece."""
    layer, x = loaded(kv_cache, random_weights(seed, 12), 3), normal(seed + 100, 2, 9, 12)
    other = torch.cat([x[:, :change], normal(seed + 101, 2, 9 - change, 12)], dim=1)
    results = []
    for tokens in (x, other):
        cache = kv_cache.KVCache()
        results.append(torch.cat([layer(piece, cache).detach() for piece in tokens.split([4, 2, 3], dim=1)], dim=1))
    assert_close(results[1][:, :change], results[0][:, :change], terms=70)
    assert (results[1][:, change:] != results[0][:, change:]).any(-1).all(), "a token does not see itself"


@points(0.5, "The cache holds all keys and all values, in order")
@rests_on("All keys and all values so far, each `[B, H, S, D]`, the new ones last.")
@settings(max_examples=15)
@given(seed=seeds(), shape=st.sampled_from([(2, 3, 4), (1, 5, 2), (3, 1, 6)]), split=SPLITS, dtype=DTYPES)
def test_append(kv_cache, seed, shape, split, dtype):
    """`append` returns all keys and values so far, the oldest first, exactly as they came; `len` counts positions."""
    batch, heads, dim = shape
    key, value = normal(seed, batch, heads, sum(split), dim), normal(seed + 1, batch, heads, sum(split), dim)
    key, value = key.to(dtype), value.to(dtype)
    cache, end = kv_cache.KVCache(), 0
    check_length(cache, 0)
    for length in split:
        begin, end = end, end + length
        keys, values = cache.append(key[:, :, begin:end], value[:, :, begin:end])
        for got, appended in ((keys, key), (values, value)):
            assert_equal(got, appended[:, :, :end])
            assert_dtype(got, dtype)
        check_length(cache, end)


@points(0.25, "The layer puts each position into the cache once")
@rests_on("to which this call appends")
def test_layer_fills_the_cache(kv_cache):
    """A new cache is as good as any other: the layer appends every position that it reads, from the first, and once."""
    layer, cache, x = kv_cache.CachedSelfAttention(12, 4), kv_cache.KVCache(), normal(9, 5, 6, 12)
    for begin, end in ((0, 3), (3, 4), (4, 6)):
        layer(x[:, begin:end], cache)
        check_length(cache, end)


@points(0.5, "Two caches and one layer: nothing leaks")
@rests_on("Each text that is being written has a cache of its own")
@settings(max_examples=10)
@given(seed=seeds())
def test_caches_are_separate(kv_cache, seed):
    """What was read lives in the cache that was handed over and nowhere else: texts may take turns at one layer."""
    weights = random_weights(seed, 12)
    layer, (_, causal) = loaded(kv_cache, weights, 4), reference(weights, 4)
    texts = [normal(seed + i, 2, 5, 12) for i in (100, 101, 102)]
    expected = [causal(x).detach() for x in texts]
    caches = kv_cache.KVCache(), kv_cache.KVCache(), None
    for begin, end in ((0, 2), (2, 3), (3, 5)):
        for x, whole, cache in zip(texts, expected, caches, strict=True):
            if cache is None:
                assert_close(layer(x), whole, terms=75)
            else:
                assert_close(layer(x[:, begin:end], cache), whole[:, begin:end], terms=75)


@points(0.75, "A new token's work grows linearly with the context")
@rests_on("leaves for each new token only what is really new")
def test_work_grows_linearly(kv_cache):
    """One new token takes one new query, against all keys. Do not compute what the old tokens have got already."""
    layer, x = kv_cache.CachedSelfAttention(64, 4), normal(5, 1, 257, 64)
    backends, profiler = kv_cache.library("torch.nn.attention"), kv_cache.library("torch.autograd.profiler_legacy")
    with_context = kv_cache.library("torch.utils._contextlib").context_decorator
    counted = []
    for context in (32, 256):
        cache = kv_cache.KVCache()
        layer(x[:, :context], cache)
        counter = profiler.profile(with_flops=True)
        # What fused attention does is not counted, so this call does without it.
        unfused = backends.sdpa_kernel(backends.SDPBackend.MATH.value())(layer)
        with_context(counter, unfused)(x[:, context : context + 1], cache)
        counted.append(counter.total_average().flops.value())
    assert_shape(layer(x[:, :1], cache), (1, 1, 64))
    assert counted[0] >= 4 * 64 * 64, "less was counted than one token's projections take: compute with PyTorch"
    assert counted[1] >= counted[0], "less was counted after 256 tokens than after 32: that cannot be"
    assert counted[1] <= 10 * counted[0], f"{counted[1]} operations after 256 tokens, and {counted[0]} after 32"


@points(0.25, "Very large scores do not overflow")
@rests_on("a score of a few thousand is no trouble")
def test_large_scores(kv_cache):
    """exp() of a large score is infinite. PyTorch's softmax subtracts each row's largest score first: let it do it."""
    weights = random_weights(3, 12)
    # Equal tokens have equal scores and equal values: nothing hangs on how large scores are rounded.
    x = (300 * normal(40, 3, 1, 12)).expand(3, 7, 12).contiguous()
    check_pieces(kv_cache, loaded(kv_cache, weights, 3), x, reference(weights, 3)[1](x).detach(), [4, 1, 2])
    # The first token's score with itself is far below 0, and still it sees nothing else.
    shy = {**weights, "q_proj.weight": -1e3 * weights["k_proj.weight"], "q_proj.bias": -1e3 * weights["k_proj.bias"]}
    x, layer = 10 * normal(41, 3, 4, 12), loaded(kv_cache, shy, 3)
    assert_close(layer(x)[:, :1], layer(x[:, :1].contiguous()), terms=75)


@points(0.25, "A float64 layer computes in float64 throughout")
@rests_on("for the new tokens, in the dtype of `x`")
def test_float64(kv_cache):
    """The layer works in the dtype of its weights. What you make yourself, a mask or a buffer, must not change it."""
    weights, x = random_weights(6, 12), normal(70, 2, 8, 12).double()
    expected = reference(weights, 4)[1](x).detach()
    layer, cache = loaded(kv_cache, weights, 4).double(), kv_cache.KVCache()
    for begin, end in ((0, 4), (4, 5), (5, 8)):
        got = layer(x[:, begin:end], cache)
        assert_dtype(got, torch.float64)
        assert_close(got, expected[:, begin:end], terms=75)


@points(0.25, "Training works: gradients reach the input and every weight")
@rests_on("Without a cache, gradients flow back to `x` and to every weight")
@settings(max_examples=10)
@given(seed=seeds())
def test_gradients(kv_cache, seed):
    """Without a cache the layer trains like any other: the gradients are those of PyTorch's own attention."""
    weights = random_weights(seed, 12)
    x, cotangent = normal(seed + 100, 2, 5, 12), normal(seed + 101, 2, 5, 12)
    got = loaded(kv_cache, weights, 3).gradients(x, cotangent=cotangent)
    attention, causal = reference(weights, 3)
    leaf = x.double().requires_grad_()
    (causal(leaf) * cotangent).sum().backward()
    expected = {}
    for kind in ("weight", "bias"):
        packed = getattr(attention, f"in_proj_{kind}").grad
        gradients = (*packed.split(12), getattr(attention.out_proj, kind).grad)
        expected |= {f"{name}.{kind}": gradient for name, gradient in zip(NAMES, gradients, strict=True)}
    scale = max(float(gradient.abs().max()) for gradient in (leaf.grad, *expected.values()))
    assert_close(got.args[0], leaf.grad, terms=150, scale=scale)
    for name, gradient in expected.items():
        assert_close(got.parameters.get(name), gradient, terms=150, scale=scale)
