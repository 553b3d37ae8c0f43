"""Low-rank adaptation, visible: the worked example, and adapters in and out of a small model.

Rounding: a result is a sum of two products of up to 12 terms each, of numbers of order 1, in float32.
"""

import pytest
import torch

from autograder.suites import Mismatch, assert_close, assert_equal, assert_raises_value_error, assert_shape, points


def normal(seed, *shape):
    """Reproducible numbers around 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(module, weight, bias=None):
    """An `nn.Linear` over there with these numbers."""
    layer = module.library("torch.nn").Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return layer


def sequence(module, parts):
    """An `nn.Sequential` over there, its parts by name."""
    model = module.library("torch.nn").Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


def model_of(module):
    """A model of four linear layers over there, 5 -> 4 -> 6 -> 3 -> 2, two of them in a block."""
    sizes = {"q": (4, 5), "k": (6, 4), "lora": (3, 6), "q2": (2, 3)}
    layers = {
        name: linear(module, normal(i, *size), normal(9 + i, size[0])) for i, (name, size) in enumerate(sizes.items())
    }
    block = sequence(module, {"q": layers.pop("q"), "k": layers.pop("k")})
    return sequence(module, {"block": block, **layers})


@points(0.75, "The worked example comes out")
def test_worked_example(lora):
    """The base gives [1, 1], the change is 2 · [6, -6], and merged the two are one plain layer."""
    base = linear(lora, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    layer = lora.LoRALinear(base, 1, 2.0)
    adapter = {"lora_A": torch.tensor([[1.0, 2.0, 3.0]]), "lora_B": torch.tensor([[1.0], [-1.0]])}
    layer.load_state_dict(layer.state_dict() | adapter)
    assert_close(layer(torch.ones(3)), torch.tensor([13.0, -11.0]), terms=6)
    merged = layer.merge()
    assert_close(merged.weight.value(), torch.tensor([[3.0, 4.0, 6.0], [-2.0, -3.0, -6.0]]), terms=6)
    assert_close(merged(torch.ones(3)), torch.tensor([13.0, -11.0]), terms=6)


@points(0.5, "At first it is the base exactly, and the adapters learn")
def test_start(lora):
    """B is zero, and A holds numbers up to 1 / √in; the base is frozen, and gradients reach the two adapters and x."""
    weight, bias, x = normal(1, 4, 7), normal(2, 4), normal(3, 5, 7)
    base = linear(lora, weight, bias)
    layer, expected = lora.LoRALinear(base, 3, 8.0), base(x)
    assert_equal(layer(x).detach(), expected.detach())
    state = layer.state_dict()
    if set(state) != {"base.weight", "base.bias", "lora_A", "lora_B"}:
        raise Mismatch(f"its parameters are {sorted(state)}", state, None)
    assert_equal(state["lora_B"], torch.zeros(4, 3))
    assert_shape(state["lora_A"], (3, 7))
    assert 0 < float(state["lora_A"].abs().max()) <= 7**-0.5 + 1e-6, "A does not begin as kaiming_uniform_ with a = √5"
    layer.load_state_dict({"lora_A": normal(4, 3, 7), "lora_B": normal(5, 4, 3)}, strict=False)
    found = layer.gradients(x)
    for name in ("base.weight", "base.bias"):
        assert found.parameters.get(name) is None, f"{name} has a gradient, and should be frozen"
    for name, shape in (("lora_A", (3, 7)), ("lora_B", (4, 3))):
        assert_shape(found.parameters.get(name), shape)
    whole = weight.double() + 8 / 3 * normal(5, 4, 3).double() @ normal(4, 3, 7).double()
    assert_close(found.args[0], whole.sum(dim=0).expand(5, 7).float(), terms=40, scale=20.0)
    for rank in (0, -1):
        assert_raises_value_error(lora.LoRALinear, base, rank, 1.0)


@points(0.5, "Ranks above 1, a bias, and merging")
@pytest.mark.parametrize("alpha", [1.0, 6.0])
def test_rank_three(lora, alpha):
    """The change counts alpha / rank times, before merging and after; the base itself stays as it is."""
    weight, bias, x = normal(1, 4, 7), normal(2, 4), normal(3, 2, 5, 7)
    base = linear(lora, weight, bias)
    base.double()
    layer, a, b = lora.LoRALinear(base, 3, alpha), normal(4, 3, 7).double(), normal(5, 4, 3).double()
    layer.load_state_dict(layer.state_dict() | {"lora_A": a, "lora_B": b})
    whole = weight.double() + alpha / 3 * b @ a
    expected, merged = x.double() @ whole.T + bias.double(), layer.merge()
    for got in (layer(x.double()).detach(), merged(x.double()).detach(), layer(x.double()).detach()):
        assert_close(got, expected, terms=60)


@points(0.5, "Adapters get into a model, and all else is frozen")
def test_add(lora):
    """Only layers whose own name is given get adapters: rank · (in + out) numbers each learn, and no others."""
    model, x = model_of(lora), normal(4, 2, 5)
    before = model(x).detach()
    total = 24 + 30 + 21 + 8
    for names in (["o"], ["2"], ["block"]):
        assert_raises_value_error(lora.add_lora, model, names, 2, 4.0)
    assert_equal(lora.trainable_parameters(model), (total, total))
    assert_equal(lora.add_lora(model, ["q", "k", "v"], 3, 4.0), 2)
    assert_equal(model(x).detach(), before)
    assert_equal(lora.trainable_parameters(model), (3 * 9 + 3 * 10, total + 57))


@points(0.75, "The adapter comes out, and the model becomes plain again")
def test_out(lora):
    """`lora_state_dict` has the adapters' tensors alone; after `merge_lora` the model gives the same without them."""
    model, x = model_of(lora), normal(5, 3, 5)
    names = list(model.state_dict())
    assert_equal(lora.add_lora(model, ["q", "k"], 2, 4.0), 2)
    sizes = {"q.lora_A": (2, 5), "q.lora_B": (4, 2), "k.lora_A": (2, 4), "k.lora_B": (6, 2)}
    adapter = {f"block.{name}": normal(20 + i, *size) for i, (name, size) in enumerate(sizes.items())}
    model.load_state_dict(model.state_dict() | adapter)
    got = lora.lora_state_dict(model)
    if set(got) != set(adapter):
        raise Mismatch(f"the names are {sorted(got)}", got, adapter)
    for name, tensor in adapter.items():
        assert_equal(got[name], tensor)
        assert not got[name].requires_grad, f"{name} is not detached"
    expected = model(x).detach()
    assert_equal(lora.merge_lora(model), 2)
    assert_equal(lora.trainable_parameters(model)[1], 24 + 30 + 21 + 8)
    assert_close(model(x).detach(), expected, terms=60)
    assert_equal(sorted(model.state_dict()), sorted(names))
