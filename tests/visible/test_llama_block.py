"""A Llama block, visible: the worked examples, and the few properties that say what is meant."""

import numpy as np
import plain_llama
import torch

from autograder.suites import assert_close, assert_equal, points


def numbers(*shape):
    """The same few numbers each time, of both signs."""
    count = int(np.prod(shape))
    return torch.sin(torch.arange(1.0, count + 1) * 1.7).reshape(shape) * 2


def loaded(module):
    """The module with weights that all differ, and these weights in float64."""
    weights = {}
    for place, (name, old) in enumerate(module.state_dict().items()):
        scale = 1.0 if old.dim() == 1 else old.shape[-1] ** -0.5
        weights[name] = torch.cos(torch.arange(1.0, old.numel() + 1) * (2.3 + place)).reshape(old.shape) * scale
    module.load_state_dict(weights)
    return module, {name: weight.double().numpy() for name, weight in weights.items()}


@points(0.5, "RMSNorm: the worked example comes out")
def test_rms_norm_example(llama_block):
    """The mean of the squares of [1, 7] is 25; each number is divided by its root, 5. No mean is subtracted.

    `eps` is added inside the root: with 11 it is the root of 36, which is 6. Then each channel has its weight.
    """
    norm = llama_block.RMSNorm(2)
    rows = torch.tensor([[1.0, 7.0], [2.0, 14.0], [-7.0, 1.0]])
    assert_close(norm(rows), torch.tensor([[0.2, 1.4], [0.2, 1.4], [-1.4, 0.2]]), terms=6)
    norm = llama_block.RMSNorm(2, eps=11.0)
    norm.load_state_dict({"weight": torch.tensor([6.0, 12.0])})
    assert_close(norm(rows[:1]), torch.tensor([[1.0, 14.0]]), terms=6)


@points(0.5, "SwiGLU: the gates open and close the values")
def test_swiglu_example(llama_block):
    """The gates go through silu and multiply the up values, entry by entry, before the down projection."""
    mlp = llama_block.SwiGLU(2, 3)
    weights = {
        "gate_proj.weight": torch.tensor([[2.0, 0.0], [0.0, -2.0], [1.0, 1.0]]),
        "up_proj.weight": torch.tensor([[0.0, 3.0], [3.0, 0.0], [1.0, -2.0]]),
        "down_proj.weight": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 10.0]]),
    }
    mlp.load_state_dict(weights)
    # At [1, 1] the gates are 2, -2 and 2, the up values 3, 3 and -1; silu(2) = 1.7615942, silu(-2) = -0.2384058.
    hidden = [1.7615942 * 3, -0.2384058 * 3, -1.7615942]
    assert_close(mlp(torch.ones(1, 2)), torch.tensor([[hidden[0], hidden[1] + 10 * hidden[2]]]), terms=10)


@points(0.5, "rotate: the worked example comes out")
def test_rotate_example(llama_block):
    """Number i and number i + D/2 are one point; position p turns point i by p * base^(-2i/D), against the clock.

    With the base 100 the second point turns by 0.1 from each position to the next.
    """
    x = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 2, 4).contiguous()
    turned = [[1.0, 1.0, 0.0, 0.0], np.array([np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]).tolist()]
    assert_close(llama_block.rotate(x, torch.tensor([0, 2])), torch.tensor([[turned]]), terms=8)
    turned[1] = [np.cos(2), np.cos(0.2), np.sin(2), np.sin(0.2)]
    assert_close(llama_block.rotate(x, torch.tensor([0, 2]), 100.0), torch.tensor([[turned]]).float(), terms=8)


@points(0.5, "The block has the names and shapes of Llama's files")
def test_names(llama_block):
    """A file's weights find their place by name, and shapes must agree: key-value heads are fewer, and as wide."""
    block = llama_block.LlamaBlock(12, 3, 20, num_kv_heads=1)
    shapes = {name: list(tensor.shape) for name, tensor in block.state_dict().items()}
    assert_equal(
        dict(sorted(shapes.items())),
        {
            "input_layernorm.weight": [12],
            "mlp.down_proj.weight": [12, 20],
            "mlp.gate_proj.weight": [20, 12],
            "mlp.up_proj.weight": [20, 12],
            "post_attention_layernorm.weight": [12],
            "self_attn.k_proj.weight": [4, 12],
            "self_attn.o_proj.weight": [12, 12],
            "self_attn.q_proj.weight": [12, 12],
            "self_attn.v_proj.weight": [4, 12],
        },
    )


@points(0.5, "Attention: no token sees a later one, and heads share keys and values")
def test_causal(llama_block):
    """When the last tokens change, what attention gives for the tokens before them stays the same.

    Queries and keys are turned, with the base that is given; scores are divided by the root of a head's size. Of four
    query heads and two key-value heads, the first two share one. Without `num_kv_heads`, each has its own.
    """
    attention = llama_block.GroupedQueryAttention(12, 3, 1)
    x = numbers(2, 5, 12)
    changed = torch.cat([x[:, :3], x[:, 3:] + 1.5], dim=1)
    assert_close(attention(changed)[:, :3], attention(x)[:, :3], terms=20)
    for num_kv_heads in (2, None):
        attention, weights = loaded(llama_block.GroupedQueryAttention(16, 4, num_kv_heads, base=50.0))
        x = numbers(1, 5, 16)
        expected = plain_llama.attention(weights, x[0].double().numpy(), 4, base=50.0)
        assert_close(attention(x), torch.from_numpy(expected)[None], terms=200)


@points(0.5, "Each part reads a normed copy, and is added to x itself")
def test_residual_stream(llama_block):
    """With o_proj and down_proj all 0 both parts add nothing, and x must come out as it went in: not normed.

    Otherwise attention reads x, normed, and the SwiGLU what attention has added to, normed again, by norms of its own.
    """
    block = llama_block.LlamaBlock(12, 3, 20)
    silent = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
    state = {name: value * 0 if name in silent else value for name, value in block.state_dict().items()}
    block.load_state_dict(state)
    x = numbers(2, 4, 12)
    assert_close(block(x), x, terms=4)
    block, weights = loaded(llama_block.LlamaBlock(12, 2, 20, base=50.0, eps=0.5))
    expected = plain_llama.block(weights, x[0].double().numpy(), 2, base=50.0, eps=0.5)
    assert_close(block(x[:1]), torch.from_numpy(expected)[None], terms=400)
