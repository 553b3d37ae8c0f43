"""The optimizer, visible: the worked examples, and a few steps beside PyTorch's own."""

import math

import torch

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_equal,
    assert_raises_value_error,
    points,
)


def triple(got):
    """What `adamw_update` returned, and that it is three tensors."""
    if not isinstance(got, (tuple, list)) or len(got) != 3:
        raise Mismatch("it returned something else than (parameter, first_moment, second_moment)", got, None)
    return got


@points(0.5, "One update: the worked example comes out")
def test_worked_example(optimizer):
    """The weight decays, the moments are running means, and both are corrected for having begun at 0."""
    weight, first, second = (torch.tensor([start], dtype=torch.float64) for start in (1.0, 0.0, 0.0))
    rows = ((0.5, 0.899, 0.05, 0.00025), (-0.5, 0.898101 + 0.1 * (0.005 / 0.19) / 0.5, -0.005, 0.00049975))
    for step, (gradient, *expected) in enumerate(rows, 1):
        gradient = torch.tensor([gradient], dtype=torch.float64)
        weight, first, second = triple(optimizer.adamw_update(weight, gradient, first, second, step, lr=0.1))
        for got, number in zip((weight, first, second), expected, strict=True):
            assert_close(got, torch.tensor([number], dtype=torch.float64), digits=7)


@points(0.75, "A few steps are those of torch.optim.AdamW")
def test_steps(optimizer):
    """The parameters move in place, each with its own moments and count; those without a gradient stay as they are."""
    torch.manual_seed(0)
    original = torch.nn.Linear(3, 2).double()
    model = optimizer.library("torch").nn.Linear(3, 2).double()
    model.load_state_dict(original.state_dict())
    settings = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
    mine = optimizer.AdamW(model.parameters(), **settings)
    theirs = torch.optim.AdamW(original.parameters(), **settings)
    for step, names in enumerate((["weight"], ["weight", "bias"], [], ["bias", "weight"], ["bias"])):
        for name in names:
            gradient = torch.randn(original.get_parameter(name).shape, dtype=torch.float64)
            getattr(model, name).backward(gradient)
            original.get_parameter(name).backward(gradient)
        if step == 3:
            optimizer.library("builtins").setattr(mine, "lr", 0.2)
            theirs.param_groups[0]["lr"] = 0.2
        mine.step()
        theirs.step()
        for name, wanted in original.state_dict().items():
            assert_close(model.state_dict()[name], wanted, terms=40)
        mine.zero_grad()
        theirs.zero_grad()
        assert_equal((model.weight.grad.value(), model.bias.grad.value()), (None, None))


@points(0.5, "The learning rate warms up, and falls along half a cosine")
def test_schedule(optimizer):
    """The example of the text: a line up to the peak, then from the peak at progress 0 to the floor at progress 1."""
    for step, expected in ((0, 0.0025), (1, 0.005), (3, 0.01), (4, 0.01), (8, 0.0055), (12, 0.001), (40, 0.001)):
        got = optimizer.warmup_cosine(step, 0.01, 4, 12, floor=0.001)
        assert_equal(type(got), float)
        assert_close(got, expected, terms=8)
    assert_close(optimizer.warmup_cosine(3, 2.0, 0, 12), 1 + math.cos(math.pi / 4), terms=8)


@points(0.5, "Gradients are clipped by the norm of all together")
def test_clipping(optimizer):
    """[3, 0] and [4] have norm 5: they shrink by the same factor when that is too long, and stay when it is not."""
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    for max_norm, factor in ((1.0, 0.2), (10.0, 1.0)):
        clipped, norm = optimizer.clip_gradient_norm(gradients, max_norm)
        assert_close(norm, torch.tensor(5.0), terms=4)
        for got, gradient in zip(clipped, gradients, strict=True):
            assert_close(got, factor * gradient, digits=6)


@points(0.5, "Micro-batches add up to the mean over all tokens")
def test_accumulation(optimizer):
    """A micro-batch counts by its tokens: with 1, 4 and 2 of them the gradient is that of the mean over all seven."""
    torch.manual_seed(1)
    batches = [torch.randn(count, 3) for count in (1, 4, 2)]
    original = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Softplus())
    mean = original(torch.cat(batches)).mean()
    mean.backward()
    library, python = optimizer.library("torch"), optimizer.library("builtins")
    model = library.nn.Sequential(library.nn.Linear(3, 1), library.nn.Softplus())
    model.load_state_dict(original.state_dict())
    losses = python.map(library.mean.value(), python.map(model, batches))  # each is made when it is asked for
    got = optimizer.accumulate_gradients(losses, [1, 4, 2])
    assert_equal(type(got), float)
    assert_close(torch.tensor(got), mean.detach(), terms=20)
    assert_close(getattr(model, "0").weight.grad.value(), original[0].weight.grad, terms=20)


@points(0.25, "Settings that make no sense are errors")
def test_errors(optimizer):
    """Steps count from 1, betas lie in [0, 1), nothing is negative, and the warm-up is shorter than the whole."""
    numbers = [torch.ones(2)] * 4
    assert_raises_value_error(optimizer.adamw_update, *numbers, 0)
    assert_raises_value_error(optimizer.adamw_update, *numbers, 1, betas=(0.9, 1.0))
    assert_raises_value_error(optimizer.AdamW, [], lr=-0.1)
    assert_raises_value_error(optimizer.warmup_cosine, 0, 0.1, 5, 5)
