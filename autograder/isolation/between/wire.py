"""Plain values as bytes, and bytes as plain values, without pickle.

A value is one tag byte followed by its content; containers hold their items one after the other. What there is stands
in one table, `_KINDS`, at the end: each kind's tag, which values are of it, how they are written, and how read.

A *handle* stands for an object that stays on the other side (a module with weights, a tokenizer).
Whoever decodes treats the bytes as hostile: lengths, depth, dtypes and sizes are checked before they are
believed, and anything odd is a `WireError`. PyTorch is imported only when a value needs it.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from autograder.isolation.between import dtypes

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


class _Encoder:
    """Writes tags and, by the methods that the table names, what follows them."""

    def __init__(self, parts: list[bytes], refer: Callable[[object], Handle], own: Collection[str]) -> None:
        self.parts = parts
        self.refer = refer
        self.own = own

    def put(self, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise WireError(f"values are nested more than {MAX_DEPTH} deep")
        kind = _USUAL.get(type(value))
        if kind is None or not kind.has(value):
            kind = self.kind_of(value)
        if kind is None:
            kind, value = _HANDLE, self.refer(value)
        self.parts.append(kind.tag)
        kind.put(self, value, depth)

    def kind_of(self, value: Any) -> _Kind | None:
        """Its row of the table; None for an object."""
        kind = next((kind for kind in _KINDS if kind.has(value)), None)
        if kind and kind.base in (list, dict) and type(value).__module__ in self.own:
            return None  # a cache that is a list, say: its methods are what it is for
        return kind

    def pack(self, layout: str, *values: Any) -> None:
        self.parts.append(struct.pack(layout, *values))

    def put_nothing(self, value: object, depth: int) -> None:
        """The tag says it all."""

    def put_sized(self, data: bytes, depth: int) -> None:
        self.parts.append(struct.pack(">I", len(data)) + data)

    def put_text(self, text: str, depth: int) -> None:
        self.put_sized(str.encode(text, "utf-8", "surrogatepass"), depth)

    def put_name(self, value: Any, depth: int) -> None:
        self.put_text(str(value).removeprefix("torch."), depth)

    def put_big_int(self, value: int, depth: int) -> None:
        data = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        if len(data) > MAX_BIG_INT:
            raise WireError("an integer is too large")
        self.put_sized(data, depth)

    def put_items(self, items: Sequence[Any], depth: int) -> None:
        # A class of its own may say otherwise of its length and items.
        plain: list[Any] = [*(list if isinstance(items, list) else tuple).__iter__(items)]  # type: ignore[arg-type]
        self.pack(">I", len(plain))
        for item in plain:
            self.put(item, depth + 1)

    def put_dict(self, items: dict[Any, Any], depth: int) -> None:
        plain = [*dict.items(items)]
        self.pack(">I", len(plain))
        for key, item in plain:
            self.put(key, depth + 1)
            self.put(item, depth + 1)

    def put_array(self, array: Any, depth: int) -> None:
        array = np.asarray(array)
        if array.nbytes > MAX_FRAME:
            raise WireError(f"an array of {array.nbytes:,} bytes is too large")
        native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        self.put_block(dtypes.NUMPY_CODES[native.dtype], array.shape, native.tobytes())

    def put_tensor(self, tensor: torch.Tensor, depth: int) -> None:
        if tensor.numel() * tensor.element_size() > MAX_FRAME:
            raise WireError("a tensor is too large")
        name = dtypes.name_of(tensor.dtype)
        plain = tensor.detach()
        if name == "bfloat16":  # which NumPy does not know
            plain = plain.view(_torch("int16"))
        self.put_block(dtypes.TORCH_CODES[name], tuple(tensor.shape), plain.numpy(force=True).tobytes())

    def put_block(self, code: int, shape: tuple[int, ...], data: bytes) -> None:
        self.pack(f">BB{len(shape)}QI", code, len(shape), *shape, len(data))
        self.parts.append(data)

    def put_handle(self, handle: Handle, depth: int) -> None:
        self.pack(">q", handle.id)
        self.put(str(handle.type_name), 0)


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

    def take_sized(self, depth: int = 0) -> memoryview:
        return self.take_bytes(self.unpack(">I")[0])

    def take_text(self, depth: int) -> str:
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

    def take_complex(self, depth: int) -> complex:
        return complex(*self.unpack(">dd"))

    def take_number(self, layout: str) -> Any:
        return self.unpack(layout)[0]

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

    def take_big_int(self, depth: int) -> int:
        data = self.take_sized()
        if len(data) > MAX_BIG_INT:
            raise WireError("an integer is too large")
        return int.from_bytes(data, "big", signed=True)

    def take_block(self, names: Sequence[str], named: Callable[[str], Any]) -> tuple[Any, tuple[int, ...], memoryview]:
        code, dimensions = self.unpack(">BB")
        if code >= len(names) or dimensions > MAX_DIMENSIONS:
            raise WireError("an array has an unknown dtype or too many axes")
        shape, data, dtype = self.unpack(f">{dimensions}Q"), self.take_sized(), named(names[code])
        if wrong := dtypes.what_is_wrong(names[code], dtype.itemsize, shape, data):
            raise WireError(wrong)
        return dtype, shape, data

    def take_array(self, depth: int) -> np.ndarray:
        dtype, shape, data = self.take_block(dtypes.NUMPY_NAMES, np.dtype)
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def take_scalar(self, depth: int) -> np.generic:
        array = self.take_array(depth)
        if array.ndim:
            raise WireError("a scalar has axes")
        return cast("np.generic", array[()])

    def take_tensor(self, depth: int, requires_grad: bool = False) -> torch.Tensor:
        import torch

        dtype, shape, data = self.take_block(dtypes.TORCH_DTYPES, dtypes.dtype_named)
        if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
            raise WireError("only floating-point tensors have gradients")
        tensor = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        tensor = tensor.reshape(shape)
        return tensor.requires_grad_() if requires_grad else tensor

    def take_numpy_dtype(self, depth: int) -> np.dtype:
        name = self.take_text(depth)
        if name not in dtypes.NUMPY_NAMES:
            raise WireError("an unknown dtype")
        return np.dtype(name)

    def take_torch_dtype(self, depth: int) -> torch.dtype:
        name = self.take_text(depth)
        if name not in dtypes.TORCH_CODES:
            raise WireError("an unknown dtype")
        return dtypes.dtype_named(name)

    def take_device(self, depth: int) -> torch.device:
        import torch

        try:
            return torch.device(self.take_text(depth))
        except RuntimeError:
            raise WireError("an unknown device") from None

    def take_handle(self, depth: int) -> object:
        (number,) = self.unpack(">q")
        if bytes(self.take_bytes(1)) != b"s":
            raise WireError("a handle has no type")
        return self.resolve(Handle(number, self.take_text(depth)[:100]))


def _is_plain_key(key: object) -> bool:
    if type(key) is tuple:
        return all(_is_plain_key(item) for item in key)
    return key is None or type(key) in (bool, int, float, str, bytes)


def _torch(name: str) -> Any:
    """A name of PyTorch if it is loaded: a value can only be a tensor if it is."""
    return getattr(sys.modules.get("torch"), name, ())


class _Kind(NamedTuple):
    """One kind of value.

    Attributes:
        tag: its byte.
        base: the built-in type that it is, if it is one; a value of a class derived from it travels as that.
        has: whether a value is of this kind.
        put: writes what follows the tag.
        take: reads it.
    """

    tag: bytes
    base: type | None
    has: Callable[[Any], bool]
    put: Callable[[_Encoder, Any, int], None]
    take: Callable[[_Decoder, int], Any]


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _is_tensor(value: Any, requires_grad: bool) -> bool:
    return isinstance(value, _torch("Tensor")) and dtypes.is_dense(value) and bool(value.requires_grad) is requires_grad


def _fits(value: Any) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**63 and type(value) is not bool


def _is_numpy(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind) and getattr(value, "dtype", None) in dtypes.NUMPY_CODES


_E, _D = _Encoder, _Decoder
_HANDLE = _Kind(b"h", Handle, _is(Handle), _E.put_handle, _D.take_handle)
# The first that has a value counts: NumPy's float64 is a float too.
_KINDS = (
    _Kind(b"i", int, _fits, lambda e, v, depth: e.pack(">q", v), lambda d, depth: d.take_number(">q")),
    _Kind(b"I", int, lambda v: isinstance(v, int) and type(v) is not bool, _E.put_big_int, _D.take_big_int),
    _Kind(b"N", type(None), lambda v: v is None, _E.put_nothing, lambda d, depth: None),
    _Kind(b"T", bool, lambda v: v is True, _E.put_nothing, lambda d, depth: True),
    _Kind(b"F", bool, lambda v: v is False, _E.put_nothing, lambda d, depth: False),
    _Kind(b"E", type(...), lambda v: v is ..., _E.put_nothing, lambda d, depth: ...),
    _Kind(b"a", None, _is_numpy(np.ndarray), _E.put_array, _D.take_array),
    _Kind(b"g", None, _is_numpy(np.generic), _E.put_array, _D.take_scalar),
    _Kind(b"x", None, lambda v: _is_tensor(v, False), _E.put_tensor, _D.take_tensor),
    _Kind(b"X", None, lambda v: _is_tensor(v, True), _E.put_tensor, lambda d, depth: d.take_tensor(depth, True)),
    _Kind(b"Y", None, lambda v: isinstance(v, _torch("dtype")), _E.put_name, _D.take_torch_dtype),
    _Kind(b"v", None, lambda v: isinstance(v, _torch("device")), _E.put_name, _D.take_device),
    _Kind(b"y", None, lambda v: isinstance(v, np.dtype) and v in dtypes.NUMPY_CODES, _E.put_name, _D.take_numpy_dtype),
    _Kind(b"t", tuple, _is(tuple), _E.put_items, lambda d, depth: tuple(d.take_list(depth))),
    _Kind(b"d", dict, _is(dict), _E.put_dict, _D.take_dict),
    _HANDLE,
    _Kind(b"f", float, _is(float), lambda e, v, depth: e.pack(">d", v), lambda d, depth: d.take_number(">d")),
    _Kind(b"c", complex, _is(complex), lambda e, v, depth: e.pack(">dd", v.real, v.imag), _D.take_complex),
    _Kind(b"s", str, _is(str), _E.put_text, _D.take_text),
    _Kind(b"b", bytes, _is(bytes), _E.put_sized, lambda d, depth: bytes(d.take_sized())),
    _Kind(b"l", list, _is(list), _E.put_items, _D.take_list),
)
_TAKES = {ord(kind.tag): kind.take for kind in _KINDS}
# A built-in type's usual kind, so that the table is not searched each time.
_USUAL = {kind.base: kind for kind in reversed(_KINDS) if kind.base}
