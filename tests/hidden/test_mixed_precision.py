"""Mixed precision, hidden: against float64, rounded once where it should be, and against torch.amp.GradScaler.

Rounding: half the distance between neighbors, relative to the number, is 2^-11 in float16, 2^-8 in bfloat16 (`UNIT`).
A product of n terms in half precision rounds at most n + 2 times, in whatever order it is added up.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
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

HALVES = (torch.float16, torch.bfloat16)
UNIT = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24}


def assert_rounded(got, exact, dtype, roundings, size=0.0):
    """Passes when `got` has this dtype and is within so many roundings of `exact`, for sums of numbers of this size."""
    assert_shape(got, exact.shape, like=exact)
    assert_dtype(got, dtype)
    # The second part is half the distance between the smallest numbers that float16 has, below its normal range.
    allowed = roundings * (UNIT[dtype] * (exact.abs() + size) + 2.0**-25)
    wrong = ((got.double() - exact).abs() > allowed) | got.isnan()
    if wrong.any():
        text = f"{int(wrong.sum())} of {wrong.numel()} numbers are wrong"
        raise Mismatch(text, got.double(), exact, wrong.numpy())


def some(seed, *shape):
    """Numbers of order 1 in float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@points(0.75, "Products in half precision, of inputs that are cast first")
@rests_on("where x, W and b are cast to `dtype` first")
@given(
    lead=st.sampled_from([(), (1,), (3,), (2, 4)]),
    sizes=st.sampled_from([(1, 1), (5, 3), (7, 7), (3, 8)]),
    dtype=st.sampled_from([None, *HALVES]),
    with_bias=st.booleans(),
    seed=seeds(),
)
def test_linear(mixed_precision, lead, sizes, dtype, with_bias, seed):
    """Any leading axes, with and without a bias; float16 is the default."""
    inputs, outputs = sizes
    x, weight, bias = some(seed, *lead, inputs), some(seed + 1, outputs, inputs), some(seed + 2, outputs)
    narrow = dtype or torch.float16
    arguments = (x, weight, bias) if with_bias else (x, weight)
    got = mixed_precision.mixed_linear(*arguments, **({} if dtype is None else {"dtype": dtype}))
    exact = x.to(narrow).double() @ weight.to(narrow).double().T
    sums = x.abs().double() @ weight.abs().double().T
    if with_bias:
        exact, sums = exact + bias.to(narrow).double(), sums + bias.abs().double()
    assert_rounded(got, exact, narrow, inputs + 2, float(sums.max()))


@points(0.5, "What half precision does not have is lost on the way in")
@rests_on("where x, W and b are cast to `dtype` first")
def test_linear_casts(mixed_precision):
    """Casting only the result is not the same: 2049 is 2048 in float16, 70000 is inf there, and 1e-8 is 0."""
    ones = torch.tensor([[1.0, 1.0]])
    for x, dtype, expected in (
        ([2049.0, -2048.0], torch.float16, 0.0),
        ([70000.0, 1.0], torch.float16, torch.inf),
        ([257.0, -256.0], torch.bfloat16, 0.0),
        ([70000.0, -69632.0], torch.bfloat16, 512.0),
    ):
        got = mixed_precision.mixed_linear(torch.tensor([x]), ones, dtype=dtype)
        assert_equal(got.float(), torch.tensor([[expected]]))
        got = mixed_precision.mixed_linear(torch.ones(1, 2), torch.tensor([x]), dtype=dtype)
        assert_equal(got.float(), torch.tensor([[expected]]))
    zero = torch.zeros(1, 2)
    got = mixed_precision.mixed_linear(zero, ones, torch.tensor([1e-8]))
    assert_equal(got.float(), torch.tensor([[0.0]]))


@points(0.5, "Gradients come back through the casts")
@rests_on("they come back in the dtype of each argument")
@pytest.mark.parametrize("dtype", HALVES)
def test_linear_gradient(mixed_precision, dtype):
    """Each argument gets its gradient in its own dtype, computed in half precision on the way."""
    x, weight, bias, cotangent = some(1, 4, 5), some(2, 3, 5), some(3, 3), some(4, 4, 3).to(dtype)
    got = mixed_precision.mixed_linear.gradients(x, weight, bias, dtype=dtype, cotangent=cotangent)
    into, narrow = cotangent.double(), [tensor.to(dtype).double() for tensor in (x, weight)]
    wanted = (into @ narrow[1], into.T @ narrow[0], into.sum(dim=0))
    sizes = (into.abs() @ narrow[1].abs(), into.abs().T @ narrow[0].abs(), into.abs().sum(dim=0))
    for gradient, exact, size in zip(got.args, wanted, sizes, strict=True):
        assert_dtype(gradient, torch.float32)
        # It was rounded to half precision, and so is judged as that.
        assert_rounded(gradient.to(dtype), exact, dtype, 7, float(size.max()))


def normed(x, weight, eps):
    """The root-mean-square norm in float64."""
    x, weight = x.double(), weight.double()
    return weight * x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps)


@points(1.0, "The norm is computed in float32 and rounded once")
@rests_on("in the dtype of x, rounded once, at the end")
@given(
    lead=st.sampled_from([(), (1,), (4,), (2, 3)]),
    width=st.sampled_from([1, 6, 33]),
    dtype=st.sampled_from([torch.float32, *HALVES]),
    of_weight=st.sampled_from([torch.float32, *HALVES]),
    size=st.sampled_from([1e-3, 1.0, 3e3]),
    eps=st.sampled_from([None, 1e-6, 1e-2, 10.0]),
    seed=seeds(),
)
def test_norm(mixed_precision, lead, width, dtype, of_weight, size, eps, seed):
    """Squares that float16 has no room for; the weight comes before the cast, so one rounding is left."""
    x = (size * some(seed, *lead, width)).to(dtype)
    weight = (1 + some(seed + 1, width) / 3).to(of_weight)
    got = mixed_precision.rms_norm_safe(x, weight) if eps is None else mixed_precision.rms_norm_safe(x, weight, eps)
    # One rounding to half precision, and a hundredth of one for those of float32 before; in float32 all of those.
    exact = normed(x, weight, 1e-6 if eps is None else eps)
    assert_rounded(got, exact, dtype, width + 16 if dtype == torch.float32 else 1.01)


@points(0.5, "The norm's gradients")
@rests_on("Gradients flow to x and weight, in the dtype of each")
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_norm_gradient(mixed_precision, dtype):
    """They flow to x and to the weight, also where squares overflow in float16, and have the dtype of each."""
    for size in (1.0, 500.0):
        x, weight, cotangent = (size * some(5, 3, 7)).to(dtype), 1 + some(6, 7) / 3, some(7, 3, 7).to(dtype)
        got = mixed_precision.rms_norm_safe.gradients(x, weight, eps=1e-3, cotangent=cotangent)
        leaves = [x.double().requires_grad_(), weight.double().requires_grad_()]
        wanted = torch.autograd.grad(normed(*leaves, 1e-3), leaves, cotangent.double())
        assert_rounded(got.args[0], wanted[0], dtype, 30 if dtype == torch.float32 else 4, float(wanted[0].abs().max()))
        assert_dtype(got.args[1], torch.float32)
        assert_rounded(got.args[1].to(dtype), wanted[1], dtype, 30, float(wanted[1].abs().max()))


def schedule_of_torch(finite, **settings):
    """The scales of torch.amp.GradScaler after each step."""
    scaler = torch.amp.GradScaler("cpu", **settings)
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scales = []
    for good in finite:
        scaler.scale(torch.ones(1))
        parameter.grad = torch.tensor([1.0 if good else torch.inf])
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


@points(0.75, "The scale follows torch.amp.GradScaler")
@rests_on("The schedule of `torch.amp.GradScaler`, without its upper bound.")
@given(
    finite=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=14),
    scale=st.sampled_from([1.0, 1024.0, 3.0]),
    factors=st.sampled_from([(2.0, 0.5), (4.0, 0.25), (1.5, 0.75)]),
    interval=st.sampled_from([1, 2, 3, 5]),
)
def test_schedule(mixed_precision, finite, scale, factors, interval):
    """Back at every step that is not finite, up after so many finite ones in a row; both begin the count anew."""
    growth, backoff = factors
    settings = {"growth_factor": growth, "backoff_factor": backoff, "growth_interval": interval}
    scaler = mixed_precision.LossScaler(scale, **settings)
    assert_equal(scaler.scale.value(), scale)
    for good, wanted in zip(finite, schedule_of_torch(finite, init_scale=scale, **settings), strict=True):
        scaler.update(good)
        got = scaler.scale.value()
        assert_equal(type(got), float)
        assert_close(np.float32(got), np.float32(wanted), terms=20)


@points(0.25, "The defaults of the scaler, and two at once")
@rests_on("scale: float = 65536.0")
def test_scaler_defaults(mixed_precision):
    """It begins at 65536, halves, and doubles after 2000 finite steps; another scaler counts for itself."""
    first, second = mixed_precision.LossScaler(), mixed_precision.LossScaler(growth_interval=3)
    second.update(True)
    for _ in range(1999):
        first.update(True)
    assert_equal(first.scale.value(), 65536.0)
    first.update(True)
    assert_equal(first.scale.value(), 131072.0)
    first.update(False)
    assert_equal((first.scale.value(), second.scale.value()), (65536.0, 65536.0))
    second.update(True)
    second.update(True)
    assert_equal(second.scale.value(), 131072.0)


@points(0.75, "Scaled losses, and unscaled gradients")
@rests_on("New float32 tensors, the gradients over the scale")
@given(
    scale=st.sampled_from([1.0, 2.0**20, 1000.0, 0.125]),
    dtypes=st.lists(st.sampled_from([torch.float32, *HALVES]), min_size=1, max_size=3),
    bad=st.sampled_from([None, torch.inf, -torch.inf, torch.nan]),
    seed=seeds(),
)
def test_scaling(mixed_precision, scale, dtypes, bad, seed):
    """The loss times the scale, with its gradient; gradients in float32 over the scale; and whether all are finite."""
    scaler = mixed_precision.LossScaler(scale)
    loss = some(seed, 1)[0]
    got = scaler.scale_loss.gradients(loss)
    assert_dtype(got.value, torch.float32)
    assert_close(got.value, loss * scale, terms=4)
    assert_close(got.args[0], torch.tensor(scale), terms=4)
    shapes = [(3,), (), (2, 4)]
    gradients = [some(seed + i, *shapes[i]).mul(1e-2).to(dtype) for i, dtype in enumerate(dtypes)]
    if bad is not None:
        gradients[seed % len(gradients)].view(-1)[0] = bad
    result = scaler.unscale(gradients)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Mismatch("it returned something else than (gradients, finite)", result, None)
    assert_equal(result[1], bad is None)
    assert_equal(len(result[0]), len(gradients))
    for mine, gradient in zip(result[0], gradients, strict=True):
        assert_dtype(mine, torch.float32)
        exact = gradient.double() / scale
        wanted = torch.where(exact.isfinite(), exact, 0.0).float()
        assert_close(torch.where(exact.isfinite(), mine, 0.0), wanted, terms=4)
    assert_equal(scaler.scale.value(), scale)


@points(0.5, "Master weights in float32, and a copy of their own")
@rests_on("The new master `[...]` in float32, and its copy `[...]` in `dtype`")
@given(
    lr=st.sampled_from([1e-5, 0.1, 3.0]),
    dtype=st.sampled_from([None, torch.float32, *HALVES]),
    of_gradient=st.sampled_from([torch.float32, *HALVES]),
    seed=seeds(),
)
def test_master(mixed_precision, lr, dtype, of_gradient, seed):
    """The step is taken in float32, whatever dtype the gradient has; the copy is the new master, rounded once."""
    master, gradient = some(seed, 2, 5), some(seed + 1, 2, 5).to(of_gradient)
    got = mixed_precision.master_step(master, gradient, lr, **({} if dtype is None else {"dtype": dtype}))
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than (master, copy)", got, None)
    assert_dtype(got[0], torch.float32)
    exact = master.double() - lr * gradient.double()
    assert_close(got[0], exact.float(), terms=3, scale=4 + 4 * lr)
    assert_dtype(got[1], dtype or torch.float16)
    assert_equal(got[1], got[0].to(dtype or torch.float16))


@points(0.25, "The copy has memory of its own")
@rests_on("with memory of its own also when `dtype` is float32")
def test_own_memory(mixed_precision):
    """Also in float32: what is done to the copy later does not change the master."""
    python, tools = mixed_precision.library("builtins"), mixed_precision.library("itertools")
    arguments = ([torch.ones(3)], [torch.ones(3)], [0.5], [torch.float32])
    kept = mixed_precision.library("collections").deque(python.map(mixed_precision.master_step.value(), *arguments))
    fill = mixed_precision.library("operator").methodcaller("fill_", 7.0)
    python.list(python.map(fill, tools.islice(tools.chain.from_iterable(kept), 1, 2)))
    master, narrow = python.list(tools.chain.from_iterable(kept))
    assert_equal(master, torch.full((3,), 0.5))
    assert_equal(narrow, torch.full((3,), 7.0))


@points(0.25, "The bytes of a training")
@rests_on("Parameters and gradients in `dtype`, two moments in float32")
def test_bytes(mixed_precision):
    """Parameter and gradient in the dtype, two float32 moments, and a float32 master where the dtype is narrower."""
    for number in (0, 1, 135_000_001, 405 * 10**9):
        got, expected = [], []
        for dtype, with_master, without in (("float32", 16, 16), ("float16", 16, 12), ("bfloat16", 16, 12)):
            got.append(mixed_precision.training_bytes(number, dtype))
            got.append(mixed_precision.training_bytes(number, dtype, True))
            got.append(mixed_precision.training_bytes(number, dtype, master_weights=False))
            expected += [number * with_master, number * with_master, number * without]
        assert_equal(got, expected)  # all are asked first: what is right in the others tells what is wrong in one
    for dtype in ("float64", "int8", "half", "", "Float16"):
        assert_raises_value_error(mixed_precision.training_bytes, 10, dtype)
