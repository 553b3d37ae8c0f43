"""Hypothesis strategies for what suites need most: small arrays and tensors, and seeds for larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

if TYPE_CHECKING:
    import torch

    Shape = tuple[int, ...] | st.SearchStrategy[tuple[int, ...]]


def arrays(
    shape: Shape, low: float = -10.0, high: float = 10.0, dtype: Any = np.float64
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of the shape (a tuple or a strategy of tuples) with finite numbers from `low` to `high`."""
    width = np.dtype(dtype).itemsize * 8
    bounds = np.dtype(dtype).type(low).item(), np.dtype(dtype).type(high).item()
    elements = st.floats(*bounds, width=width, allow_subnormal=False)
    return hnp.arrays(dtype, shape, elements=elements)


def tensors(
    shape: Shape, low: float = -10.0, high: float = 10.0, dtype: Any = np.float32
) -> st.SearchStrategy[torch.Tensor]:
    """The same as PyTorch tensors; `dtype` is NumPy's."""
    import torch

    return arrays(shape, low, high, dtype).map(torch.from_numpy)


def seeds() -> st.SearchStrategy[int]:
    """Seeds for a generator, where an example is too large to be drawn number by number."""
    return st.integers(0, 2**31 - 1)
