"""A Llama block, hidden: against the transformers library's own layers, and against float64 formulas for the parts.

Rounding: in float32 an entry is the end of a few sums (C, F or T terms long) of numbers of order 1, and of the angles
of the rotary embedding, where position p is off by p · eps. TERMS counts them: 48 + 40 + 7 and a few functions. A
float64 result need only be as close as float32, for transformers takes the root mean square and the angles in float32.
"""

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from autograder.suites import assert_close, assert_dtype, assert_equal, points, rests_on, seeds

B, T, C, H, F = 2, 5, 48, 6, 40  # heads are 8 wide
TERMS = 110


def normal(seed, *shape):
    """Normal numbers in float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights_for(shapes, seed):
    """Weights that keep numbers of order 1, and norms that scale every channel differently."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        made[name] = 1 + noise / 3 if len(shape) == 1 else noise / shape[1] ** 0.5
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            made[name] *= 1.5  # so that attention is neither even nor certain
    return made


def shapes_of(num_kv_heads):
    """The weights of a block of C channels, H heads and F hidden units."""
    shared = (C // H * num_kv_heads, C)
    attention = {"q_proj": (C, C), "k_proj": shared, "v_proj": shared, "o_proj": (C, C)}
    mlp = {"gate_proj": (F, C), "up_proj": (F, C), "down_proj": (C, F)}
    return {
        "input_layernorm.weight": (C,),
        **{f"self_attn.{name}.weight": shape for name, shape in attention.items()},
        "post_attention_layernorm.weight": (C,),
        **{f"mlp.{name}.weight": shape for name, shape in mlp.items()},
    }


def part(weights, name):
    """The weights of one part of a block, under their own names."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


class Reference:
    """A block of the transformers library with these weights, and what it takes to call it."""

    def __init__(self, weights, num_kv_heads=H, base=10000.0, eps=1e-6):
        config = LlamaConfig(
            hidden_size=C,
            num_attention_heads=H,
            num_key_value_heads=num_kv_heads,
            intermediate_size=F,
            rms_norm_eps=eps,
            rope_parameters={"rope_type": "default", "rope_theta": base},
            attn_implementation="eager",
        )
        self.layer = LlamaDecoderLayer(config, 0)
        self.layer.load_state_dict(weights)
        self.rotary = LlamaRotaryEmbedding(config)

    def _around(self, x):
        length = x.shape[1]
        ahead = torch.full((length, length), -torch.inf).triu(1)[None, None]
        return {"attention_mask": ahead, "position_embeddings": self.rotary(x, torch.arange(length)[None])}

    def block(self, x):
        """What the block gives."""
        return self.layer(x, **self._around(x))

    def attention(self, x):
        """What its attention gives."""
        return self.layer.self_attn(x, **self._around(x))[0].detach()


@points(0.25, "RMSNorm: every vector by its own root mean square, then the scales")
@rests_on("y = weight * x / sqrt(mean(x^2) + eps), over the last axis")
@settings(max_examples=15)
@given(shape=st.lists(st.integers(1, 4), max_size=3).map(tuple), dim=st.integers(1, 12), seed=seeds())
def test_rms_norm_values(llama_block, shape, dim, seed):
    """Each vector is divided by the root of the mean of its squares; no mean is subtracted. Then `weight` scales it."""
    x, weight = normal(seed, *shape, dim) * 3 + 1, normal(seed + 1, dim)
    norm = llama_block.RMSNorm(dim, eps=1e-5)
    norm.load_state_dict({"weight": weight})
    wide = x.double()
    expected = weight.double() * wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    assert_close(norm(x), expected.float(), terms=dim + 6)
    # Asked again, with vectors of other lengths in the same shape.
    assert_close(
        norm(-40 * x),
        (-weight.double() * wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5 / 1600).sqrt()).float(),
        terms=dim + 6,
    )


@points(0.5, "RMSNorm: eps is added to the mean square, inside the root")
@rests_on("it is added to the mean, inside the root")
@pytest.mark.parametrize("eps", [None, 1e-5, 0.3])
def test_rms_norm_eps(llama_block, eps):
    """For short vectors eps decides: it is added before the root, by default as 1e-6, and a zero vector stays 0."""
    norm = llama_block.RMSNorm(9) if eps is None else llama_block.RMSNorm(9, eps)
    eps = 1e-6 if eps is None else eps
    x = normal(3, 4, 9) * torch.tensor([[0.0], [0.3], [1.0], [10.0]]) * eps**0.5
    expected = x.double() / (x.double().pow(2).mean(-1, keepdim=True) + eps).sqrt()
    assert_close(norm(x), expected.float(), terms=15)


@points(0.5, "SwiGLU: down(silu(gate(x)) * up(x))")
@rests_on("y = down(silu(gate(x)) * up(x))")
@settings(max_examples=15)
@given(dim=st.integers(1, 9), hidden=st.integers(1, 9), size=st.sampled_from([0.3, 1.0, 6.0, 200.0]), seed=seeds())
def test_swiglu_values(llama_block, dim, hidden, size, seed):
    """Only the gates go through silu; they multiply what `up_proj` gives, and `down_proj` comes last."""
    mlp = llama_block.SwiGLU(dim, hidden)
    names = {"gate_proj": (hidden, dim), "up_proj": (hidden, dim), "down_proj": (dim, hidden)}
    weights = weights_for({f"{name}.weight": shape for name, shape in names.items()}, seed)
    mlp.load_state_dict(weights)
    x = normal(seed + 1, 3, 2, dim) * size
    gate, up, down = (weights[f"{name}.weight"].double().numpy() for name in names)
    wide = x.double().numpy()
    gates, values = wide @ gate.T, wide @ up.T
    expected = (gates * scipy.special.expit(gates) * values) @ down.T
    # The largest hidden unit bounds what cancels in the last sum.
    scale = np.abs(gates).max() * np.abs(values).max() * np.abs(down).max()
    assert_close(mlp(x), torch.from_numpy(expected).float(), terms=dim + hidden + 8, scale=scale)


def rotated(x, positions, base):
    """Pairs as complex numbers in float64, times e^(i·angle)."""
    half = x.shape[-1] // 2
    wide = x.double().numpy()
    angles = positions.double().numpy()[:, None] * base ** (-2.0 * np.arange(half) / x.shape[-1])
    turned = (wide[..., :half] + 1j * wide[..., half:]) * np.exp(1j * angles)
    return torch.from_numpy(np.concatenate([turned.real, turned.imag], axis=-1))


@points(0.5, "rotate: number i and number i + D/2 turn by p · base^(-2i/D)")
@rests_on("Turns the pair (x[i], x[i + D/2]) at position p by the angle p * base^(-2i/D)")
@settings(max_examples=15)
@given(
    positions=st.lists(st.integers(0, 60), min_size=3, max_size=7).map(torch.tensor),
    width=st.sampled_from([2, 8, 10, 16]),
    seed=seeds(),
)
def test_rotate_values(llama_block, positions, width, seed):
    """Each pair turns by its own angle, at the positions that are given, whatever they are; each head alike."""
    x = normal(seed, B, 3, len(positions), width)
    expected = rotated(x, positions, 10000.0).float()
    assert_close(llama_block.rotate(x, positions), expected, terms=70)


@points(0.25, "Far positions and long texts")
@rests_on("where each of the T tokens stands; any numbers in any order")
def test_far_positions(llama_block):
    """Nothing has a longest text: positions may be in the thousands, and every token sees all that came before it."""
    x, positions = normal(71, B, 3, 6, 8), torch.tensor([0, 7, 300, 2047, 2049, 3001])
    # An angle of thousands is off by as many eps, and by a few times that where it is a product of rounded numbers.
    assert_close(llama_block.rotate(x, positions), rotated(x, positions, 10000.0).float(), terms=2 * 3001)
    weights = weights_for(shapes_of(2), 72)
    attention = llama_block.GroupedQueryAttention(C, H, 2)
    attention.load_state_dict(part(weights, "self_attn"))
    for length in (1, 4, 600, 3):  # asked again, each time with a text of another length
        x = normal(73, 1, length, C)
        assert_close(attention(x), Reference(weights, 2).attention(x), terms=TERMS + 2 * length)


@points(0.25, "rotate: the base is the one that is given")
@rests_on("base: how much slower the last pair turns than the first, nearly.")
@pytest.mark.parametrize("base", [2.0, 500.0, 100000.0])
def test_rotate_base(llama_block, base):
    """`base` sets how much slower the later pairs turn; models differ in it, so it must not be fixed in the code."""
    x, positions = normal(5, B, 3, 7, 12), torch.tensor([4, 0, 11, 3, 30, 12, 1])
    assert_close(llama_block.rotate(x, positions, base), rotated(x, positions, base).float(), terms=40)
    assert_close(llama_block.rotate(x, positions, base=base), rotated(x, positions, base).float(), terms=40)


@points(0.5, "Attention equals that of transformers, for equal weights")
@rests_on("Queries and keys are rotated, values are not")
@settings(max_examples=10)
@given(length=st.integers(1, 9), seed=seeds())
def test_attention_values(llama_block, length, seed):
    """Queries and keys turn, values do not; scores are divided by √D; what lies ahead weighs 0; `o_proj` is last."""
    weights = weights_for(shapes_of(H), seed)
    attention = llama_block.GroupedQueryAttention(C, H)
    attention.load_state_dict(part(weights, "self_attn"))
    x = normal(seed + 1, B, length, C)
    assert_close(attention(x), Reference(weights).attention(x), terms=TERMS)


@points(0.5, "Query head h reads key-value head h // (H / H_kv)")
@rests_on("query head h reads key-value head h // (num_heads / num_kv_heads)")
@pytest.mark.parametrize("num_kv_heads", [1, 2, 3, 6])
def test_attention_groups(llama_block, num_kv_heads):
    """Neighboring query heads share a key and a value. Here nothing turns, so this is about who reads whom alone."""
    weights = weights_for(shapes_of(num_kv_heads), num_kv_heads)
    # The fast pairs hold 0, and with this base the others stand still: any layout of pairs gives the same scores.
    for name in ("self_attn.q_proj.weight", "self_attn.k_proj.weight"):
        weights[name].view(-1, C // H, C)[:, [0, 1, C // H // 2]] = 0
    attention = llama_block.GroupedQueryAttention(C, H, num_kv_heads, base=1e30)
    attention.load_state_dict(part(weights, "self_attn"))
    x = normal(7, B, T, C)
    assert_close(attention(x), Reference(weights, num_kv_heads, base=1e30).attention(x), terms=TERMS)


@points(0.25, "Attention turns queries and keys with its own base")
@rests_on("base: the base of the rotary embedding.")
@pytest.mark.parametrize("base", [20.0, 100000.0])
def test_attention_base(llama_block, base):
    """The base that attention is made with goes to `rotate`, for queries and keys alike."""
    weights = weights_for(shapes_of(2), 11)
    attention = llama_block.GroupedQueryAttention(C, H, 2, base)
    attention.load_state_dict(part(weights, "self_attn"))
    x = normal(12, B, 7, C)
    assert_close(attention(x), Reference(weights, 2, base).attention(x), terms=TERMS)


@points(0.5, "No token sees a later one, through attention or the whole block")
@rests_on("Every token looks at itself and the tokens before it.")
@settings(max_examples=10)
@given(seen=st.integers(1, 6), seed=seeds(), size=st.sampled_from([0.5, 30.0]))
def test_causal(llama_block, seen, seed, size):
    """What comes later, whatever it is, changes nothing before; a beginning alone gives what it gives in the whole."""
    attention = llama_block.GroupedQueryAttention(C, H, 3)
    block = llama_block.LlamaBlock(C, H, F, 2)
    x = normal(seed, B, 7, C)
    later = torch.cat([x[:, :seen], x[:, seen:] + normal(seed + 1, B, 7 - seen, C) * size], dim=1)
    for module in (attention, block):
        beginning = module(x)[:, :seen]
        assert_close(module(later)[:, :seen], beginning, terms=TERMS)
        assert_close(module(x[:, :seen].contiguous()), beginning, terms=TERMS)
    # A token whose score with itself is -10^6 still looks at nothing else.
    shy = weights_for(shapes_of(H), seed)
    shy["self_attn.q_proj.weight"] = -1e5 * shy["self_attn.k_proj.weight"]
    attention = llama_block.GroupedQueryAttention(C, H)
    attention.load_state_dict(part(shy, "self_attn"))
    assert_close(attention(x)[:, :1], attention(x[:, :1].contiguous()), terms=TERMS)


@points(0.5, "The block equals LlamaDecoderLayer, for equal weights")
@rests_on("x = x + self_attn(input_layernorm(x)); x = x + mlp(post_attention_layernorm(x))")
@settings(max_examples=10)
@given(num_kv_heads=st.sampled_from([1, 2, 3, None]), seed=seeds(), size=st.sampled_from([0.5, 2.0]))
def test_block_values(llama_block, num_kv_heads, seed, size):
    """First the norm, then the part, then the sum with what came in; each norm has its own scales and its own place."""
    weights = weights_for(shapes_of(num_kv_heads or H), seed)
    block = llama_block.LlamaBlock(C, H, F, num_kv_heads)
    block.load_state_dict(weights)
    x = normal(seed + 1, B, T, C) * size
    assert_close(block(x), Reference(weights, num_kv_heads or H).block(x).detach(), terms=TERMS)


@points(0.25, "The block hands its base to attention")
@rests_on("base: the base of the rotary embedding.")
def test_block_base(llama_block):
    """`base` is an argument of the block, and attention is where it is used."""
    weights = weights_for(shapes_of(3), 21)
    x = normal(22, B, 7, C)
    for base in (20.0, 100000.0):
        block = llama_block.LlamaBlock(C, H, F, num_kv_heads=3, base=base)
        block.load_state_dict(weights)
        assert_close(block(x), Reference(weights, 3, base).block(x).detach(), terms=TERMS)


@points(0.25, "The block hands its eps to both norms")
@rests_on("eps: the eps of both norms.")
@pytest.mark.parametrize("silent", ["self_attn.o_proj.weight", "mlp.down_proj.weight"])
def test_block_eps(llama_block, silent):
    """For short vectors eps decides, in the norm before attention and in that before the SwiGLU, also by default."""
    weights = weights_for(shapes_of(3), 31)
    weights[silent] = torch.zeros_like(weights[silent])  # one part says nothing, so that the other one's norm is seen
    for eps in (1e-6, 1e-4, 0.05):
        block = llama_block.LlamaBlock(C, H, F, 3, 10000.0, eps) if eps != 1e-6 else llama_block.LlamaBlock(C, H, F, 3)
        block.load_state_dict(weights)
        x = normal(32, B, T, C) * eps**0.5
        assert_close(block(x), Reference(weights, 3, eps=eps).block(x).detach(), terms=TERMS)


@points(0.25, "Gradients reach the input and every weight")
@rests_on("Gradients reach x and every weight.")
def test_block_gradients(llama_block):
    """Training needs the gradient of every weight: nothing on the way may be detached or rebuilt from numbers."""
    weights, x, cotangent = weights_for(shapes_of(2), 41), normal(42, B, T, C), normal(43, B, T, C)
    block = llama_block.LlamaBlock(C, H, F, 2)
    block.load_state_dict(weights)
    got = block.gradients(x, cotangent=cotangent)
    reference = Reference(weights, 2)
    leaf = x.clone().requires_grad_()
    parameters = dict(reference.layer.named_parameters())
    wanted = torch.autograd.grad(reference.block(leaf), [leaf, *parameters.values()], cotangent)
    assert_close(got.args[0], wanted[0], terms=4 * TERMS)
    assert_equal(sorted(got.parameters), sorted(parameters))
    for name, gradient in zip(parameters, wanted[1:], strict=True):
        assert_close(got.parameters[name], gradient, terms=4 * TERMS)


@points(0.25, "A new block's weights fit into LlamaDecoderLayer, and compute the same there")
@rests_on("has the keys of `LlamaDecoderLayer` in the transformers library")
@pytest.mark.parametrize("num_kv_heads", [2, None])
def test_weights_go_both_ways(llama_block, num_kv_heads):
    """`state_dict()` holds what Llama's files hold, by the same names and in the same shapes; norms begin with ones."""
    block = llama_block.LlamaBlock(C, H, F, num_kv_heads)
    state = block.state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in sorted(state.items())}
    assert_equal(shapes, {name: list(shape) for name, shape in sorted(shapes_of(num_kv_heads or H).items())})
    for name in ("input_layernorm.weight", "post_attention_layernorm.weight"):
        assert_equal(state[name], torch.ones(C))
    x = normal(51, B, T, C)
    assert_close(block(x), Reference(state, num_kv_heads or H).block(x).detach(), terms=TERMS)


@points(0.25, "Floats keep their dtype")
@rests_on("`[B, H, T, D]`, in the dtype of `x`", "`[..., dim]`, in the dtype of `x`")
def test_dtypes_are_kept(llama_block):
    """The result has the dtype of the input: no angle, mask or buffer of another dtype may change it on the way."""
    x, positions = normal(61, B, 3, T, 8), torch.arange(T)
    weights = weights_for(shapes_of(2), 62)
    for dtype in (torch.float32, torch.float64):
        turned = llama_block.rotate(x.to(dtype), positions)
        assert_dtype(turned, dtype)
        assert_close(turned.float(), rotated(x, positions, 10000.0).float(), terms=20)
        block = llama_block.LlamaBlock(C, H, F, 2)
        block.load_state_dict(weights)
        block.to(dtype)
        y = block(normal(63, B, T, C).to(dtype))
        assert_dtype(y, dtype)
        assert_close(y.float(), Reference(weights, 2).block(normal(63, B, T, C)).detach(), terms=TERMS)
    norm, block = llama_block.RMSNorm(C), llama_block.LlamaBlock(C, H, F, 2)
    for module in (norm, block):
        module.half()
        assert_dtype(module(normal(64, B, T, C).half()), torch.float16)


@points(0.25, "Half precision: no square is infinite, no angle coarse")
@rests_on("in float16 the square of 300 is infinite", "the angles are computed in float32 at least")
def test_half_precision(llama_block):
    """In float16 the square of 300 is infinite, 1e-6 is nearly 0 and angles are off by tenths: float32 inside."""
    norm = llama_block.RMSNorm(4)
    norm.half()
    rows = torch.tensor([[300.0, -400.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3e-3, -4e-3, 0.0, 0.0]]).half()
    wide = rows.double()
    expected = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    got = norm(rows)
    assert_dtype(got, torch.float16)
    assert_close(got.float(), expected.float(), digits=3, scale=2)  # float16 has three digits
    x, positions = normal(65, B, 3, 5, 8).half(), torch.tensor([0, 3, 150, 301, 299])
    turned = llama_block.rotate(x, positions)
    assert_dtype(turned, torch.float16)
    assert_close(turned.float(), rotated(x, positions, 10000.0).float(), digits=3, scale=8)
