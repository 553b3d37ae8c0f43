"""The optimizer, hidden: against torch.optim.AdamW and torch.nn.utils.clip_grad_norm_, step by step.

Rounding: a moment is the sum of two products, a new parameter a quotient of such sums. TERMS
counts these roundings. Their sizes are bounded below, where a small quotient could make a rounding large.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.suites import (
    Mismatch,
    arrays,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    points,
    rests_on,
    seeds,
    tensors,
)

TERMS = 16
SHAPES = st.sampled_from([(), (1,), (5,), (3, 3), (2, 1, 4)])


def reference(parameter, gradient, first, second, step, **settings):
    """One step of torch.optim.AdamW in float64, from these moments: what it leaves."""
    parameter = parameter.double().clone().requires_grad_()
    parameter.grad = gradient.double().clone()
    optimizer = torch.optim.AdamW([parameter], **settings)
    moments = {"exp_avg": first.double().clone(), "exp_avg_sq": second.double().clone()}
    optimizer.state[parameter] = {"step": torch.tensor(step - 1.0), **moments}
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def updated(optimizer, *args, **kwargs):
    """`adamw_update`, and that it returned three."""
    got = optimizer.adamw_update(*args, **kwargs)
    if not isinstance(got, (tuple, list)) or len(got) != 3:
        raise Mismatch("it returned something else than (parameter, first_moment, second_moment)", got, None)
    return got


@st.composite
def moments(draw, dtype=np.float32):
    """A parameter, its gradient and two moments, the second not too close to 0."""
    shape = draw(SHAPES)
    second = draw(tensors(shape, 0.05, 10, dtype))
    return [*(draw(tensors(shape, -4, 4, dtype)) for _ in range(3)), second]


SETTINGS = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([0.0, 1e-3, 0.1, 2.0]),
        "betas": st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.8, 0.1), (0.5, 0.99)]),
        "eps": st.sampled_from([1e-8, 1e-3, 0.5]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.4]),
    }
)


@points(1.25, "One update is one of torch.optim.AdamW, whatever came before")
@rests_on("theta' = theta - lr weight_decay theta - lr m^ / (sqrt(v^) + eps)")
@given(numbers=moments(), step=st.sampled_from([1, 2, 7, 1000]), settings=SETTINGS)
def test_update(optimizer, numbers, step, settings):
    """The decay is decoupled, the moments are corrected for the step, and eps is added to the corrected root."""
    got = updated(optimizer, *numbers, step, **settings)
    expected = reference(*numbers, step, **settings)
    gradient_size = float(max(number.abs().max() for number in numbers[1:3]))
    # The second moment keeps a tenth of at least 0.05, so its root is at least 0.07.
    longest = settings["lr"] * gradient_size / (1 - settings["betas"][0] ** step) / 0.07
    assert_close(got[0], expected[0].float(), terms=TERMS, scale=8.0 + longest)
    assert_close(got[1], expected[1].float(), terms=TERMS, scale=gradient_size)
    assert_close(got[2], expected[2].float(), terms=TERMS)


@points(0.5, "The defaults are those of torch.optim.AdamW, and the dtype stays")
@rests_on("betas: tuple[float, float] = (0.9, 0.999)", "three new tensors `[...]` of the same dtype")
@given(numbers=moments(np.float64), step=st.integers(1, 30))
def test_defaults(optimizer, numbers, step):
    """The rate is 0.001, the betas 0.9 and 0.999, eps 1e-8, the decay 0.01; float64 is computed as float64."""
    for got, wanted in zip(updated(optimizer, *numbers, step), reference(*numbers, step), strict=True):
        assert_dtype(got, torch.float64)
        assert_close(got, wanted, terms=TERMS, scale=8.0)
    singles = [number.float() for number in numbers]
    for got in updated(optimizer, *singles, step):
        assert_dtype(got, torch.float32)


@points(0.5, "Tiny gradients, and none at all")
@rests_on("eps: added to the root of the corrected second moment.")
@pytest.mark.parametrize("eps", [1e-8, 1e-4])
def test_tiny_gradients(optimizer, eps):
    """Where gradients are as small as eps, it matters where eps stands; where all are 0, only the decay is left."""
    gradient = torch.tensor([0.0, 1e-10, -3e-8, 1e-6, -1e-3, 1e3], dtype=torch.float64)
    zeros = torch.zeros(6, dtype=torch.float64)
    weight = torch.linspace(-2, 3, 6, dtype=torch.float64)
    numbers, expected = [weight, zeros, zeros], [weight, zeros, zeros]
    for step in (1, 2, 3):
        numbers = updated(optimizer, numbers[0], gradient, *numbers[1:], step, lr=0.5, eps=eps, weight_decay=0.2)
        expected = reference(expected[0], gradient, *expected[1:], step, lr=0.5, eps=eps, weight_decay=0.2)
        for got, wanted in zip(numbers, expected, strict=True):
            assert_close(got, wanted, terms=3 * TERMS)


SCHEDULES = st.lists(
    st.tuples(
        st.sampled_from([(), ("weight",), ("bias",), ("weight", "bias")]),  # who gets a gradient
        st.booleans(),  # whether the gradients are cleared afterwards
        st.sampled_from([None, 0.3, 0.01]),  # a new learning rate
    ),
    min_size=1,
    max_size=6,
)


@points(1, "Step for step, the optimizer is torch.optim.AdamW")
@rests_on("Step for step what `torch.optim.AdamW` does.")
@settings(max_examples=15)
@given(schedule=SCHEDULES, choice=SETTINGS, defaults=st.booleans(), seed=seeds())
def test_optimizer(optimizer, schedule, choice, defaults, seed):
    """Each parameter has moments and a count of its own; `lr` may change; without a gradient nothing moves."""
    choice = {} if defaults else choice
    torch.manual_seed(seed % 1000)
    original = torch.nn.Linear(2, 2).double()
    model = optimizer.library("torch").nn.Linear(2, 2).double()
    model.load_state_dict(original.state_dict())
    mine = optimizer.AdamW(model.parameters(), **choice)
    theirs = torch.optim.AdamW(original.parameters(), **choice)
    for names, clear, lr in schedule:
        for name in names:
            gradient = torch.randn(original.get_parameter(name).shape, dtype=torch.float64)
            getattr(model, name).backward(gradient)
            original.get_parameter(name).backward(gradient)
        if lr is not None:
            optimizer.library("builtins").setattr(mine, "lr", lr)
            theirs.param_groups[0]["lr"] = lr
        mine.step()
        theirs.step()
        state = model.state_dict()
        for name, wanted in original.state_dict().items():
            assert_close(state[name], wanted, terms=20 * TERMS, scale=10.0)
        if clear:
            mine.zero_grad()
            theirs.zero_grad()
        for name, parameter in original.named_parameters():
            left = getattr(model, name).grad.value()
            if parameter.grad is None:
                assert_equal(left, None)
            else:
                assert_close(left, parameter.grad, terms=4)


@points(0.5, "Several optimizers know nothing of each other")
@rests_on("It holds the parameters and what it remembers of each")
def test_several_optimizers(optimizer):
    """Moments, counts and rates belong to one optimizer, not to the class; a new one begins at step 1."""
    library = optimizer.library("torch")
    settings = ({"lr": 0.1}, {"lr": 0.3, "betas": (0.5, 0.7), "weight_decay": 0.5}, {})
    start = torch.linspace(-1, 2, 4, dtype=torch.float64).view(1, 4)
    pairs = []
    for choice in settings:
        model, original = library.nn.Linear(4, 1, bias=False).double(), torch.nn.Linear(4, 1, bias=False).double()
        model.load_state_dict({"weight": start})
        original.load_state_dict({"weight": start})
        theirs = torch.optim.AdamW(original.parameters(), **choice)
        pairs.append((model, optimizer.AdamW(model.parameters(), **choice), original, theirs))
    for turn, which in enumerate((0, 0, 1, 0, 2, 1, 2, 1)):
        model, mine, original, theirs = pairs[which]
        gradient = torch.randn(1, 4, generator=torch.Generator().manual_seed(turn)).double()
        mine.zero_grad()
        theirs.zero_grad()
        model.weight.backward(gradient)
        original.weight.backward(gradient)
        mine.step()
        theirs.step()
        for model, _, original, _ in pairs:
            assert_close(model.state_dict()["weight"], original.weight.detach(), terms=10 * TERMS)


@points(0.5, "The schedule, at every step and beyond its end")
@rests_on("a line up to the peak, then half a cosine down to the floor")
@given(
    step=st.integers(0, 60),
    peak=st.sampled_from([1.0, 3e-4, 20.0]),
    warmup=st.integers(0, 20),
    more=st.integers(1, 30),
    floor=st.sampled_from([None, 0.0, 1e-4, 0.5]),
)
def test_schedule(optimizer, step, peak, warmup, more, floor):
    """A line to the peak, which the last step of the warm-up has; then half a cosine to the floor, which stays."""
    total = warmup + more
    for at in (step, warmup, max(warmup - 1, 0), total, total - 1, 0):
        progress = min(Fraction(max(at, warmup) - warmup, more), Fraction(1))
        low = floor or 0.0
        falling = low + (peak - low) * np.cos(np.pi / 2 * float(progress)) ** 2
        expected = peak * (at + 1) / warmup if at < warmup else falling
        arguments = (at, peak, warmup, total) if floor is None else (at, peak, warmup, total, floor)
        got = optimizer.warmup_cosine(*arguments)
        assert_equal(type(got), float)
        assert_close(got, float(expected), terms=8, scale=max(peak, low))


def clipped_by_torch(gradients, max_norm):
    """What torch.nn.utils.clip_grad_norm_ makes of them, in float64, and the norm."""
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient, dtype=torch.float64)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.double().clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return [parameter.grad for parameter in parameters], norm


@points(0.75, "Clipping is that of torch.nn.utils.clip_grad_norm_")
@rests_on("n the norm of all gradients together")
@given(
    gradients=st.lists(SHAPES.flatmap(lambda shape: arrays(shape, -3, 3)), min_size=1, max_size=4),
    size=st.sampled_from([1e-9, 1e-3, 1.0, 1e6]),
    max_norm=st.sampled_from([1e-3, 1.0, 5.0, 1e9]),
)
def test_clipping(optimizer, gradients, size, max_norm):
    """One norm for all tensors together; all shrink by one factor, and by none where they are short enough."""
    for dtype in (torch.float64, torch.float32):
        given_ones = [torch.as_tensor(np.round(gradient, 2) * size).to(dtype) for gradient in gradients]
        expected, norm = clipped_by_torch(given_ones, max_norm)
        got = optimizer.clip_gradient_norm(given_ones, max_norm)
        if not isinstance(got, (tuple, list)) or len(got) != 2 or not isinstance(got[0], (tuple, list)):
            raise Mismatch("it returned something else than (list of gradients, norm)", got, None)
        terms = TERMS + sum(gradient.numel() for gradient in given_ones)
        assert_close(got[1], norm.to(dtype), terms=terms)
        assert_equal(len(got[0]), len(expected))
        for mine, theirs in zip(got[0], expected, strict=True):
            assert_dtype(mine, dtype)
            assert_close(mine, theirs.to(dtype), terms=terms)


def far_model(optimizer):
    """A model here, its twin over there, and the loss of one batch over there as a function of batches."""
    torch.manual_seed(5)
    original = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Softplus()).double()
    library, python = optimizer.library("torch"), optimizer.library("builtins")
    model = library.nn.Sequential(library.nn.Linear(4, 1), library.nn.Softplus()).double()
    model.load_state_dict(original.state_dict())

    def losses(batches):
        """A mean loss for each batch, made when it is asked for."""
        return python.map(library.mean.value(), python.map(model, batches))

    return original, model, losses


def assert_gradients(model, original, terms=60):
    """Passes when the twin has the original's gradients."""
    for name in ("weight", "bias"):
        got = getattr(getattr(model, "0"), name).grad.value()
        assert_close(got, original[0].get_parameter(name).grad, terms=terms)


@points(0.5, "Accumulated gradients are those of the whole batch")
@rests_on("L, the mean over all tokens, as a float. Gradients are added to those that are there.")
@pytest.mark.parametrize("counts", [[3], [1, 1], [2, 7, 1, 4], [5, 5, 5], [1, 12]])
def test_accumulation(optimizer, counts):
    """A token counts the same in whatever micro-batch it stands; what comes back is the mean over all, as a float."""
    original, model, losses = far_model(optimizer)
    batches = [torch.randn(count, 4).double() * (1 + place) for place, count in enumerate(counts)]
    mean = original(torch.cat(batches)).mean()
    mean.backward()
    got = optimizer.accumulate_gradients(losses(batches), counts)
    assert_equal(type(got), float)
    assert_close(got, mean.item(), terms=60)
    assert_gradients(model, original)


@points(0.25, "One graph at a time: each is freed before the next loss is asked for")
@rests_on("once and without retaining the graph, before you ask for the next loss")
def test_one_graph_at_a_time(optimizer):
    """Here all batches go through the same memory, as in large trainings: the next overwrites what is not yet used."""
    original, model, losses = far_model(optimizer)
    library, counts = optimizer.library("torch"), [3, 1, 6]
    batches = [torch.randn(5, 4).double() for _ in counts]
    total = sum(count * original(batch).mean() for count, batch in zip(counts, batches, strict=True)) / 10
    total.backward()
    memory = library.nn.Linear(4, 5, bias=False).double().requires_grad_(False)
    filled = optimizer.library("builtins").map(memory.weight.copy_.value(), batches)
    assert_close(optimizer.accumulate_gradients(losses(filled), counts), total.item(), terms=60)
    assert_gradients(model, original)

    kept = optimizer.library("collections").deque(losses(batches))
    optimizer.accumulate_gradients(kept, counts)
    again = optimizer.library("operator").methodcaller("backward")
    try:
        optimizer.library("builtins").list(optimizer.library("builtins").map(again, kept))
    except RuntimeError:
        return  # as it should: what a backward pass needs is there no more
    raise Mismatch("a graph is still in memory after its backward pass", None, None)


@points(0.25, "Every setting that makes no sense is a ValueError")
@rests_on("ValueError: step < 1; a negative lr, eps or weight_decay; a beta outside [0, 1).")
def test_errors(optimizer):
    """Both the function and the optimizer's constructor refuse them; what lies just inside the bounds is fine."""
    numbers = [torch.ones(2)] * 4
    wrong = [{"lr": -1e-9}, {"eps": -1e-9}, {"weight_decay": -1e-9}]
    wrong += [{"betas": betas} for betas in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1), (0.9, 1.5))]
    for choice in wrong:
        assert_raises_value_error(optimizer.adamw_update, *numbers, 1, **choice)
        assert_raises_value_error(optimizer.AdamW, [], **choice)
    for step in (0, -1):
        assert_raises_value_error(optimizer.adamw_update, *numbers, step)
    nothing = {"lr": 0.0, "eps": 0.0, "weight_decay": 0.0, "betas": (0.0, 0.0)}
    updated(optimizer, *numbers, 1, **nothing)
    optimizer.AdamW([], **nothing)
    for warmup, total in ((-1, 5), (5, 5), (6, 5), (0, 0)):
        assert_raises_value_error(optimizer.warmup_cosine, 0, 1.0, warmup, total)
