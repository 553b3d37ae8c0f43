"""A model whose matrices lie in memory as int8, by the student's own quantization."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Int8Matrix(nn.Module):
    """A matrix `[out, in]` as bytes and scales.

    Args:
        weight: the matrix.
        quantization: the student's module.
        per_row: whether each row has a scale of its own.
    """

    def __init__(self, weight: Tensor, quantization: ModuleType, per_row: bool) -> None:
        super().__init__()
        quantized, scale = quantization.quantize_absmax(weight.detach().numpy(), per_row)
        self.register_buffer("quantized", torch.from_numpy(quantized))
        self.register_buffer("scale", torch.as_tensor(scale))
        self.quantization = quantization

    def rows(self, numbers: Tensor | None = None) -> Tensor:
        """All rows as floats, or those of some numbers."""
        quantized: Any = self.quantized
        scale: Any = self.scale
        if numbers is not None:
            quantized, scale = quantized[numbers], scale[numbers] if scale.dim() else scale
        return torch.from_numpy(self.quantization.dequantize(quantized.numpy(), scale.numpy()))


class Int8Linear(nn.Module):
    """A linear layer that makes floats of its matrix whenever it is used."""

    def __init__(self, matrix: Int8Matrix, bias: Tensor | None = None) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        return linear(x, self.matrix.rows(), self.bias)


class Int8Embedding(nn.Module):
    """A table of which only the rows that are asked for become floats."""

    def __init__(self, matrix: Int8Matrix) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, ids: Tensor) -> Tensor:
        """`[...]` to `[..., C]`."""
        return self.matrix.rows(ids.flatten()).reshape(*ids.shape, -1)


def to_int8(model: nn.Module, quantization: ModuleType, per_row: bool) -> nn.Module:
    """The model, on the CPU and in float32, with all its matrices as int8; two that were one stay one."""
    matrices: dict[int, Int8Matrix] = {}

    def matrix(weight: Tensor) -> Int8Matrix:
        if id(weight) not in matrices:
            matrices[id(weight)] = Int8Matrix(weight, quantization, per_row)
        return matrices[id(weight)]

    for name, module in list(model.named_modules()):  # the list keeps the weights alive, and so their ids apart
        if isinstance(module, nn.Linear):
            model.set_submodule(name, Int8Linear(matrix(module.weight), module.bias))
        elif isinstance(module, nn.Embedding):
            model.set_submodule(name, Int8Embedding(matrix(module.weight)))
    return model
