"""Mixed precision, visible: the worked examples of the text."""

import torch

from autograder.suites import (
    Mismatch,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_raises_value_error,
    points,
)


@points(0.5, "The product in float16: the worked example")
def test_linear(mixed_precision):
    """The inputs are cast first: 1.0002 is 1 in float16, and the sum is 0. The bias is added. Gradients flow."""
    x, weight = torch.tensor([[1.0002, -1.0], [3.0, 0.5]]), torch.tensor([[1024.0, 1024.0]])
    got = mixed_precision.mixed_linear(x, weight)
    assert_dtype(got, torch.float16)
    assert_equal(got, torch.tensor([[0.0], [3584.0]]).half())
    got = mixed_precision.mixed_linear(x, weight, torch.tensor([257.0]), dtype=torch.bfloat16)
    assert_dtype(got, torch.bfloat16)
    assert_equal(got.float()[0], torch.tensor([256.0]))
    got = mixed_precision.mixed_linear.gradients(x, weight)
    assert_equal(got.args[0], torch.full((2, 2), 1024.0))
    assert_equal(got.args[1], torch.tensor([[4.0, -0.5]]))


@points(0.5, "The norm in float32: the worked example")
def test_norm(mixed_precision):
    """The squares of 300 and 400 do not fit float16. The result does, and has the dtype of x."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        x = torch.tensor([[300.0, 400.0], [-3.0, 4.0]]).to(dtype)
        got = mixed_precision.rms_norm_safe(x, torch.tensor([1.0, 2.0]))
        assert_dtype(got, dtype)
        expected = torch.tensor([[0.848528, 2.262742], [-0.848528, 2.262742]])
        assert_close(got.float() / expected, torch.ones(2, 2), digits=2.2 if dtype == torch.bfloat16 else 3.2)
    small = mixed_precision.rms_norm_safe(torch.full((1, 2), 1e-3), torch.ones(2), eps=3e-6)
    assert_close(small, torch.full((1, 2), 0.5), digits=5)


@points(0.5, "What a training takes")
def test_bytes(mixed_precision):
    """For each weight 16 bytes in float32, 16 in float16 with a master and 12 without; another dtype is an error."""
    asked = (("float32", True), ("float16", True), ("bfloat16", False))
    got = [mixed_precision.training_bytes(1000, dtype, master) for dtype, master in asked]
    assert_equal(got, [16_000, 16_000, 12_000])
    assert_equal(mixed_precision.training_bytes(10, "float32", master_weights=False), 160)
    assert_equal(mixed_precision.training_bytes(10, "bfloat16"), 160)
    assert_raises_value_error(mixed_precision.training_bytes, 10, "int8")


@points(0.5, "Master weights remember small steps")
def test_master(mixed_precision):
    """A hundred steps of 0.0001 from 1 lead to 0.99 in float32; its float16 copy follows."""
    master = torch.ones(2)
    for _ in range(100):
        master, narrow = mixed_precision.master_step(master, torch.tensor([1.0, -2.0]).half(), 1e-4)
    assert_dtype(master, torch.float32)
    assert_dtype(narrow, torch.float16)
    assert_close(master, torch.tensor([0.99, 1.02]), digits=5)
    assert_close(narrow.float(), torch.tensor([0.99, 1.02]), digits=3.3)
    master, narrow = mixed_precision.master_step(torch.ones(2), torch.tensor([1.0, -2.0]).half(), 0.3, torch.bfloat16)
    assert_close(master, torch.tensor([0.7, 1.6]), terms=8)
    assert_equal(narrow, torch.tensor([0.7, 1.6]).bfloat16())


@points(0.5, "The scale goes up and down: the worked example")
def test_schedule(mixed_precision):
    """Two finite steps in a row double it, each that is not halves it, and both begin the count anew."""
    scaler = mixed_precision.LossScaler(8.0, growth_interval=2)
    for finite, expected in zip((1, 1, 0, 1, 0, 1, 1), (8.0, 16.0, 8.0, 8.0, 4.0, 4.0, 8.0), strict=True):
        scaler.update(bool(finite))
        assert_equal(scaler.scale.value(), expected)
    other = mixed_precision.LossScaler(9.0, growth_factor=3.0, backoff_factor=0.25, growth_interval=1)
    other.update(True)
    other.update(False)
    assert_equal(other.scale.value(), 6.75)
    third = mixed_precision.LossScaler(1.0, growth_interval=2)
    for _ in range(5):
        third.update(True)
    assert_equal(third.scale.value(), 4.0)


@points(0.5, "Losses are scaled, and gradients unscaled in float32")
def test_scaling(mixed_precision):
    """A gradient that is tiny once it is unscaled is no 0, for it is cast first. One inf or nan: not all is finite."""
    scaler = mixed_precision.LossScaler(4096.0)
    scaled = scaler.scale_loss.gradients(torch.tensor(0.5))
    assert_close(scaled.value, torch.tensor(2048.0))
    assert_close(scaled.args[0], torch.tensor(4096.0))
    got = scaler.unscale([torch.tensor([2.0**-14, -3.0]).half(), torch.tensor(5.0)])
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mismatch("it returned something else than (gradients, finite)", got, None)
    assert_dtype(got[0][0], torch.float32)
    assert_close(got[0][0] * 4096, torch.tensor([2.0**-14, -3.0]), terms=4)
    assert_close(got[0][0][0] * 2**26, torch.tensor(1.0), terms=4)
    bad = [torch.tensor([1.0, number]).half() for number in (torch.inf, -torch.inf, torch.nan)]
    lists = [[torch.ones(2), bad[0]], [bad[0], torch.ones(2)], [torch.ones(2), bad[1]], [bad[2]]]
    finite = [scaler.unscale(gradients)[1] for gradients in lists]
    assert_equal([got[1], *finite], [True, False, False, False, False])
