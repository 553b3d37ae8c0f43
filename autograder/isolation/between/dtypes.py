"""The dtypes that travel, and their numbers on the wire. PyTorch's are names, for it may not be there."""

from __future__ import annotations

import numpy as np

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
NUMPY_CODES = {dtype: code for code, dtype in enumerate(NUMPY_DTYPES)}
TORCH_CODES = {name: code for code, name in enumerate(TORCH_DTYPES)}
