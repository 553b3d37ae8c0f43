"""A mixture of experts, visible: the worked examples, and what the layer is where that can be seen at once."""

import torch

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    assert_shape,
    points,
)

LOGITS = torch.tensor([[1.0, 3.0, 0.0, 2.0], [2.0, 1.0, 0.0, 2.0]])


def swiglu(weights, x, number):
    """What one expert makes of x."""
    gate, up, down = (weights[f"experts.{number}.{name}_proj.weight"] for name in ("gate", "up", "down"))
    return (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T


@points(0.75, "Routing: the worked example")
def test_route(mixture_of_experts):
    """The largest logits first, of equal ones the lower number; the weights are the softmax over the chosen alone."""
    got = mixture_of_experts.route(LOGITS, 2)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than (weights, experts)", got, None)
    assert_equal(got[1], torch.tensor([[1, 3], [0, 3]]))
    assert_close(got[0], torch.tensor([[0.7310586, 0.2689414], [0.5, 0.5]]), terms=8)
    assert_equal(mixture_of_experts.route(LOGITS, 1)[1], torch.tensor([[1], [0]]))
    assert_equal(mixture_of_experts.route(LOGITS.flip(-1), 2)[1], torch.tensor([[2, 0], [0, 3]]))
    assert_dtype(mixture_of_experts.route(LOGITS.bfloat16(), 2)[0], torch.bfloat16)


@points(0.75, "The balancing loss: the worked example, and 1 for perfect balance")
def test_balance(mixture_of_experts):
    """The parts of the choices times the mean probabilities, times the number of experts; the latter have gradients."""
    loss = mixture_of_experts.load_balancing_loss.gradients(LOGITS, torch.tensor([[1, 3], [0, 3]]))
    assert_close(loss.value, torch.tensor(1.2751), digits=4)
    fractions, probabilities = torch.tensor([0.25, 0.25, 0.0, 0.5]), LOGITS.softmax(dim=-1)
    pushed = 4 * probabilities * (fractions - probabilities @ fractions[:, None]) / 2
    assert_close(loss.args[0], pushed, terms=20, scale=1.0)
    even = mixture_of_experts.load_balancing_loss(torch.zeros(6, 3), torch.tensor([[0], [1], [2], [2], [1], [0]]))
    assert_close(even, torch.tensor(1.0), terms=8)


@points(0.75, "Each token is the weighted sum of its experts")
def test_layer(mixture_of_experts):
    """Token by token: its two experts by the router's logits, run on it, weighed, and added up."""
    layer = mixture_of_experts.MixtureOfExperts(4, 6, num_experts=5, k=2)
    weights = layer.state_dict()
    assert_equal(sorted(weights)[-1], "router.weight")
    assert_shape(weights["router.weight"], (5, 4))
    assert_equal(len(weights), 16)
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, 3, 4)
    for b in range(2):
        for t in range(3):
            logits = x[b, t] @ weights["router.weight"].T
            first, second = logits.argsort(descending=True)[:2].tolist()
            share = torch.sigmoid(logits[first] - logits[second])
            expected[b, t] = share * swiglu(weights, x[b, t], first) + (1 - share) * swiglu(weights, x[b, t], second)
    assert_close(layer(x), expected, terms=40)


@points(0.5, "The chosen experts learn, and so does the router")
def test_gradients(mixture_of_experts):
    """With k = 1 one token reaches one expert; the others get no gradient, or zeros. With k = 2 the router gets one."""
    layer = mixture_of_experts.MixtureOfExperts(4, 6, num_experts=3, k=1)
    x = torch.ones(1, 1, 4)
    chosen = int((x[0, 0] @ layer.state_dict()["router.weight"].T).argmax())
    gradients = layer.gradients(x).parameters
    for number in range(3):
        gradient = gradients[f"experts.{number}.up_proj.weight"]
        assert_equal((gradient is not None and bool(gradient.abs().max() > 0)), number == chosen)
    layer = mixture_of_experts.MixtureOfExperts(4, 6, num_experts=3, k=2)
    of_router = layer.gradients(x).parameters["router.weight"]
    assert_equal(of_router is not None and bool(of_router.abs().max() > 0), True)


@points(0.25, "k is from 1 to the number of experts")
def test_errors(mixture_of_experts):
    """Neither the function nor the constructor can do with none, or with more than there are."""
    for k in (0, 5):
        assert_raises_value_error(mixture_of_experts.route, LOGITS, k)
        assert_raises_value_error(mixture_of_experts.MixtureOfExperts, 4, 6, 4, k)
