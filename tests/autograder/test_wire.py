"""The wire format: what goes in comes out, and bytes from a hostile side are at worst a `WireError`."""

import contextlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.isolation.between.dtypes import NUMPY_DTYPES, TORCH_DTYPES
from autograder.isolation.between.wire import MAX_DEPTH, Handle, WireError, decode, encode

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(), st.just(...))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(VALUES)
def test_plain_values_come_back(value):
    """Every nesting of plain values survives the way there, bit for bit."""
    assert repr(decode(encode(value))) == repr(value)


@given(hnp.arrays(st.sampled_from(NUMPY_DTYPES), hnp.array_shapes(min_dims=0, min_side=0, max_dims=4)))
def test_arrays_come_back(array):
    """Arrays of every dtype and shape come back with dtype, shape and bits, writable and contiguous."""
    back = decode(encode(array))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable or not back.size


@pytest.mark.parametrize("name", TORCH_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_come_back(name, shape):
    """Tensors of every dtype come back, and remember whether they require gradients."""
    dtype = getattr(torch, name)
    tensor = (torch.arange(int(np.prod(shape))).reshape(shape) % 2).to(dtype)
    back = decode(encode(tensor))
    assert back.dtype == dtype
    assert torch.equal(back, tensor)
    if dtype.is_floating_point:
        assert decode(encode(tensor.requires_grad_())).requires_grad


def test_views_and_scalars_come_back():
    """A transposed view, NumPy scalars, dtypes, devices and handles come back as what they are."""
    view = np.arange(6.0).reshape(2, 3).T
    assert np.array_equal(decode(encode(view)), view)
    assert torch.equal(decode(encode(torch.arange(6).reshape(2, 3).T)), torch.arange(6).reshape(2, 3).T)
    odd = torch.arange(6.0).as_strided((1,), (3,))
    assert torch.equal(decode(encode(odd)), odd)
    for value in (
        np.float32(1.5),
        np.bool_(True),
        np.dtype("float32"),
        torch.float16,
        torch.device("cpu"),
        Handle(3, "M"),
    ):
        back = decode(encode(value))
        assert back == value
        assert type(back) is type(value)


@given(st.binary(max_size=200))
@example(b"l\xff\xff\xff\xff")  # a list that claims four thousand million items
@example(b"a\x0b\x02" + struct.pack(">QQI", 2**40, 2**40, 0))  # an array that claims 2**80 numbers
@example(b"a\x0b\x11" + bytes(200))  # too many axes
@example(b"X\x00\x01" + struct.pack(">QI", 1, 1) + b"\x01")  # a boolean tensor that requires gradients
@settings(max_examples=500)
def test_any_bytes_are_a_value_or_a_wire_error(data):
    """Random bytes never raise anything else."""
    with contextlib.suppress(WireError):
        decode(data)


@given(VALUES, st.data())
def test_damaged_messages_are_a_value_or_a_wire_error(value, data):
    """A well-formed message with a byte changed, cut off or added never raises anything else."""
    message = bytearray(encode(value))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] = data.draw(st.integers(0, 255))
    for damaged in (message, message[:place], message + b"N"):
        with contextlib.suppress(WireError):
            decode(damaged)


def test_lies_are_refused_before_anything_is_allocated():
    """A length, a depth, a dtype, a boolean or a key that cannot be true is refused."""
    deep = b"l\x00\x00\x00\x01" * (MAX_DEPTH + 2) + b"N"
    for lie in (
        *(
            deep,
            b"",
            b"Z",
            b"NN",
            b"s\x00\x00\x00\x05ab",
            b"s\x00\x00\x00\x01\xff",
            b"d\x00\x00\x00\x01l\x00\x00\x00\x00N",
        ),
        *(b"I" + struct.pack(">I", 5000) + bytes(5000), b"v\x00\x00\x00\x03abc", b"y\x00\x00\x00\x06object"),
        b"a\x00\x01" + struct.pack(">QI", 1, 1) + b"\x07",  # a boolean of 7
        b"a\xee\x00" + struct.pack(">I", 0),
    ):
        with pytest.raises(WireError):
            decode(lie)


def test_what_cannot_be_sent_says_so():
    """Cycles, too large integers and objects without a handle are refused by the sender."""
    cycle = []
    cycle.append(cycle)
    for value in (cycle, 1 << 100_000, object(), {1, 2}, np.array([object()])):
        with pytest.raises(WireError):
            encode(value)
