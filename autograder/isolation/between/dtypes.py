"""The dtypes that travel, and their codes on the wire. PyTorch's are names, for it may not be there."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

NUMPY_DTYPES = tuple(
    np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
TORCH_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64"),
    *("bfloat16", "complex64", "complex128"),
)
NUMPY_NAMES = tuple(dtype.name for dtype in NUMPY_DTYPES)
NUMPY_CODES = {dtype: code for code, dtype in enumerate(NUMPY_DTYPES)}
TORCH_CODES = {name: code for code, name in enumerate(TORCH_DTYPES)}


@cache
def name_of(dtype: torch.dtype) -> str:
    """A PyTorch dtype's name, whether it travels or not."""
    return str(dtype).removeprefix("torch.")


@cache
def dtype_named(name: str) -> torch.dtype:
    """The PyTorch dtype of this name, which is one of those that travel."""
    import torch

    return getattr(torch, name)  # type: ignore[no-any-return]


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor has such a dtype and holds its numbers plainly: not sparse, quantized or on the meta device."""
    import torch

    return name_of(tensor.dtype) in TORCH_CODES and tensor.layout == torch.strided and tensor.device.type != "meta"


def what_is_wrong(dtype: str, itemsize: int, shape: tuple[int, ...], data: memoryview) -> str:
    """Why bytes cannot be the numbers of an array of this dtype and shape; "" if they can."""
    # An array without numbers may have other axes of any length, but no library can index more than 2**63 bytes.
    count = prod(shape)
    axes = count or prod(max(length, 1) for length in shape)
    if max(shape, default=0) >= 2**31 or axes * itemsize >= 2**63 or count * itemsize != len(data):
        return "an array's shape does not fit its data"
    # A byte that is neither 0 nor 1 is no boolean, and comparing one is undefined behavior.
    return "a boolean is neither true nor false" if dtype == "bool" and bytes(data).strip(b"\0\1") else ""
