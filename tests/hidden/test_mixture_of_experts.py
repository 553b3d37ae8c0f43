"""A mixture of experts, hidden: against the Mixtral block of the transformers library, with equal weights.

Rounding: a token goes through the router (C terms), its experts (C + F terms) and their sum; TERMS counts these and a
few functions. Gradients go the same way back. The Mixtral block rounds its softmax to float32, so results are compared
as float32, though they are computed in float64.
"""

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from autograder.suites import (
    Mismatch,
    arrays,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
    rests_on,
    seeds,
)

C, F = 8, 11
TERMS = 40
NAMES = ("gate_proj", "up_proj", "down_proj")


def weights_for(num_experts, seed, c=C, f=F):
    """Weights that keep numbers of order 1, experts that all differ, and a router that is decided."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"router.weight": (num_experts, c)}
    for number in range(num_experts):
        shapes.update({f"experts.{number}.{name}.weight": (f, c) for name in NAMES[:2]})
        shapes[f"experts.{number}.down_proj.weight"] = (c, f)
    return {name: torch.randn(shape, generator=generator).double() / 2 for name, shape in shapes.items()}


def mixtral(weights, k):
    """The block of the transformers library with these weights."""
    num_experts, c = weights["router.weight"].shape
    f = weights["experts.0.up_proj.weight"].shape[0]
    config = MixtralConfig(
        hidden_size=c,
        intermediate_size=f,
        num_local_experts=num_experts,
        num_experts_per_tok=k,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    block = MixtralSparseMoeBlock(config).double()
    stacked = {
        name: torch.stack([weights[f"experts.{number}.{name}.weight"] for number in range(num_experts)])
        for name in NAMES
    }
    block.load_state_dict(
        {
            "gate.weight": weights["router.weight"],
            "experts.gate_up_proj": torch.cat([stacked["gate_proj"], stacked["up_proj"]], dim=1),
            "experts.down_proj": stacked["down_proj"],
        }
    )
    return block


def layer_with(mixture_of_experts, weights, k):
    """The submission's layer with these weights, in float64."""
    num_experts, c = weights["router.weight"].shape
    f = weights["experts.0.up_proj.weight"].shape[0]
    layer = mixture_of_experts.MixtureOfExperts(c, f, num_experts, k).double()
    layer.load_state_dict(weights)
    return layer


def some_tokens(seed, *shape):
    """Tokens in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def assert_same(got, expected, scale=None):
    """Passes when both are the same in float32."""
    assert_shape(got, expected.shape, like=expected)
    assert_close(got.float(), expected.float(), terms=TERMS, scale=scale)


def routed(mixture_of_experts, logits, k):
    """`route`, and that it returned a pair."""
    got = mixture_of_experts.route(logits, k)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than (weights, experts)", got, None)
    return got


@st.composite
def choices(draw):
    """Logits [N, E], many of them equal, and k."""
    n, e = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    size = draw(st.sampled_from([1, 30, 10_000]))
    logits = np.rint(draw(arrays((n, e), -2, 2))) * size + draw(st.sampled_from([0.0, 0.25])) * np.arange(e)
    return logits, draw(st.integers(1, e))


@points(1.25, "The k largest logits, largest first, and of equal ones the lower number")
@rests_on("of equal logits the lower number first")
@given(example=choices(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_route(mixture_of_experts, example, dtype):
    """The weights are the softmax over the chosen logits alone: they sum to 1, for logits of any size."""
    logits, k = example
    expected = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    weights, experts = routed(mixture_of_experts, torch.from_numpy(logits).to(dtype), k)
    assert_equal(experts, torch.from_numpy(expected))
    assert_dtype(experts, torch.int64)
    assert_dtype(weights, dtype)
    shares = scipy.special.softmax(np.take_along_axis(logits, expected, -1), axis=-1)
    assert_close(weights, torch.from_numpy(shares).to(dtype), terms=16)


@points(0.5, "The router learns by the weights")
@rests_on("Weights `[N, k]` in the dtype of the logits, through which gradients flow")
@pytest.mark.parametrize("k", [1, 2, 4])
def test_route_gradient(mixture_of_experts, k):
    """Only chosen logits get a gradient, that of the softmax over them; with k = 1 there is nothing to learn."""
    logits = some_tokens(1, 5, 4)
    layer = layer_with(mixture_of_experts, weights_for(4, 2), k)
    x = some_tokens(3, 1, 5, C)
    cotangent = some_tokens(4, 1, 5, C)
    original = mixtral(weights_for(4, 2), k)
    (wanted,) = torch.autograd.grad(original(x), [original.gate.weight], cotangent)
    got = layer.gradients(x, cotangent=cotangent).parameters["router.weight"]
    # With k = 1 the gradient is 0 but for roundings of sums of numbers of order 1.
    assert_same(torch.zeros_like(wanted) if got is None else got, wanted, scale=1.0)
    for dtype in (torch.float16, torch.bfloat16):
        assert_dtype(routed(mixture_of_experts, logits.to(dtype), k)[0], dtype)


@st.composite
def balances(draw):
    """Logits [N, E] and any experts [N, k], not only those that the logits would choose."""
    n, e = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    k = draw(st.integers(1, e))
    logits = draw(arrays((n, e), -4, 4))
    experts = [draw(st.permutations(range(e)))[:k] for _ in range(n)]
    return torch.from_numpy(logits), torch.tensor(experts)


@points(1.0, "The balancing loss, and its gradient through P alone")
@rests_on("L = E sum_e f_e P_e", "Gradients flow through P alone.")
@given(example=balances())
def test_balance(mixture_of_experts, example):
    """How often each expert was chosen, of all choices, times its mean probability among all: both for every expert."""
    logits, experts = example
    num_experts = logits.shape[1]
    fractions = np.array([np.mean(experts.numpy() == e) for e in range(num_experts)])
    probabilities = scipy.special.softmax(logits.numpy(), axis=-1)
    expected = num_experts * fractions @ probabilities.mean(axis=0)
    got = mixture_of_experts.load_balancing_loss.gradients(logits, experts)
    assert_close(got.value, torch.tensor(expected), terms=30)
    inner = probabilities * (fractions - probabilities @ fractions[:, None])
    assert_close(got.args[0], torch.from_numpy(num_experts * inner / len(logits)), terms=30, scale=float(num_experts))
    assert_dtype(mixture_of_experts.load_balancing_loss(logits.float(), experts), torch.float32)


@points(0.25, "The balancing loss is 1 where all is even, and E where one expert does everything")
@rests_on("With everything perfectly even, f = P = 1 / E, it is 1.")
@pytest.mark.parametrize(("num_experts", "k"), [(4, 1), (4, 2), (6, 3), (1, 1)])
def test_balance_limits(mixture_of_experts, num_experts, k):
    """Even: every expert is as often chosen and as probable as any other. Uneven: one is certain, and always chosen."""
    experts = (torch.arange(num_experts * k) % num_experts).view(num_experts, k)
    even = mixture_of_experts.load_balancing_loss(torch.zeros(num_experts, num_experts), experts)
    assert_close(even, torch.tensor(1.0), terms=20)
    certain = torch.full((3, num_experts), -1e4)
    certain[:, -1] = 1e4
    alone = mixture_of_experts.load_balancing_loss(certain, torch.full((3, 1), num_experts - 1))
    assert_close(alone, torch.tensor(float(num_experts)), terms=20)


@points(1.0, "The layer equals the Mixtral block, for equal weights")
@rests_on("y = sum over the chosen e of w_e SwiGLU_e(x), token by token.")
@settings(max_examples=12)
@given(
    sizes=st.sampled_from([(2, 3), (1, 1), (3, 1), (1, 7), (4, 4)]),
    experts=st.sampled_from([(1, 1), (3, 1), (3, 3), (4, 2), (7, 3), (8, 8), (8, 1)]),
    seed=seeds(),
)
def test_layer(mixture_of_experts, sizes, experts, seed):
    """Router, choice, weights and experts together; any number of texts and tokens, one expert or many."""
    num_experts, k = experts
    c = 5 if seed % 2 else C
    weights = weights_for(num_experts, seed, c)
    x = some_tokens(seed + 1, *sizes, c)
    expected = mixtral(weights, k)(x).detach()
    assert_same(layer_with(mixture_of_experts, weights, k)(x), expected.view(x.shape))


@points(0.5, "Gradients reach the tokens and the experts as in the Mixtral block")
@rests_on("The weights have, and by them the router learns.")
@pytest.mark.parametrize(("num_experts", "k"), [(4, 2), (3, 3), (5, 1)])
def test_layer_gradients(mixture_of_experts, num_experts, k):
    """Every expert learns from its own tokens, by its weight for each; one without tokens gets nothing, or zeros."""
    weights, x = weights_for(num_experts, 5), some_tokens(6, 2, 3, C)
    cotangent = some_tokens(7, 2, 3, C)
    got = layer_with(mixture_of_experts, weights, k).gradients(x, cotangent=cotangent)
    original, leaf = mixtral(weights, k), x.clone().requires_grad_()
    of_experts = [original.experts.gate_up_proj, original.experts.down_proj]
    wanted, up, down = torch.autograd.grad(original(leaf), [leaf, *of_experts], cotangent)
    assert_same(got.args[0], wanted)
    for number in range(num_experts):
        parts = dict(zip(NAMES, (up[number, :F], up[number, F:], down[number]), strict=True))
        for name, expected in parts.items():
            gradient = got.parameters[f"experts.{number}.{name}.weight"]
            gradient = torch.zeros_like(expected) if gradient is None else gradient
            assert_same(gradient, expected)


@points(0.5, "An expert that nobody chose is not run")
@rests_on("An expert that no token has chosen is not run")
@pytest.mark.parametrize("k", [1, 2])
def test_not_run(mixture_of_experts, k):
    """Here the weights of such experts are nan: whoever runs them has nan in the result, or in the gradients."""
    weights, x = weights_for(6, 8), some_tokens(9, 1, 2, C)
    logits = x[0] @ weights["router.weight"].T
    used = set(logits.topk(k).indices.flatten().tolist())
    expected = mixtral(weights, k)(x).detach().view(x.shape)
    for number in set(range(6)) - used:
        for name in NAMES:
            weights[f"experts.{number}.{name}.weight"] = torch.full_like(
                weights[f"experts.{number}.{name}.weight"], torch.nan
            )
    got = layer_with(mixture_of_experts, weights, k).gradients(x)
    assert_same(got.value, expected)
    if not torch.isfinite(got.args[0]).all():
        raise Mismatch("the gradient of the tokens is not finite", got.args[0], None)


@points(0.5, "The parts, their names and dtypes")
@rests_on("router: `nn.Linear` from C to E, without bias.", "in the dtype of `x`")
def test_parts(mixture_of_experts):
    """The router has no bias; the experts stand in a list, each with weights of its own; half precision stays half."""
    layer = mixture_of_experts.MixtureOfExperts(6, 10, 3, 2)
    shapes = {name: list(tensor.shape) for name, tensor in layer.state_dict().items()}
    wanted = {"router.weight": [3, 6]}
    for number in range(3):
        wanted.update({f"experts.{number}.{name}.weight": [10, 6] for name in NAMES[:2]})
        wanted[f"experts.{number}.down_proj.weight"] = [6, 10]
    assert_equal(dict(sorted(shapes.items())), dict(sorted(wanted.items())))
    first, second = (layer.state_dict()[f"experts.{number}.up_proj.weight"] for number in (0, 1))
    assert not torch.equal(first, second), "two experts have the same weights"
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert_dtype(layer.to(dtype)(some_tokens(1, 2, 3, 6).to(dtype)), dtype)


@points(0.5, "k that makes no sense is a ValueError that says why")
@rests_on("ValueError: unless 1 <= k <= num_experts.")
def test_errors(mixture_of_experts):
    """At least one expert and at most all: said when the layer is made, and by the function. The bounds are fine."""
    logits = torch.zeros(2, 3)
    for k in (-1, 0, 4):
        assert_raises_value_error(mixture_of_experts.route, logits, k)
        assert_raises_value_error(mixture_of_experts.MixtureOfExperts, 4, 5, 3, k)
    for k in (1, 3):
        routed(mixture_of_experts, logits, k)
        mixture_of_experts.MixtureOfExperts(4, 5, 3, k)
