"""PyTorch inside, NumPy outside; the weights times 127 over the largest, in float64."""

import math

import numpy as np
import torch


def quantize_absmax(weights, per_row=False):
    tensor = torch.as_tensor(np.ascontiguousarray(weights)).double()
    largest = tensor.abs().amax(dim=1, keepdim=True) if per_row else tensor.abs().amax()
    safe = torch.where(largest == 0, torch.full_like(largest, 127.0), largest)
    quantized = torch.round(tensor * 127.0 / safe).to(torch.int8)
    return quantized.numpy(), (safe / 127.0).to(torch.float32).numpy()


def dequantize(quantized, scale):
    numbers = torch.from_numpy(quantized).float()
    return (numbers * torch.as_tensor(scale).float()).numpy()


def memory_bytes(num_parameters, dtype):
    bytes_each = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
    if dtype not in bytes_each:
        raise ValueError(f"{dtype!r} is no dtype that a model is kept in")
    return math.ceil(num_parameters * bytes_each[dtype])
