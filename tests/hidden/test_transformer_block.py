"""A transformer block, hidden: against PyTorch's encoder layer in float64, whole, half by half, and by its gradients.

The block gets weights made here: no norm is trivial, no bias is zero. `SILENT_ATTENTION` and `SILENT_FFN` make one
half add nothing, so that the other is seen alone.

Rounding: the longest way through the block is a chain of sums of C (projections, first linear), T (mixing values), 4C
(second linear) and C terms (norms), less than 12·C + T in all, of numbers about as large as the result.

With `causal=True` the weights stay float32, for there a float mask in PyTorch's default dtype is as right as a boolean
one.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autograder.suites import Mismatch, assert_close, assert_dtype, assert_shape, points, rests_on, seeds

# B, T, C and the number of heads: few heads and many, as many as numbers, and one; one text; one position.
SIZES = [
    (2, 5, 12, 3),
    (6, 1, 8, 4),
    (1, 6, 9, 1),
    (3, 4, 8, 8),
    (5, 3, 16, 4),
    (4, 4, 4, 4),
    (1, 1, 4, 2),
    (4, 7, 10, 5),
]

SILENT_ATTENTION = ("attn.out_proj.weight", "attn.out_proj.bias")
SILENT_FFN = ("ffn.2.weight", "ffn.2.bias")

# What nn.TransformerEncoderLayer calls the same weights.
ENCODER_NAMES = {"attn": "self_attn", "ffn.0": "linear1", "ffn.2": "linear2", "norm1": "norm1", "norm2": "norm2"}


def shapes(C):
    """The names and shapes of a block's weights."""
    return {
        "attn.in_proj_weight": (3 * C, C),
        "attn.in_proj_bias": (3 * C,),
        "attn.out_proj.weight": (C, C),
        "attn.out_proj.bias": (C,),
        "ffn.0.weight": (4 * C, C),
        "ffn.0.bias": (4 * C,),
        "ffn.2.weight": (C, 4 * C),
        "ffn.2.bias": (C,),
        "norm1.weight": (C,),
        "norm1.bias": (C,),
        "norm2.weight": (C,),
        "norm2.bias": (C,),
    }


def random_case(size, seed, silent=(), dtype=torch.float32):
    """An input and weights: matrices that keep a vector's size, biases about half as large, norms of 0.5 to 1.5."""
    B, T, C, _ = size
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(C).items():
        drawn = torch.randn(shape, generator=generator)
        if len(shape) == 2:
            drawn = 1.5 * drawn / shape[1] ** 0.5
        elif name in ("norm1.weight", "norm2.weight"):
            drawn = 0.5 + torch.rand(shape, generator=generator)
        else:
            drawn = 0.5 * drawn
        weights[name] = (torch.zeros(shape) if name in silent else drawn).to(dtype)
    return torch.randn(B, T, C, generator=generator).to(dtype), weights


def load(block, weights):
    """Puts the weights where their names are, and made-up ones where the block has others or other shapes.

    So a wrong name or shape costs the tests about it, and leaves nothing to the block's own random numbers.
    """
    known, generator = dict(weights), torch.Generator().manual_seed(0)
    for name, tensor in block.state_dict().items():
        if tensor.is_floating_point() and (name not in weights or weights[name].shape != tensor.shape):
            known[name] = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) / 8
    block.load_state_dict(known, strict=False)
    return block


def encoder_name(name):
    """`ffn.0.weight` as `linear1.weight`."""
    part = next(part for part in ENCODER_NAMES if name.startswith(f"{part}."))
    return ENCODER_NAMES[part] + name[len(part) :]


def encoder(weights, num_heads):
    """PyTorch's post-norm layer with these weights, in float64."""
    C = len(weights["norm1.weight"])
    layer = nn.TransformerEncoderLayer(C, num_heads, 4 * C, dropout=0.0, batch_first=True, dtype=torch.float64)
    layer.load_state_dict({encoder_name(name): weight for name, weight in weights.items()})
    return layer


def expected(x, weights, num_heads, causal=False):
    """What the block should give."""
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=torch.float64) if causal else None
    return encoder(weights, num_heads)(x.double(), src_mask=mask).detach()


def terms(size):
    """How many roundings may add up."""
    return 12 * size[2] + size[1]


@points(0.5, "The weights have the names and shapes that were asked for")
@rests_on("Only with these names do other people's weights fit into your block.")
def test_names_and_shapes(transformer_block):
    """A `state_dict` calls weights by the parts' names, and other people's weights only fit where names and shapes do.

    `attn`, `ffn.0`, `ffn.2`, `norm1` and `norm2` have weights, biases too, and nothing else has. Each layer of `ffn`
    has its place in an `nn.Sequential`, and the space between the two linear ones is four times as wide as a
    position's vector.
    """
    for C, num_heads in [(12, 3), (8, 2)]:
        state = transformer_block.MiniTransformerBlock(C, num_heads=num_heads).state_dict()
        wanted = shapes(C)
        for name in [*wanted, *state]:
            if name not in state:
                raise Mismatch(f"the block has no `{name}`", None, None)
            if name not in wanted:
                raise Mismatch(f"the block has a `{name}`, which was not asked for", None, None)
            assert_shape(state[name], wanted[name])


@points(0.5, "The whole block gives the right numbers")
@rests_on("h = norm1(x + attn(x)), then norm2(h + ffn(h))")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_values(transformer_block, size, seed):
    """The block is norm1(x + attn(x)), and of that, h, norm2(h + ffn(h)).

    Check what each part reads, what its result is added to, and that each norm comes after the sum.
    """
    x, weights = random_case(size, seed)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]), weights)
    assert_close(block(x), expected(x, weights, size[3]), terms=terms(size))


@points(0.5, "The attention half is right, with any number of heads")
@rests_on("num_heads: how many heads the attention has.")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_attention_half(transformer_block, size, seed):
    """With a feed-forward network that adds nothing, what is left is norm2(norm1(x + attn(x))).

    Attention uses as many heads as were asked for, and every text of the batch attends within itself: the batch is the
    first axis.
    """
    x, weights = random_case(size, seed, SILENT_FFN)
    block = load(transformer_block.MiniTransformerBlock(size[2], size[3]), weights)
    assert_close(block(x, causal=False), expected(x, weights, size[3]), terms=terms(size))


@points(0.25, "Without num_heads there are two")
@rests_on("num_heads: int = 2")
def test_default_heads(transformer_block):
    """`MiniTransformerBlock(embed_dim)` has two heads: that is the parameter's default."""
    size = (2, 5, 12, 2)
    x, weights = random_case(size, 5, SILENT_FFN)
    block = load(transformer_block.MiniTransformerBlock(12), weights)
    assert_close(block(x), expected(x, weights, 2), terms=terms(size))


@points(0.75, "The feed-forward half is right")
@rests_on("`nn.Sequential` of Linear C → 4C, ReLU, Linear 4C → C.")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_feed_forward_half(transformer_block, size, seed):
    """With attention that adds nothing, what is left is h = norm1(x) and norm2(h + ffn(h)).

    The ReLU stands between the two linear layers, and `ffn` both reads the normalized h and is added to it, not to the
    x from before.
    """
    x, weights = random_case(size, seed, SILENT_ATTENTION)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]), weights)
    assert_close(block(x), expected(x, weights, size[3]), terms=terms(size))


@points(0.5, "What a sublayer does not change gets through")
@rests_on("Each *adds* its result to what is there")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_residuals(transformer_block, size, seed):
    """With both sublayers adding nothing, the block is norm2(norm1(x)).

    Each sublayer is added to its input, each of the two norms is used once and in its turn, and nothing comes after
    the second.
    """
    x, weights = random_case(size, seed, SILENT_ATTENTION + SILENT_FFN)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]), weights)
    assert_close(block(x), expected(x, weights, size[3]), terms=terms(size))


@points(0.25, "The norms are PyTorch's, their epsilon too")
@rests_on("norm1: `nn.LayerNorm`, after the attention.")
@given(seed=seeds(), scale=st.sampled_from([1e-3, 1e-4, 0.0]))
@settings(max_examples=6)
def test_small_numbers(transformer_block, seed, scale):
    """A vector of small numbers, or of equal ones, has nearly no variance: then the epsilon under the root decides.

    `nn.LayerNorm` with its default epsilon is meant, added to the variance and not to its root. Nothing may be divided
    by zero.
    """
    x, weights = random_case((2, 3, 8, 4), seed, (*SILENT_ATTENTION, *SILENT_FFN, "norm1.bias"))
    x = scale * x if scale else 2.0 + 0.0 * x
    weights["norm1.weight"] *= 0.01  # small numbers for the second norm too
    block = load(transformer_block.MiniTransformerBlock(8, num_heads=4), weights)
    assert_close(block(x), expected(x, weights, 4), terms=96)


@points(0.5, "With causal=True the numbers are right")
@rests_on("and all later ones are hidden from it")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_causal_values(transformer_block, size, seed):
    """With `causal=True` each position attends to itself and to all before it, and to nothing after it.

    The first sees itself alone, the last sees all. Nothing else in the block changes.
    """
    x, weights = random_case(size, seed)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]), weights)
    assert_close(block(x, causal=True), expected(x, weights, size[3], causal=True), terms=terms(size))


@points(0.5, "With causal=True the future changes nothing")
@rests_on("causal: if True, no position sees a later one.")
@pytest.mark.parametrize("size", [size for size in SIZES if size[1] > 1])
@given(seed=seeds())
@settings(max_examples=2)
def test_future_is_hidden(transformer_block, size, seed):
    """When later positions change, what comes out at the earlier ones must stay as it is.

    Else a model that learns to predict the next word could simply read it. Look at where your mask's diagonal begins,
    and at which of its values means hidden.
    """
    x, weights = random_case(size, seed)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]), weights)
    before = block(x, True)  # causal by its place this time
    assert_shape(before, x.shape, like=x)
    if not before.isfinite().all():
        raise Mismatch("some results are no finite numbers", before, None)
    for first in {1, size[1] - 1}:  # the first position that changes
        after = block(torch.cat([x[:, :first], 1 - 2 * x[:, first:]], dim=1), True)
        assert_shape(after, x.shape, like=x)
        assert_close(after[:, :first], before[:, :first], terms=terms(size))


@points(0.25, "One block reads texts of any length, one after the other")
@rests_on("`B` texts at once, `T` words in each")
def test_any_length(transformer_block):
    """A short text, then a long one, with `causal` and without, in training and in evaluation: each as if alone.

    A mask is made for the text at hand, however long that is, and nothing of it is kept for the next one.
    """
    size = (2, 3, 8, 2)
    _, weights = random_case(size, 13)
    block = load(transformer_block.MiniTransformerBlock(8, num_heads=2), weights)
    for length, causal in [(3, True), (300, False), (300, True), (5, False), (5, True)]:
        if length == 5:
            block.eval()
        x, _ = random_case((1, length, 8, 2), length)
        assert_close(block(x, causal=causal), expected(x, weights, 2, causal), terms=terms(size) + length)


@points(0.25, "Without causal everybody sees everybody, in any order")
@rests_on("every position gathers what it needs from the others")
@given(seed=seeds())
@settings(max_examples=6)
def test_order_and_batch(transformer_block, seed):
    """Without a mask the block does not know about order, and texts of one batch do not know each other.

    Positions that come in another order give the same results in that order, and a text gives the same alone as in a
    batch.
    """
    x, weights = random_case((3, 5, 12, 4), seed)
    block = load(transformer_block.MiniTransformerBlock(12, num_heads=4), weights)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    whole = block(x)
    assert_shape(whole, x.shape, like=x)
    assert_close(block(x[:, order]), whole[:, order], terms=150)
    assert_close(block(x[1:2], causal=False), whole[1:2], terms=150)


@points(0.5, "Gradients reach every weight, and are right")
@rests_on("what is known already gets through, and gradients with it")
@pytest.mark.parametrize("size", SIZES)
@given(seed=seeds())
@settings(max_examples=2)
def test_gradients(transformer_block, size, seed):
    """Learning needs the derivative by every weight and by the input, along both sides of each residual connection.

    `.detach()`, `.data`, `torch.no_grad()` or a way through NumPy cut it off.
    """
    x, weights = random_case(size, seed, dtype=torch.float64)
    cotangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    block = load(transformer_block.MiniTransformerBlock(size[2], num_heads=size[3]).double(), weights)
    found = block.gradients(x, cotangent=cotangent)

    layer, leaf = encoder(weights, size[3]), x.clone().requires_grad_()
    (cotangent * layer(leaf)).sum().backward()
    assert_shape(found.args[0], x.shape, like=x)
    assert_close(found.args[0], leaf.grad, terms=3 * terms(size))
    for name in weights:
        wanted = layer.get_parameter(encoder_name(name)).grad
        if found.parameters.get(name) is None:
            raise Mismatch(f"no gradient reaches `{name}`", None, None)
        assert_close(found.parameters[name], wanted, terms=3 * terms(size) + size[0] * size[1])


@points(0.25, "With causal=True the gradients are right, too")
@rests_on("what is known already gets through, and gradients with it")
@given(seed=seeds())
@settings(max_examples=4)
def test_causal_gradients(transformer_block, seed):
    """A model that writes is trained with `causal=True`: there, too, every weight and the input get their gradient.

    What a position sees changes with the mask, and how one learns from it does not.
    """
    size = (2, 5, 12, 3)
    x, weights = random_case(size, seed)
    cotangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    block = load(transformer_block.MiniTransformerBlock(12, num_heads=3), weights)
    found = block.gradients(x, causal=True, cotangent=cotangent)

    layer, leaf = encoder(weights, 3), x.double().requires_grad_()
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    (cotangent * layer(leaf, src_mask=mask)).sum().backward()
    wanted = {name: layer.get_parameter(encoder_name(name)).grad for name in weights}
    scale = max(float(gradient.abs().max()) for gradient in (leaf.grad, *wanted.values()))
    assert_shape(found.args[0], x.shape, like=x)
    assert_close(found.args[0], leaf.grad, terms=3 * terms(size), scale=scale)
    for name, gradient in wanted.items():
        if found.parameters.get(name) is None:
            raise Mismatch(f"no gradient reaches `{name}`", None, None)
        assert_close(found.parameters[name], gradient, terms=3 * terms(size), scale=scale)


@points(0.25, "A float64 block computes in float64")
@rests_on("`[B, T, C]`, in the same dtype.")
def test_float64(transformer_block):
    """`block.double()` makes the weights float64, and then everything between input and result is float64 too.

    These are the same numbers with more digits. Nothing in the block may name a dtype of its own.
    """
    x, weights = random_case((2, 5, 12, 3), 7)
    block = load(transformer_block.MiniTransformerBlock(12, num_heads=3), weights)
    short = block(x)
    assert_dtype(short, torch.float32)
    long = block.double()(x.double())
    assert_dtype(long, torch.float64)
    assert_close(short, long, terms=150)
    if torch.equal(long, long.float().double()):
        raise Mismatch("the numbers are float64, but have only float32's digits", long, None)
    half = block.bfloat16()(x.bfloat16())
    assert_dtype(half, torch.bfloat16)
    # bfloat16 has two to three digits, and the sums are of tens of numbers.
    far = (half.float() - short).abs().max() > 0.1 * short.abs().max()
    assert not far, "in bfloat16 the numbers are others"


@points(0.25, "Training and evaluation give the same")
@rests_on("no part has dropout")
def test_no_dropout(transformer_block):
    """The block has no dropout, and nothing in it is random.

    In training mode it gives what it gives in evaluation mode.
    """
    x, weights = random_case((2, 5, 12, 3), 11)
    block = load(transformer_block.MiniTransformerBlock(12, num_heads=3), weights)
    first, second = block(x), block(x)
    block.eval()
    evaluated = block(x)
    assert_shape(evaluated, x.shape, like=x)
    assert_close(first, evaluated, terms=150)
    assert_close(second, evaluated, terms=150)
