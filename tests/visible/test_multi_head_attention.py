"""Multi-head attention, visible: the worked example, the way back, PyTorch's own layer, a mask, and bad numbers."""

import torch
from torch import nn

from autograder.suites import Mismatch, assert_close, assert_equal, assert_raises_value_error, assert_shape, points


def random_weights(C, generator):
    """Random weights by name, for x of about size 1."""
    shapes = {}
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes |= {f"{name}.weight": (C, C), f"{name}.bias": (C,)}
    return {name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for name, shape in shapes.items()}


def load(attention, weights):
    """Puts the weights into the module."""
    _, lacking = attention.load_state_dict(weights, strict=False)
    if lacking:
        raise Mismatch(f"the module has no `{lacking[0]}`", None, None)
    return attention


@points(0.5, "The worked example is split as it should be")
def test_split_example(multi_head_attention):
    """Head 0 has the first columns of every word, head 1 the next ones, and so on.

    `reshape` alone gives head 0 two pieces of one word: cut the last axis, then swap two axes.
    """
    x = torch.arange(12.0).reshape(1, 2, 6)
    heads = torch.tensor([[[[0.0, 1.0], [6.0, 7.0]], [[2.0, 3.0], [8.0, 9.0]], [[4.0, 5.0], [10.0, 11.0]]]])
    assert_equal(multi_head_attention.split_heads(x, 3), heads)


@points(0.5, "Merging undoes splitting")
def test_merge_undoes_split(multi_head_attention):
    """`merge_heads(split_heads(x, num_heads))` is x again, whatever the number of heads."""
    x = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0))
    for num_heads in (1, 2, 3, 4, 6, 12):
        assert_equal(multi_head_attention.merge_heads(multi_head_attention.split_heads(x, num_heads)), x)


@points(1, "With the same weights it is PyTorch's own layer")
def test_like_pytorch(multi_head_attention):
    """With the same weights, `nn.MultiheadAttention` must give the same numbers, here for two texts of five words.

    It keeps the weights of q, k and v in one matrix, one below the other. The gradients are the same as well.
    """
    B, T, C, num_heads = 2, 5, 12, 3
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(B, T, C, generator=generator), random_weights(C, generator)
    layer = nn.MultiheadAttention(C, num_heads, batch_first=True, dtype=torch.float64)
    stacked = {kind: torch.cat([weights[f"{name}_proj.{kind}"] for name in "qkv"]) for kind in ("weight", "bias")}
    layer.load_state_dict(
        {
            "in_proj_weight": stacked["weight"],
            "in_proj_bias": stacked["bias"],
            "out_proj.weight": weights["out_proj.weight"],
            "out_proj.bias": weights["out_proj.bias"],
        }
    )
    leaf, cotangent = x.double().requires_grad_(), torch.randn(B, T, C, generator=generator)
    wanted, _ = layer(leaf, leaf, leaf)
    attention = load(multi_head_attention.MultiHeadAttention(C, num_heads), weights)
    assert_close(attention(x), wanted.detach(), terms=8 * C + T)  # sums of C, D, T and C terms, one after the other
    (slope,) = torch.autograd.grad(wanted, leaf, cotangent.double())
    assert_close(attention.gradients(x, cotangent=cotangent).args[0], slope, digits=4)


@points(0.75, "Behind a mask, what it hides changes nothing")
def test_causal_mask(multi_head_attention):
    """True in the mask means that a query (row) may attend a key (column).

    When the last of four words changes, the results for the first three stay as they are. With a mask `[B, 1, 1, T]`
    each text hides words of its own, here the first text its last word.
    """
    generator = torch.Generator().manual_seed(1)
    x, weights = torch.randn(1, 4, 8, generator=generator), random_weights(8, generator)
    attention = load(multi_head_attention.MultiHeadAttention(8, 2), weights)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    other = x.clone()
    other[:, 3] += torch.randn(8, generator=generator)
    before, after = attention(x, mask=mask), attention(other, mask=mask)
    assert_shape(before, x.shape, like=x)
    if not before.isfinite().all():
        raise Mismatch("some results are no finite numbers", before, None)
    assert_close(after[:, :3], before[:, :3], terms=64)
    if torch.allclose(after[:, 3], before[:, 3], atol=1e-3):
        raise Mismatch("the last result does not change when the last word does", after, None)
    both, changed = torch.cat([x, x]), torch.cat([other, x])
    padding = torch.tensor([[True, True, True, False], [True, True, True, True]])[:, None, None, :]
    before, after = attention(both, mask=padding), attention(changed, mask=padding)
    assert_close(after[:, :3], before[:, :3], terms=64)
    assert_close(before[1], attention(x)[0], terms=64)


@points(0.25, "A number of heads that does not fit is refused")
def test_bad_number_of_heads(multi_head_attention):
    """Ten columns cannot be shared out equally among four heads, and a `ValueError` says so.

    The module raises it as soon as it is made. Five heads are fine.
    """
    assert_raises_value_error(multi_head_attention.split_heads, torch.arange(60.0).reshape(2, 3, 10), 4)
    assert_raises_value_error(multi_head_attention.MultiHeadAttention, 10, 4)
    assert_shape(multi_head_attention.MultiHeadAttention(10, 5)(torch.ones(2, 3, 10)), (2, 3, 10))
