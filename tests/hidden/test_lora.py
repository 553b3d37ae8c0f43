"""Low-rank adaptation, hidden: against the formula in float64, and models taken apart and put together again.

Rounding: a result is a base's sum of `in` terms, plus a sum of r sums of `in` terms, of numbers of order 1 to 10, times
alpha / r: 2 · in + r + 8 roundings of numbers no larger than the largest that are added. A merged weight goes through
the same numbers in another order.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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

SIZES = st.sampled_from([(5, 7, 2), (9, 4, 3), (6, 6, 1), (1, 3, 2), (8, 1, 4), (3, 3, 3), (2, 2, 5)])  # in, out, rank
DTYPES = [torch.float64, torch.float16, torch.bfloat16]


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(module, seed, inputs, outputs, bias=True):
    """An `nn.Linear` over there with known numbers, and these."""
    layer = module.library("torch.nn").Linear(inputs, outputs, bias=bias)
    weights = {"weight": normal(seed, outputs, inputs)} | ({"bias": normal(seed + 1, outputs)} if bias else {})
    layer.load_state_dict(weights)
    return layer, weights


def adapted(module, seed, size, alpha, bias=True):
    """A layer whose adapter has learned something, and all its numbers."""
    inputs, outputs, rank = size
    base, weights = linear(module, seed, inputs, outputs, bias)
    layer = module.LoRALinear(base, rank, alpha)
    weights |= {"lora_A": normal(seed + 2, rank, inputs), "lora_B": normal(seed + 3, outputs, rank)}
    layer.load_state_dict({name if "lora" in name else f"base.{name}": weights[name] for name in weights})
    return layer, weights


def formula(x, weights, scale):
    """The result in float64, an entry at a time."""
    wide = {name: tensor.double() for name, tensor in weights.items()}
    change = torch.einsum("or,ri->oi", wide["lora_B"], wide["lora_A"])
    y = torch.einsum("...i,oi->...o", x.double(), wide["weight"] + scale * change)
    return y + wide["bias"] if "bias" in wide else y


def largest(weights, scale):
    """The size of the numbers that are added."""
    rank, inputs = weights["lora_A"].shape
    change = scale * rank * float(weights["lora_A"].abs().max() * weights["lora_B"].abs().max())
    return 3 * inputs * (float(weights["weight"].abs().max()) + abs(change)) + 3


def sequence(module, parts):
    """An `nn.Sequential` over there, its parts by name."""
    model = module.library("torch.nn").Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


def tree(module):
    """A model over there: two blocks of linear layers and a norm, an embedding, and names that only sound alike."""
    nn, blocks = module.library("torch.nn"), {}
    for name, seed in (("0", 100), ("1", 200)):
        parts = {"q_proj": linear(module, seed, 4, 6)[0], "norm": nn.LayerNorm(6)}
        parts |= {"explora": linear(module, seed + 5, 6, 5, False)[0], "v_proj": linear(module, seed + 9, 5, 4)[0]}
        blocks[name] = sequence(module, parts)
    parts = {"embed": nn.Embedding(11, 4), "q_proj": sequence(module, blocks), "act": nn.Tanh()}
    parts |= {"q_proj_2": linear(module, 300, 4, 3)[0], "head": linear(module, 310, 3, 2)[0]}
    return sequence(module, parts)


ADAPTED = {"q_proj.0.q_proj": (4, 6), "q_proj.1.q_proj": (4, 6), "head": (3, 2)}  # in, out
IDS = torch.tensor([[3, 0, 10], [7, 7, 1]])


def named(module, pairs):
    """What an iterator over there gives, as a dict."""
    return module.library("builtins").dict(pairs)


def parameters(module, model):
    """All parameters over there by name, as they are now; each says whether it learns."""
    return named(module, model.named_parameters())


def filled(module, rank=2, alpha=3.0):
    """The tree with adapters that have learned something, and their numbers."""
    model = tree(module)
    assert_equal(module.add_lora(model, ["q_proj", "head"], rank, alpha), 3)
    adapter = {}
    for i, (path, (inputs, outputs)) in enumerate(ADAPTED.items()):
        adapter |= {f"{path}.lora_A": normal(2 * i, rank, inputs), f"{path}.lora_B": normal(2 * i + 1, outputs, rank)}
    model.load_state_dict(model.state_dict() | adapter)
    return model, adapter


@points(0.75, "The change is (alpha / rank) x Aᵀ Bᵀ")
@rests_on("y = base(x) + (alpha / rank) x Aᵀ Bᵀ")
@given(seed=seeds(), size=SIZES, alpha=st.sampled_from([0.5, 1, 3.0, 16.0]), bias=st.booleans())
def test_forward(lora, seed, size, alpha, bias):
    """Added to what the base gives, with its bias or without one; any number of axes may come before the features."""
    layer, weights = adapted(lora, seed, size, alpha, bias)
    scale = alpha / size[2]
    for lead in ((), (3,), (2, 1, 4)):
        x = normal(seed + 7, *lead, size[0])
        expected = formula(x, weights, scale).float()
        assert_close(layer(x), expected, terms=2 * size[0] + size[2] + 8, scale=largest(weights, scale) / 4)


@points(0.5, "At first it is the base exactly")
@rests_on("`[rank, in]`, at first from `nn.init.kaiming_uniform_` with a = √5")
@pytest.mark.parametrize("bias", [True, False])
def test_start(lora, bias):
    """B begins with zeros and A, `[rank, in]`, with kaiming_uniform_(a=√5): numbers up to 1 / √in."""
    base, _ = linear(lora, 1, 40, 9, bias)
    x = normal(3, 6, 40)
    expected = base(x).detach()
    layer = lora.LoRALinear(base, 30, 7.0)
    assert_equal(layer(x).detach(), expected)
    state = layer.state_dict()
    wanted = {"base.weight", "lora_A", "lora_B"} | ({"base.bias"} if bias else set())
    if set(state) != wanted:
        raise Mismatch(f"its parameters are {sorted(state)}", state, None)
    assert_equal(state["lora_B"], torch.zeros(9, 30))
    assert_shape(state["lora_A"], (30, 40))
    # Of 1,200 uniform numbers all are in the range, and none beyond 0.95 of it with a chance of 0.95^1200 < 1e-26; the
    # mean's deviation is 1 / √3 / √1200 of the range, and 10 of them are 0.17.
    share = state["lora_A"].double() * math.sqrt(40)
    assert 0.95 < float(share.abs().max()) <= 1.0 + 1e-6, "A does not begin as kaiming_uniform_ with a = √5"
    assert abs(float(share.mean())) < 0.17, "A's numbers are not around 0"
    again = lora.LoRALinear(base, 30, 7.0).state_dict()["lora_A"]
    assert not torch.equal(state["lora_A"], again), "two adapters begin with the same numbers"


@points(0.75, "The base is frozen, and both adapters have the right gradients")
@rests_on("It is kept as the part `base`, and frozen.")
@settings(max_examples=12)
@given(seed=seeds(), size=SIZES)
def test_gradients(lora, seed, size):
    """`lora_A`, `lora_B` and the input have gradients, those of the formula; the base's weight and bias have none."""
    layer, weights = adapted(lora, seed, size, 6.0)
    x, cotangent = normal(seed + 7, 4, size[0]), normal(seed + 8, 4, size[1])
    got = layer.gradients(x, cotangent=cotangent)
    leaves = {name: tensor.double().requires_grad_() for name, tensor in {**weights, "x": x}.items()}
    x64 = leaves.pop("x")
    (formula(x64, leaves, 6.0 / size[2]) * cotangent).sum().backward()
    for found, leaf in ((got.args[0], x64), *((got.parameters.get(n), leaves[n]) for n in ("lora_A", "lora_B"))):
        if found is None:
            raise Mismatch("something that should learn has no gradient", None, leaf.grad)
        scale = 4 * size[0] * size[1] * max(1.0, float(leaf.grad.abs().max()))
        assert_close(found, leaf.grad.float(), terms=4, scale=scale)
    for name in ("base.weight", "base.bias"):
        assert got.parameters.get(name) is None, f"{name} has a gradient, and should be frozen"
        assert not layer.get_parameter(name).requires_grad, f"{name} requires a gradient, and should be frozen"


@points(0.75, "Merged, it is one plain layer that computes the same")
@rests_on("A new `nn.Linear` that computes what this layer computes")
@given(seed=seeds(), size=SIZES, alpha=st.sampled_from([0.5, 2, 9.0]), bias=st.booleans())
def test_merge(lora, seed, size, alpha, bias):
    """W + (alpha / rank) B A, and the bias if there is one, in a new `nn.Linear`; the base keeps its own weight."""
    layer, weights = adapted(lora, seed, size, alpha, bias)
    merged, x, scale = layer.merge(), normal(seed + 7, 3, size[0]), alpha / size[2]
    if getattr(merged, "type_name", "") != "Linear":
        raise Mismatch("the merged layer is no plain nn.Linear", merged, None)
    names = {"weight", "bias"} if bias else {"weight"}
    state = merged.state_dict()
    if set(state) != names:
        raise Mismatch(f"the merged layer's parameters are {sorted(state)}", state, None)
    change = scale * (weights["lora_B"].double() @ weights["lora_A"].double())
    assert_close(
        state["weight"], (weights["weight"].double() + change).float(), terms=size[2] + 8, scale=largest(weights, scale)
    )
    assert_close(
        merged(x).detach(), formula(x, weights, scale).float(), terms=2 * size[0] + 8, scale=largest(weights, scale)
    )
    for name in names:
        assert_equal(layer.state_dict()[f"base.{name}"], weights[name])


@points(0.25, "Adapters and merged layers have the base's dtype")
@rests_on("Both have the base's dtype", "with the base's bias if there is one, in its dtype")
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(lora, dtype):
    """A model in half precision gets adapters in half precision; a float64 layer computes with all of its digits."""
    base, weights = linear(lora, 5, 6, 4)
    base.to(dtype)
    layer = lora.LoRALinear(base, 3, 2.0)
    for name in ("lora_A", "lora_B", "base.weight"):
        assert_dtype(layer.get_parameter(name), dtype)
    weights |= {"lora_A": normal(7, 3, 6), "lora_B": normal(8, 4, 3)}
    weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    layer.load_state_dict({name: weights[name] for name in ("lora_A", "lora_B")}, strict=False)
    x, merged = normal(9, 2, 6).to(dtype), layer.merge()
    for result in (layer(x), merged(x)):
        assert_dtype(result, dtype)
        if dtype == torch.float64:
            assert_close(result.detach(), formula(x, weights, 2 / 3), terms=40)


@points(0.75, "In a model, every layer of these names gets an adapter, wherever it is")
@rests_on("own names of layers, the last parts of their paths")
def test_add(lora):
    """Names are whole last parts of paths: `q_proj` is not `q_proj_2`, and a `q_proj` that is no `nn.Linear` stays."""
    model = tree(lora)
    expected = model(IDS).detach()
    assert_equal(lora.add_lora(model, ("q_proj", "head"), 2, 3.0), 3)
    assert_equal(model(IDS).detach(), expected)
    found = parameters(lora, model)
    adapters = {name for name in found if name.endswith(("lora_A", "lora_B"))}
    wanted = {f"{path}.{part}" for path in ADAPTED for part in ("lora_A", "lora_B")}
    if adapters != wanted:
        raise Mismatch(f"the adapters are {sorted(adapters)}", None, None)
    for path, (inputs, outputs) in ADAPTED.items():
        assert_shape(found[f"{path}.lora_A"], (2, inputs))
        assert_shape(found[f"{path}.lora_B"], (outputs, 2))
        assert_equal(model.get_submodule(path).base.out_features.value(), outputs)
    once = tree(lora)
    assert_equal(lora.add_lora(once, ["v_proj"], 1, 1.0), 2)
    single = sequence(lora, {"base": linear(lora, 3, 4, 5)[0], "lora_A": linear(lora, 4, 5, 4)[0]})
    assert_equal(lora.add_lora(single, ["base", "lora_A"], 3, 1.0), 2)


@points(0.5, "All other parameters are frozen, and the adapters are not")
@rests_on("freezes all other parameters of the model")
def test_frozen(lora):
    """Embeddings, norms and layers that were not asked for learn nothing any more, and the counts say so."""
    model = tree(lora)
    every = sum(tensor.numel() for tensor in parameters(lora, model).values())
    assert_equal(lora.trainable_parameters(model), (every, every))
    lora.add_lora(model, ["q_proj", "head"], 4, 3.0)
    buffers = named(lora, model.named_buffers())
    assert not any(name.endswith(("lora_A", "lora_B")) for name in buffers), (
        "an adapter is a buffer, and learns nothing"
    )
    for name, tensor in parameters(lora, model).items():
        learns = name.endswith(("lora_A", "lora_B"))
        assert tensor.requires_grad == learns, f"{name} is {'frozen' if learns else 'not frozen'}"
    new = 4 * (10 + 10 + 5)
    assert_equal(lora.trainable_parameters(model), (new, every + new))
    empty = lora.library("torch.nn").Tanh()
    assert_equal(lora.trainable_parameters(empty), (0, 0))


@points(0.5, "Names that fit nothing, and a rank below 1, raise a ValueError")
@rests_on("ValueError: no layer fits. Then nothing is changed.", "ValueError: `rank` is less than 1.")
def test_bad_arguments(lora):
    """And after that nothing has changed: no parameter is frozen, and no layer replaced."""
    model = tree(lora)
    before = parameters(lora, model)
    for names in (["k_proj"], ["norm", "embed", "act"], ["q_proj.0"], ["proj"], ["q_proj.0.q_proj"], []):
        assert_raises_value_error(lora.add_lora, model, names, 2, 1.0)
    after = parameters(lora, model)
    assert list(after) == list(before), "layers were replaced"
    assert all(tensor.requires_grad for tensor in after.values()), "parameters were frozen"
    base, _ = linear(lora, 1, 3, 4)
    for rank in (0, -1, -8):
        assert_raises_value_error(lora.LoRALinear, base, rank, 1.0)


@points(0.5, "The adapter's state has all its tensors, and nothing else")
@rests_on("detached, by their full names in the model. Nothing else, whatever its name")
def test_state(lora):
    """Full names, as in the model's own `state_dict`; detached; and put into another model, it does the same there."""
    model, adapter = filled(lora)
    got = lora.lora_state_dict(model)
    if type(got) is not dict or set(got) != set(adapter):
        raise Mismatch(f"the names are {sorted(got) if isinstance(got, dict) else got}", got, adapter)
    for name, tensor in adapter.items():
        assert_equal(got[name].detach(), tensor)
        assert not got[name].requires_grad, f"{name} is not detached"
    other = tree(lora)
    other.load_state_dict({"embed.weight": model.state_dict()["embed.weight"]}, strict=False)
    lora.add_lora(other, ["q_proj", "head"], 2, 3.0)
    other.load_state_dict(got, strict=False)
    assert_equal(other(IDS).detach(), model(IDS).detach())
    assert_equal(lora.lora_state_dict(tree(lora)), {})


@points(0.75, "A merged model is plain, and gives the same")
@rests_on("Puts in the place of every `LoRALinear` the plain layer that computes the same.")
@settings(max_examples=4)
@given(rank=st.integers(1, 5), alpha=st.sampled_from([1.0, 4.0, 7.5]))
def test_merge_model(lora, rank, alpha):
    """Every adapter goes into its layer, in place: the names are those of before, and results stay, up to rounding."""
    names = sorted(tree(lora).state_dict())
    model, _ = filled(lora, rank, alpha)
    expected = model(IDS).detach()
    assert_equal(lora.merge_lora(model), 3)
    assert_equal(sorted(model.state_dict()), names)
    assert_equal(lora.trainable_parameters(model)[1], sum(tensor.numel() for tensor in model.state_dict().values()))
    assert_close(model(IDS).detach(), expected, terms=400, scale=max(10.0, float(expected.abs().max())))
    assert_equal(lora.merge_lora(model), 0)
    assert_equal(lora.lora_state_dict(model), {})
