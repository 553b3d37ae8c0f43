"""A transformer block, visible: the names, the worked example, PyTorch's own layer, and a future that stays hidden."""

import torch
from torch import nn

from autograder.suites import Mismatch, assert_close, assert_shape, points


def random_weights(C, generator):
    """Random weights for a block of this size, by name."""
    linears = {"ffn.0": (4 * C, C), "ffn.2": (C, 4 * C), "attn.out_proj": (C, C)}
    shapes = {"attn.in_proj_weight": (3 * C, C), "attn.in_proj_bias": (3 * C,)}
    for name, (rows, columns) in linears.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for name in ("norm1", "norm2"):
        shapes |= {f"{name}.weight": (C,), f"{name}.bias": (C,)}
    return {name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for name, shape in shapes.items()}


def load(block, weights):
    """Puts the weights into the block."""
    _, lacking = block.load_state_dict(weights, strict=False)
    if lacking:
        raise Mismatch(f"the block has no `{lacking[0]}`", None, None)
    return block


def encoder(weights, num_heads):
    """`nn.TransformerEncoderLayer` with these weights, in float64: the same block under other names."""
    C = weights["norm1.weight"].shape[0]
    layer = nn.TransformerEncoderLayer(C, num_heads, 4 * C, dropout=0.0, batch_first=True, dtype=torch.float64)
    theirs = {"attn.": "self_attn.", "ffn.0.": "linear1.", "ffn.2.": "linear2."}
    renamed = dict(weights)
    for ours, name in theirs.items():
        renamed = {key.replace(ours, name): weight for key, weight in renamed.items()}
    layer.load_state_dict(renamed)
    return layer


@points(0.5, "The parts have the names and sizes that were asked for")
def test_names(transformer_block):
    """Weights find their places by the parts' names: `self.attn`, `self.ffn`, `self.norm1` and `self.norm2`."""
    state = transformer_block.MiniTransformerBlock(8).state_dict()
    wanted = random_weights(8, torch.Generator())
    if lacking := set(wanted) - set(state):
        raise Mismatch(f"the block has no `{min(lacking)}`", None, None)
    if unknown := set(state) - set(wanted):
        raise Mismatch(f"the block has a `{min(unknown)}`, which was not asked for", None, None)
    for name, weight in wanted.items():
        if state[name].shape != weight.shape:
            sizes = f"{list(state[name].shape)} and should be {list(weight.shape)}"
            raise Mismatch(f"the shape of `{name}` is {sizes}", None, None)


@points(0.75, "The worked example comes out")
def test_worked_example(transformer_block):
    """Attention adds [1, 0, -1, 0] to [1, 2, 3, 6], and the sum [2, 2, 2, 6] is normalized.

    The feed-forward network adds nothing here, and normalizing once more changes nothing that one could see.
    """
    weights = {name: torch.zeros_like(weight) for name, weight in random_weights(4, torch.Generator()).items()}
    weights["norm1.weight"] = weights["norm2.weight"] = torch.ones(4)
    weights["attn.out_proj.bias"] = torch.tensor([1.0, 0.0, -1.0, 0.0])
    block = load(transformer_block.MiniTransformerBlock(4), weights)
    result = block(torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]))
    # Deviations -1, -1, -1, 3 with variance 3, and then with variance 3 / (3 + 1e-5): nn.LayerNorm adds 1e-5 to it.
    once = torch.tensor([[[-1.0, -1.0, -1.0, 3.0]]], dtype=torch.float64) / (3 + 1e-5) ** 0.5
    assert_close(result, once / (3 / (3 + 1e-5) + 1e-5) ** 0.5, terms=16)
    # The same a hundred times smaller: with a variance of 0.0003, the 1e-5 shows.
    weights["attn.out_proj.bias"] = weights["attn.out_proj.bias"] / 100
    result = load(block, weights)(torch.tensor([[[0.01, 0.02, 0.03, 0.06]]]))
    once = torch.tensor([[[-0.01, -0.01, -0.01, 0.03]]], dtype=torch.float64) / 3.1e-4**0.5
    assert_close(result, once / (3e-4 / 3.1e-4 + 1e-5) ** 0.5, terms=64)


@points(1, "With the same weights it is PyTorch's own layer")
def test_like_pytorch(transformer_block):
    """`nn.TransformerEncoderLayer` is the same block under other names.

    With the same weights it must give the same numbers, for two texts of five words, and 3 heads. And the same
    gradients: nothing on the way is detached.
    """
    B, T, C, num_heads = 2, 5, 12, 3
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(B, T, C, generator=generator), random_weights(C, generator)
    block = load(transformer_block.MiniTransformerBlock(C, num_heads=num_heads), weights)
    leaf, cotangent = x.double().requires_grad_(), torch.randn(B, T, C, generator=generator)
    expected = encoder(weights, num_heads)(leaf)
    # Sums of C, T, C, C, 4C terms, one after the other, and two norms.
    assert_close(block(x), expected.detach(), terms=12 * C + T)
    (slope,) = torch.autograd.grad(expected, leaf, cotangent.double())
    assert_close(block.gradients(x, cotangent=cotangent).args[0], slope, digits=4)


@points(0.75, "With causal=True no position sees a later one")
def test_causal(transformer_block):
    """When the last of four words changes, the results for the first three stay as they are with `causal=True`.

    Without it they change. In training or not, and for as many heads as there are when none are named: two.
    """
    generator = torch.Generator().manual_seed(1)
    x, weights = torch.randn(1, 4, 8, generator=generator), random_weights(8, generator)
    block = load(transformer_block.MiniTransformerBlock(8), weights)
    block.eval()
    other = x.clone()
    other[:, 3] += torch.randn(8, generator=generator)
    before, after = block(x, causal=True), block(other, causal=True)
    assert_shape(before, x.shape, like=x)
    if not before.isfinite().all():
        raise Mismatch("some results are no finite numbers", before, None)
    assert_close(after[:, :3], before[:, :3], terms=100)
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    assert_close(before, encoder(weights, 2)(x.double(), src_mask=mask).detach(), terms=100)
    before, after = block(x), block(other)
    if torch.allclose(before[:, :3], after[:, :3], atol=1e-3):
        raise Mismatch("without causal=True the first three results do not change when the last word does", after, None)
