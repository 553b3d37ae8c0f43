"""Multi-head attention, hidden: heads against slices, the module against PyTorch's own, with masks of every shape.

The module gets weights made here, no bias zero.

Rounding: one result comes from sums of C (projections), D (scores), T (mixing) and C terms (the last projection), of
numbers about as large as the result; scores of up to about 8 pass their roundings on through the exponential: less
than 16·C + T roundings.
"""

import pytest
import torch
from hypothesis import given, settings
from torch import nn

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

# B, T, C and the number of heads: sizes of a head from 1 to C, many heads and one, one text, one position.
SIZES = [
    (2, 5, 12, 3),
    (6, 1, 8, 4),
    (5, 4, 6, 1),
    (3, 2, 8, 8),
    (1, 6, 24, 8),
    (4, 4, 4, 4),
    (1, 1, 4, 2),
    (3, 7, 20, 4),
]
NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")

# What a mask may look like; the letters are the sizes of its axes.
MASKS = ["TT", "B11T", "B1TT", "1HTT", "HTT", "BHTT", "BH1T", "1T"]

# Two texts of four and two positions, filled up to five: as a mask, and as the places of x that count.
PADDING = torch.tensor([[True, True, True, True, False], [True, True, False, False, False]])[:, None, None, :]
SEEN = PADDING[:, 0, 0, :, None]


def random_case(size, seed, dtype=torch.float32):
    """An input and weights: matrices that make a vector a little longer, and biases."""
    B, T, C, _ = size
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name in NAMES:
        weights[f"{name}.weight"] = (1.3 * torch.randn(C, C, generator=generator) / C**0.5).to(dtype)
        weights[f"{name}.bias"] = (0.5 * torch.randn(C, generator=generator)).to(dtype)
    return torch.randn(B, T, C, generator=generator).to(dtype), weights


def random_mask(kind, size, seed):
    """A mask that keeps at least one key for every query, and as a rule another number for each."""
    axes = dict(zip("BTCH1", (*size, 1), strict=True))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand([axes[letter] for letter in kind], generator=generator)
    return (noise > 0.5) | (noise == noise.amax(-1, keepdim=True))


def load(attention, weights):
    """Puts the weights where their names are, and made-up ones where the module has others or other shapes.

    So a wrong name or shape costs the tests about it, and leaves nothing to the module's own random numbers.
    """
    known, generator = dict(weights), torch.Generator().manual_seed(0)
    for name, tensor in attention.state_dict().items():
        if tensor.is_floating_point() and (name not in weights or weights[name].shape != tensor.shape):
            known[name] = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) / 8
    attention.load_state_dict(known, strict=False)
    return attention


def pytorch_layer(weights, num_heads):
    """PyTorch's own layer with these weights, in float64."""
    layer = nn.MultiheadAttention(len(weights["q_proj.bias"]), num_heads, batch_first=True, dtype=torch.float64)
    stacked = {kind: torch.cat([weights[f"{name}.{kind}"] for name in NAMES[:3]]) for kind in ("weight", "bias")}
    names = {f"out_proj.{kind}": weights[f"out_proj.{kind}"] for kind in stacked}
    layer.load_state_dict({f"in_proj_{kind}": value for kind, value in stacked.items()} | names)
    return layer


def run(layer, x, num_heads, mask=None):
    """PyTorch's layer on x; its masks say what is hidden, text by text and head by head."""
    if mask is not None:
        B, T, _ = x.shape
        mask = ~mask.expand(B, num_heads, T, T).reshape(B * num_heads, T, T)
    return layer(x, x, x, attn_mask=mask, need_weights=False)[0]


def expected(x, weights, num_heads, mask=None):
    """What the module should give."""
    return run(pytorch_layer(weights, num_heads), x.double(), num_heads, mask).detach()


def terms(size):
    """How many roundings may add up."""
    return 16 * size[2] + size[1]


def make_values_alike(weights):
    """Makes every position's value the same, and returns what every position must then get."""
    weights["v_proj.weight"] = torch.zeros_like(weights["v_proj.weight"])
    weight, bias = weights["out_proj.weight"].double(), weights["out_proj.bias"].double()
    return weight @ weights["v_proj.bias"].double() + bias


def assert_unchanged(before, after, size):
    """Passes when the positions that can be seen got the same twice."""
    shape = size[:3]
    assert_shape(before, shape, like=PADDING)
    assert_shape(after, shape, like=PADDING)
    if not before.isfinite().all():
        raise Mismatch("some results are no finite numbers", before, None)
    seen = SEEN.expand(shape)
    assert_close(after[seen], before[seen], terms=terms(size))


@points(1, "Each head holds its own columns of every position")
@rests_on("heads[b, h, t, d] = x[b, t, h·D + d], with D = C / num_heads.")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_split_heads(multi_head_attention, size, seed):
    """Head h holds the columns h·D to (h+1)·D of x, for every position.

    Cut the last axis into [H, D] first, and then swap the axes of positions and heads; to reshape straight to [B, H,
    T, D] mixes up positions.
    """
    B, T, C, num_heads = size
    x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(seed))
    heads = torch.stack(x.split(C // num_heads, dim=-1), dim=1)
    assert_equal(multi_head_attention.split_heads(x, num_heads), heads)


@points(0.75, "Merging puts the heads side by side")
@rests_on("merged[b, t, h·D + d] = x[b, h, t, d]: the inverse of `split_heads`.")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_merge_heads(multi_head_attention, size, seed):
    """Merged, a position has the columns of head 0 first, then those of head 1, and so on.

    Swap the axes of heads and positions first, and only then make the last two axes one.
    """
    B, T, C, num_heads = size
    heads = torch.randn(B, num_heads, T, C // num_heads, generator=torch.Generator().manual_seed(seed))
    merged = torch.cat([heads[:, head] for head in range(num_heads)], dim=-1)
    assert_equal(multi_head_attention.merge_heads(heads), merged)


@points(0.25, "Columns that cannot be shared out are refused")
@rests_on("ValueError: `num_heads` does not divide C.")
def test_split_refuses(multi_head_attention):
    """A number of heads that does not divide the number of columns is refused with a `ValueError` that says why.

    More heads than columns are such a case too. Whatever divides them is taken.
    """
    for C, num_heads in [(9, 2), (10, 3), (12, 5), (8, 16)]:
        x = torch.arange(6.0 * C).reshape(2, 3, C)
        assert_raises_value_error(multi_head_attention.split_heads, x, num_heads)
    for C, num_heads in [(9, 3), (10, 1), (12, 12)]:
        assert_shape(
            multi_head_attention.split_heads(torch.ones(2, 5, C), num_heads), (2, num_heads, 5, C // num_heads)
        )


@points(0.25, "A module that cannot work is refused")
@rests_on("ValueError: `num_heads` does not divide `embed_dim`.")
def test_module_refuses(multi_head_attention):
    """The module raises the `ValueError` when it is made, not only when data comes.

    Who made it then knows at once what is wrong. A module whose heads share the columns equally is made, and works.
    """
    for C, num_heads in [(9, 2), (10, 3), (12, 5), (8, 16)]:
        assert_raises_value_error(multi_head_attention.MultiHeadAttention, C, num_heads)
    for C, num_heads in [(9, 3), (10, 1), (12, 12)]:
        assert_shape(multi_head_attention.MultiHeadAttention(C, num_heads)(torch.ones(2, 5, C)), (2, 5, C))


@points(0.25, "The weights have the names and shapes that were asked for")
@rests_on("q_proj, k_proj, v_proj: `nn.Linear`, from x to queries, keys and values, C → C.")
def test_names_and_shapes(multi_head_attention):
    """There are four linear layers from C to C: `q_proj`, `k_proj`, `v_proj` and `out_proj`.

    Each has a bias, and nothing else is learned or saved.
    """
    for C, num_heads in [(12, 3), (8, 1)]:
        state = multi_head_attention.MultiHeadAttention(C, num_heads).state_dict()
        wanted = {f"{name}.{kind}": (C, C)[: 2 - (kind == "bias")] for name in NAMES for kind in ("weight", "bias")}
        for name in [*wanted, *state]:
            if name not in state:
                raise Mismatch(f"the module has no `{name}`", None, None)
            if name not in wanted:
                raise Mismatch(f"the module has a `{name}`, which was not asked for", None, None)
            assert_shape(state[name], wanted[name])


@points(1, "Without a mask the numbers are PyTorch's")
@rests_on("MultiHead(x) = merge(softmax(Q Kᵀ / √D) V) W_O + b_O, with Q, K, V split into heads")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_values(multi_head_attention, size, seed):
    """Each head takes the softmax, over the keys, of query · key / √D, and mixes the values by it.

    D is the size of one head. The merged heads go through `out_proj`. Check the scale, the axis of the softmax, and
    which projection makes what.
    """
    x, weights = random_case(size, seed)
    attention = load(multi_head_attention.MultiHeadAttention(size[2], size[3]), weights)
    assert_close(attention(x), expected(x, weights, size[3]), terms=terms(size))


@points(0.75, "With a mask of any shape too")
@rests_on("booleans that broadcast to `[B, H, T, T]`, True where a query (row) may attend a key (column)")
@pytest.mark.parametrize("kind", MASKS)
@given(seed=seeds())
@settings(max_examples=2)
def test_masks(multi_head_attention, kind, seed):
    """True means that a query (row) may attend a key (column); a mask broadcasts to [B, H, T, T].

    What is False gets -inf for its score, before the softmax, so that the rest still sums to 1. A mask may differ from
    text to text and from head to head.
    """
    for size in (SIZES[0], SIZES[-1]):
        x, weights = random_case(size, seed)
        mask = random_mask(kind, size, seed)
        attention = load(multi_head_attention.MultiHeadAttention(size[2], size[3]), weights)
        assert_close(attention(x, mask), expected(x, weights, size[3], mask), terms=terms(size))


@points(0.25, "One module, many texts: nothing is kept from one to the next")
@rests_on("None hides nothing.")
def test_calls_are_apart(multi_head_attention):
    """A mask is for the call that it comes with, in training and in evaluation, and a text may be of any length."""
    size = (1, 4, 12, 3)
    _, weights = random_case(size, 17)
    attention = load(multi_head_attention.MultiHeadAttention(12, 3), weights)
    for call, (length, kind) in enumerate([(4, "TT"), (4, "TT"), (4, None), (300, "TT"), (300, None), (4, "BHTT")]):
        if call == 5:
            attention.eval()
        x, _ = random_case((1, length, 12, 3), call)
        mask = None if kind is None else random_mask(kind, (1, length, 12, 3), call)
        assert_close(attention(x, mask), expected(x, weights, 3, mask), terms=terms(size) + length)


@points(0.25, "The weights of every query sum to 1")
@rests_on("MultiHead(x) = merge(softmax(Q Kᵀ / √D) V)")
@pytest.mark.parametrize("kind", [None, *MASKS[:4]])
@given(seed=seeds())
@settings(max_examples=2)
def test_weights_sum_to_one(multi_head_attention, kind, seed):
    """When all values are alike, any mixture of them is that value again, masked or not.

    For the weights of a query sum to 1 over its keys. A mask that is applied after the softmax takes weight away, and
    nobody gets it.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, seed)
    mask = None if kind is None else random_mask(kind, size, seed)
    alike = make_values_alike(weights)
    attention = load(multi_head_attention.MultiHeadAttention(12, 3), weights)
    assert_close(attention(x, mask=mask), alike.expand(x.shape), terms=terms(size))


@points(0.25, "What is hidden changes nothing")
@rests_on("True where a query (row) may attend a key (column)")
@given(seed=seeds())
@settings(max_examples=6)
def test_hidden_changes_nothing(multi_head_attention, seed):
    """A position that the mask hides has weight exactly 0.

    So when it changes, the others' results do not, and no gradient flows back to it from them. Check which of True and
    False hides, and that rows are queries and columns keys.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, seed)
    attention = load(multi_head_attention.MultiHeadAttention(12, 3), weights)
    before, after = attention(x, PADDING), attention(torch.where(SEEN, x, 3 - 5 * x), PADDING)
    assert_unchanged(before, after, size)
    flowed = attention.gradients(x, PADDING, cotangent=SEEN.expand(x.shape).float()).args[0]
    assert_shape(flowed, x.shape, like=x)
    hidden = ~SEEN.expand(x.shape)
    assert_equal(flowed[hidden], torch.zeros(int(hidden.sum())))


@points(0.25, "Large scores do not overflow")
@rests_on("A score of a few thousand is no trouble")
@given(seed=seeds())
@settings(max_examples=4)
def test_large_scores(multi_head_attention, seed):
    """Scores of a few thousand, of either sign, are only scores.

    The largest one takes nearly all the weight, and nothing becomes inf or nan. What the mask hides stays hidden even
    where all that is left has a very negative score.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, seed)
    weights["q_proj.weight"] *= 100
    weights["k_proj.weight"] *= 5
    x[:, 0] = 0.0  # only this position's own scores stay small
    attention = load(multi_head_attention.MultiHeadAttention(12, 3), weights)
    assert_unchanged(attention(x, PADDING), attention(torch.where(SEEN, x, -x), PADDING), size)
    alike = make_values_alike(weights)
    attention = load(attention, weights)
    for mask in (None, random_mask("BHTT", size, seed)):
        assert_close(attention(x, mask), alike.expand(x.shape), terms=terms(size))


@points(0.5, "Gradients reach every weight, and are right")
@rests_on("gradients flow back to `x` and to every weight")
@pytest.mark.parametrize("kind", [None, *MASKS[:4]])
@given(seed=seeds())
@settings(max_examples=2)
def test_gradients(multi_head_attention, kind, seed):
    """Learning needs the derivative by every weight and by the input, with a mask and without.

    `.detach()`, `.data`, `torch.no_grad()` or a way through NumPy cut it off.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, seed, torch.float64)
    mask = None if kind is None else random_mask(kind, size, seed)
    cotangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    attention = load(multi_head_attention.MultiHeadAttention(12, 3).double(), weights)
    found = attention.gradients(x, mask=mask, cotangent=cotangent)

    layer, leaf = pytorch_layer(weights, 3), x.clone().requires_grad_()
    (cotangent * run(layer, leaf, 3, mask)).sum().backward()
    assert_shape(found.args[0], x.shape, like=x)
    assert_close(found.args[0], leaf.grad, terms=4 * terms(size))
    for part, stacked in [("weight", layer.in_proj_weight.grad), ("bias", layer.in_proj_bias.grad)]:
        last = layer.out_proj.get_parameter(part).grad
        for name, wanted in zip(NAMES, [*stacked.chunk(3), last], strict=True):
            gradient = found.parameters.get(f"{name}.{part}")
            if gradient is None:
                raise Mismatch(f"no gradient reaches `{name}.{part}`", None, None)
            # The gradient by the keys' bias is a sum that cancels to 0: its roundings are as large as the others'.
            scale = max(float(stacked.abs().max()), float(last.abs().max()))
            assert_close(gradient, wanted, terms=4 * terms(size), scale=scale)


@points(0.25, "A float64 module computes in float64")
@rests_on("`[B, T, C]`, in the dtype of `x`")
def test_float64(multi_head_attention):
    """`attention.double()` makes the weights float64, and then everything between input and result is float64 too.

    These are the same numbers with more digits. Nothing in the module may name a dtype of its own.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, 7)
    attention = load(multi_head_attention.MultiHeadAttention(12, 3), weights)
    mask = random_mask("TT", size, 7)
    short = attention(x, mask)
    assert_dtype(short, torch.float32)
    long = attention.double()(x.double(), mask)
    assert_dtype(long, torch.float64)
    assert_close(short, long, terms=terms(size))
    if torch.equal(long, long.float().double()):
        raise Mismatch("the numbers are float64, but have only float32's digits", long, None)
    half = attention.bfloat16()(x.bfloat16(), mask)
    assert_dtype(half, torch.bfloat16)
    # bfloat16 has two to three digits, and the sums are of tens of numbers.
    far = (half.float() - short).abs().max() > 0.1 * short.abs().max()
    assert not far, "in bfloat16 the numbers are others"
