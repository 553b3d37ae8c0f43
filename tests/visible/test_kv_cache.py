"""The key-value cache, visible: the worked example, the memory alone, and a short text read in pieces.

The reference is PyTorch's own multi-head attention with the same weights, in float64. A result goes through four sums
(a projection, a score, a mixture, a projection) of 7 terms at most and one softmax: 50 roundings are generous.
"""

import math

import torch
from torch import nn

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_equal, points

C, H = 4, 2
NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


WEIGHTS = {f"{name}.weight": normal(i, C, C) for i, name in enumerate(NAMES)}
WEIGHTS |= {f"{name}.bias": normal(10 + i, C) for i, name in enumerate(NAMES)}


def whole(x):
    """What the whole text gives at once, by `nn.MultiheadAttention`."""
    attention = nn.MultiheadAttention(C, H, batch_first=True, dtype=torch.float64)
    packed = {
        "in_proj_weight": torch.cat([WEIGHTS[f"{name}.weight"] for name in NAMES[:3]]),
        "in_proj_bias": torch.cat([WEIGHTS[f"{name}.bias"] for name in NAMES[:3]]),
    }
    attention.load_state_dict(packed | {name: WEIGHTS[name] for name in ("out_proj.weight", "out_proj.bias")})
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(diagonal=1)
    return attention(x.double(), x.double(), x.double(), attn_mask=future)[0].detach()


def loaded(module):
    """A layer with the weights above."""
    layer = module.CachedSelfAttention(C, H)
    layer.load_state_dict(WEIGHTS, strict=False)
    return layer


@points(0.5, "The worked example comes out")
def test_worked_example(kv_cache):
    """Two tokens are in the cache, and the third sees them and itself, with the weights of softmax([1, 1, 2] / √2)."""
    layer, cache = kv_cache.CachedSelfAttention(2, 1), kv_cache.KVCache()
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    unchanged = {f"{name}.weight": torch.eye(2) for name in names} | {f"{name}.bias": torch.zeros(2) for name in names}
    layer.load_state_dict(unchanged, strict=False)
    layer(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), cache)
    far, near = math.exp(1 / math.sqrt(2)), math.exp(2 / math.sqrt(2))
    expected = (far + near) / (2 * far + near)  # 0.752
    assert_close(layer(torch.tensor([[[1.0, 1.0]]]), cache), torch.tensor([[[expected, expected]]]), terms=20)


@points(0.75, "The cache holds what was appended, in order")
def test_append(kv_cache):
    """`append` puts new positions behind the old ones and returns all keys and values; `len` counts the positions.

    They keep their dtype, here float64.
    """
    cache = kv_cache.KVCache()
    key, value = (
        normal(1, 2, 3, 5, 4).double(),
        normal(2, 2, 3, 5, 4).double(),
    )  # two texts, three heads, five positions
    if (length := len(cache)) != 0:
        raise Mismatch(f"a new cache has the length {length} instead of 0", None, None)
    for begin, end in ((0, 1), (1, 4), (4, 5)):
        keys, values = cache.append(key[:, :, begin:end], value[:, :, begin:end])
        assert_equal(keys, key[:, :, :end])
        assert_equal(values, value[:, :, :end])
        assert_dtype(keys, torch.float64)
        assert_dtype(values, torch.float64)
        if (length := len(cache)) != end:
            raise Mismatch(f"the length is {length} after {end} positions", None, None)


@points(0.5, "Without a cache it is causal attention, and remembers nothing")
def test_without_a_cache(kv_cache):
    """Without a cache, each call stands alone: every token sees itself and the tokens before it in this call."""
    layer, x = loaded(kv_cache), normal(3, 2, 4, C)
    for _ in range(2):
        assert_close(layer(x), whole(x), terms=50)


@points(0.75, "A prompt, then one token at a time")
def test_token_by_token(kv_cache):
    """With a cache, each new token's result is what it would be if the whole text were read at once."""
    layer, cache, x = loaded(kv_cache), kv_cache.KVCache(), normal(4, 2, 6, C)
    expected = whole(x)
    assert_close(layer(x[:, :3], cache), expected[:, :3], terms=50)
    for t in (3, 4, 5):
        assert_close(layer(x[:, t : t + 1], cache), expected[:, t : t + 1], terms=50)


@points(0.5, "Several new tokens after old ones")
def test_pieces(kv_cache):
    """New tokens that come together see all that is in the cache, themselves, and the earlier ones among them.

    Two texts with a cache each may take turns: what is remembered is in the caches, and nowhere else.
    """
    layer, cache, other, x = loaded(kv_cache), kv_cache.KVCache(), kv_cache.KVCache(), normal(5, 1, 7, C)
    expected, turned = whole(x), whole(-x)
    for begin, end in ((0, 2), (2, 5), (5, 7)):
        assert_close(layer(x[:, begin:end], cache), expected[:, begin:end], terms=50)
        assert_close(layer(-x[:, begin:end], other), turned[:, begin:end], terms=50)
