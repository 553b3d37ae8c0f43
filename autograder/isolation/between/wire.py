"""Plain values as bytes, and bytes as plain values, without pickle.

A value is one tag byte followed by its content; containers hold their items one after the other:

    None True False ... int float complex str bytes list tuple dict
    numpy arrays and scalars, PyTorch tensors, dtypes, devices, handles

A *handle* stands for an object that stays on the other side (a module with weights, a tokenizer).
Whoever decodes treats the bytes as hostile: lengths, depth, dtypes and sizes are checked before they are
believed, and anything odd is a `WireError`. PyTorch is imported only when a value needs it.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autograder.isolation.between.dtypes import (
    NUMPY_CODES,
    NUMPY_DTYPES,
    TORCH_CODES,
    TORCH_DTYPES,
    dtype_named,
    is_dense,
    name_of,
)

if TYPE_CHECKING:
    import torch

MAX_FRAME = 64 * 2**20  # bytes of one message
MAX_DEPTH = 40
MAX_DIMENSIONS = 16
MAX_BIG_INT = 100  # bytes: every such number fits a float and a line of text, so that whoever shows it need not ask
MAX_CLASHES = 8  # keys of one dictionary with the same hash as others; with many, each look-up takes as long as all


class WireError(Exception):
    """The bytes are no message, or the value cannot be sent."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A name for an object on the other side."""

    id: int
    type_name: str


@dataclass(slots=True)
class Allowance:
    """How much may still be decoded: what a short message makes here may be a hundred times as large.

    Attributes:
        size: bytes of messages.
        values: numbers, texts, arrays and containers, each counted by itself.
    """

    size: int = 256 * 2**20
    values: int = 2**20


def _cannot_refer(value: object) -> Handle:
    raise WireError(f"a {type(value).__name__} cannot be sent")


def encode(value: object, refer: Callable[[object], Handle] = _cannot_refer, own: Collection[str] = ()) -> bytes:
    """Returns the bytes of `value`; what is no plain value goes through `refer`, which names it by a handle.

    Args:
        value: what is to be sent.
        refer: gives handles.
        own: modules whose lists and dictionaries are objects too, if they are of a class of their own.
    """
    parts: list[bytes] = []
    _Encoder(parts, refer, own).put(value, 0)
    if sum(map(len, parts)) > MAX_FRAME:
        raise WireError(f"a value of more than {MAX_FRAME >> 20} MiB cannot be sent")
    return b"".join(parts)


def decode(
    data: bytes | bytearray | memoryview,
    resolve: Callable[[Handle], object] = lambda handle: handle,
    allowance: Allowance | None = None,
) -> Any:
    """Returns the value that `data` holds, whole and nothing besides; `resolve` turns handles into objects.

    Args:
        data: the bytes.
        resolve: gives what a handle stands for.
        allowance: what several messages may take together; it is used up. By default each has one of its own.

    Raises:
        WireError: the bytes are anything but one well-formed value, or it is larger than allowed.
    """
    decoder = _Decoder(memoryview(data), resolve, allowance or Allowance())
    value = decoder.take(0)
    if decoder.at != len(decoder.data):
        raise WireError("bytes are left over")
    return value


def _torch() -> Any:
    """PyTorch if it is loaded: a value can only be a tensor if it is."""
    return sys.modules.get("torch")


class _Encoder:
    def __init__(self, parts: list[bytes], refer: Callable[[object], Handle], own: Collection[str]) -> None:
        self.parts = parts
        self.refer = refer
        self.own = own

    def put(self, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise WireError(f"values are nested more than {MAX_DEPTH} deep")
        kind = type(value)
        if kind in _PLAIN:
            _PLAIN[kind](self, value, depth)
        else:
            self.put_derived(value, depth)

    def put_derived(self, value: Any, depth: int) -> None:
        """Subclasses of plain types, arrays and tensors; anything else becomes a handle."""
        torch, kind = _torch(), type(value)
        if isinstance(value, np.ndarray) and value.dtype in NUMPY_CODES:
            self.put_array(b"a", value)
        elif isinstance(value, np.generic) and value.dtype in NUMPY_CODES:
            self.put_array(b"g", np.asarray(value))
        elif torch is not None and isinstance(value, torch.Tensor) and is_dense(value):
            self.put_tensor(value)
        elif torch is not None and isinstance(value, torch.dtype):
            self.put_text(b"Y", str(value).removeprefix("torch."))
        elif torch is not None and isinstance(value, torch.device):
            self.put_text(b"v", str(value))
        elif isinstance(value, np.dtype) and value in NUMPY_CODES:
            self.put_text(b"y", value.name)
        elif isinstance(value, tuple):
            self.put_items(b"t", list(tuple.__iter__(value)), depth)
        elif isinstance(value, (list, dict)) and kind.__module__ in self.own:
            self.put_handle(self.refer(value))  # a cache that is a list, say: its methods are what it is for
        elif isinstance(value, dict):
            self.put_dict(dict(dict.items(value)), depth)
        elif isinstance(value, Handle):
            self.put_handle(value)
        else:
            base = next((base for base in _BASES if isinstance(value, base)), None)
            if base is not None:
                _PLAIN[base](self, value, depth)
            else:
                self.put_handle(self.refer(value))

    def put_text(self, tag: bytes, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.parts.append(tag + struct.pack(">I", len(data)) + data)

    def put_int(self, value: int, depth: int) -> None:
        if -(2**63) <= value < 2**63:
            self.parts.append(b"i" + struct.pack(">q", value))
            return
        data = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        if len(data) > MAX_BIG_INT:
            raise WireError("an integer is too large")
        self.parts.append(b"I" + struct.pack(">I", len(data)) + data)

    def put_items(self, tag: bytes, items: list[Any] | tuple[Any, ...], depth: int) -> None:
        self.parts.append(tag + struct.pack(">I", len(items)))
        for item in items:
            self.put(item, depth + 1)

    def put_dict(self, items: dict[Any, Any], depth: int) -> None:
        self.parts.append(b"d" + struct.pack(">I", len(items)))
        for key, item in items.items():
            self.put(key, depth + 1)
            self.put(item, depth + 1)

    def put_array(self, tag: bytes, array: np.ndarray) -> None:
        if array.nbytes > MAX_FRAME:
            raise WireError(f"an array of {array.nbytes:,} bytes is too large")
        native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        self.put_block(tag, NUMPY_CODES[native.dtype], array.shape, native.tobytes())

    def put_tensor(self, tensor: torch.Tensor) -> None:
        if tensor.numel() * tensor.element_size() > MAX_FRAME:
            raise WireError("a tensor is too large")
        name = name_of(tensor.dtype)
        plain = tensor.detach()
        if name == "bfloat16":  # which NumPy does not know
            plain = plain.view(_torch().int16)
        data = plain.numpy(force=True).tobytes()
        self.put_block(b"X" if tensor.requires_grad else b"x", TORCH_CODES[name], tuple(tensor.shape), data)

    def put_block(self, tag: bytes, code: int, shape: tuple[int, ...], data: bytes) -> None:
        self.parts.append(tag + struct.pack(f">BB{len(shape)}QI", code, len(shape), *shape, len(data)))
        self.parts.append(data)

    def put_handle(self, handle: Handle) -> None:
        self.parts.append(b"h" + struct.pack(">q", handle.id))
        self.put_text(b"s", handle.type_name)


_PLAIN: dict[type, Callable[[_Encoder, Any, int], None]] = {
    type(None): lambda encoder, value, depth: encoder.parts.append(b"N"),
    bool: lambda encoder, value, depth: encoder.parts.append(b"T" if value else b"F"),
    type(...): lambda encoder, value, depth: encoder.parts.append(b"E"),
    int: _Encoder.put_int,
    float: lambda encoder, value, depth: encoder.parts.append(b"f" + struct.pack(">d", value)),
    complex: lambda encoder, value, depth: encoder.parts.append(b"c" + struct.pack(">dd", value.real, value.imag)),
    str: lambda encoder, value, depth: encoder.put_text(b"s", value),
    bytes: lambda encoder, value, depth: encoder.parts.append(b"b" + struct.pack(">I", len(value)) + value),
    list: lambda encoder, value, depth: encoder.put_items(b"l", value, depth),
    tuple: lambda encoder, value, depth: encoder.put_items(b"t", value, depth),
    dict: _Encoder.put_dict,
}
_BASES = (int, float, complex, str, bytes, list)  # a subclass of one of these travels as that one


class _Decoder:
    def __init__(self, data: memoryview, resolve: Callable[[Handle], object], allowance: Allowance) -> None:
        self.data = data
        self.at = 0
        self.resolve = resolve
        self.allowance = allowance
        allowance.size -= len(data)
        if allowance.size < 0:
            raise WireError("these are more bytes than are allowed")

    def take(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise WireError(f"values are nested more than {MAX_DEPTH} deep")
        self.allowance.values -= 1
        if self.allowance.values < 0:
            raise WireError("these are more values than are allowed")
        (tag,) = self.unpack("B")
        if tag not in _TAKES:
            raise WireError(f"{tag} is the tag of no kind of value")
        return _TAKES[tag](self, depth)

    def take_bytes(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise WireError("a value is longer than its message")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple[Any, ...]:
        try:
            found = struct.unpack_from(layout, self.data, self.at)
        except struct.error:
            raise WireError("a value is longer than its message") from None
        self.at += struct.calcsize(layout)
        return found

    def take_sized(self) -> memoryview:
        return self.take_bytes(self.unpack(">I")[0])

    def take_text(self) -> str:
        try:
            return str(self.take_sized(), "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise WireError("a text is not UTF-8") from None

    def take_count(self) -> int:
        """How many items follow. An item takes a byte at least, so a lie is seen before anything is allocated."""
        (count,) = self.unpack(">I")
        if count > len(self.data) - self.at:
            raise WireError("a container is longer than its message")
        return int(count)

    def take_list(self, depth: int) -> list[Any]:
        return [self.take(depth + 1) for _ in range(self.take_count())]

    def take_dict(self, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        hashes: set[int] = set()
        for _ in range(self.take_count()):
            key = self.take(depth + 1)
            if not _is_plain_key(key):
                raise WireError("a dictionary's key is no plain value")
            result[key] = self.take(depth + 1)
            hashes.add(hash(key))
            if len(result) - len(hashes) > MAX_CLASHES:
                raise WireError("too many of a dictionary's keys have the same hash")
        return result

    def take_big_int(self) -> int:
        data = self.take_sized()
        if len(data) > MAX_BIG_INT:
            raise WireError("an integer is too large")
        return int.from_bytes(data, "big", signed=True)

    def take_block(self, codes: int) -> tuple[int, tuple[int, ...], memoryview]:
        code, dimensions = self.unpack(">BB")
        if code >= codes or dimensions > MAX_DIMENSIONS:
            raise WireError("an array has an unknown dtype or too many axes")
        shape = self.unpack(f">{dimensions}Q")
        return code, shape, self.take_sized()

    def take_array(self) -> np.ndarray:
        code, shape, data = self.take_block(len(NUMPY_DTYPES))
        dtype = NUMPY_DTYPES[code]
        _check_size(shape, dtype.itemsize, len(data))
        _check_booleans(dtype.name, data)
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def take_scalar(self) -> np.generic:
        array = self.take_array()
        if array.ndim:
            raise WireError("a scalar has axes")
        return cast("np.generic", array[()])

    def take_tensor(self, requires_grad: bool) -> torch.Tensor:
        import torch

        code, shape, data = self.take_block(len(TORCH_DTYPES))
        dtype = dtype_named(TORCH_DTYPES[code])
        _check_size(shape, dtype.itemsize, len(data))
        _check_booleans(TORCH_DTYPES[code], data)
        if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
            raise WireError("only floating-point tensors have gradients")
        tensor = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        tensor = tensor.reshape(shape)
        return tensor.requires_grad_() if requires_grad else tensor

    def take_numpy_dtype(self) -> np.dtype:
        name = self.take_text()
        if name not in {dtype.name for dtype in NUMPY_DTYPES}:
            raise WireError("an unknown dtype")
        return np.dtype(name)

    def take_torch_dtype(self) -> torch.dtype:
        name = self.take_text()
        if name not in TORCH_CODES:
            raise WireError("an unknown dtype")
        return dtype_named(name)

    def take_device(self) -> torch.device:
        import torch

        try:
            return torch.device(self.take_text())
        except RuntimeError:
            raise WireError("an unknown device") from None

    def take_handle(self) -> object:
        (number,) = self.unpack(">q")
        if bytes(self.take_bytes(1)) != b"s":
            raise WireError("a handle has no type")
        return self.resolve(Handle(number, self.take_text()[:100]))


def _check_size(shape: tuple[int, ...], itemsize: int, length: int) -> None:
    # An array without numbers may have other axes of any length, but no library can index more than 2**63 bytes.
    count = prod(shape)
    axes = count or prod(max(length, 1) for length in shape)
    if max(shape, default=0) >= 2**31 or axes * itemsize >= 2**63 or count * itemsize != length:
        raise WireError("an array's shape does not fit its data")


def _check_booleans(name: str, data: memoryview) -> None:
    """A byte that is neither 0 nor 1 is no boolean, and comparing one is undefined behaviour."""
    if name == "bool" and bytes(data).strip(b"\0\1"):
        raise WireError("a boolean is neither true nor false")


def _is_plain_key(key: object) -> bool:
    if type(key) is tuple:
        return all(_is_plain_key(item) for item in key)
    return key is None or type(key) in (bool, int, float, str, bytes)


_TAKES: dict[int, Callable[[_Decoder, int], Any]] = {
    ord("N"): lambda decoder, depth: None,
    ord("T"): lambda decoder, depth: True,
    ord("F"): lambda decoder, depth: False,
    ord("E"): lambda decoder, depth: ...,
    ord("i"): lambda decoder, depth: decoder.unpack(">q")[0],
    ord("I"): lambda decoder, depth: decoder.take_big_int(),
    ord("f"): lambda decoder, depth: decoder.unpack(">d")[0],
    ord("c"): lambda decoder, depth: complex(*decoder.unpack(">dd")),
    ord("s"): lambda decoder, depth: decoder.take_text(),
    ord("b"): lambda decoder, depth: bytes(decoder.take_sized()),
    ord("l"): _Decoder.take_list,
    ord("t"): lambda decoder, depth: tuple(decoder.take_list(depth)),
    ord("d"): _Decoder.take_dict,
    ord("a"): lambda decoder, depth: decoder.take_array(),
    ord("g"): lambda decoder, depth: decoder.take_scalar(),
    ord("x"): lambda decoder, depth: decoder.take_tensor(requires_grad=False),
    ord("X"): lambda decoder, depth: decoder.take_tensor(requires_grad=True),
    ord("y"): lambda decoder, depth: decoder.take_numpy_dtype(),
    ord("Y"): lambda decoder, depth: decoder.take_torch_dtype(),
    ord("v"): lambda decoder, depth: decoder.take_device(),
    ord("h"): lambda decoder, depth: decoder.take_handle(),
}
