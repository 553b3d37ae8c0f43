"""Casts by autocast, a norm over vector_norm, and the scale as a product of powers."""

import math

import torch


def mixed_linear(x, weight, bias=None, dtype=torch.float16):
    with torch.autocast("cpu", dtype=dtype):
        return torch.nn.functional.linear(x, weight, bias)


def rms_norm_safe(x, weight, eps=1e-6):
    kept, x, weight = x.dtype, x.float(), weight.float()
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    mean_square = length * length / x.size(-1)
    return torch.div(x * weight, (mean_square + eps) ** 0.5).to(kept)


SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}


def training_bytes(num_parameters, dtype, master_weights=True):
    try:
        size = SIZES[dtype]
    except KeyError:
        raise ValueError(f"unknown dtype {dtype}") from None
    parts = [size, size, 4, 4]
    if size < 4 and master_weights:
        parts.append(4)
    return sum(num_parameters * part for part in parts)


def master_step(master, gradient, lr, dtype=torch.float16):
    updated = master.clone()
    updated.sub_(gradient.to(updated), alpha=lr)
    return updated, updated.type(dtype).clone()


class LossScaler:
    def __init__(self, scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        self.start, self.factors, self.interval = scale, (growth_factor, backoff_factor), growth_interval
        self.grown = self.shrunk = self.streak = 0

    @property
    def scale(self):
        return float(self.start * math.pow(self.factors[0], self.grown) * math.pow(self.factors[1], self.shrunk))

    def scale_loss(self, loss):
        return loss * torch.tensor(self.scale, dtype=loss.dtype)

    def unscale(self, gradients):
        gradients = torch._foreach_div([gradient.float() for gradient in gradients], self.scale)
        return list(gradients), sum(int((~gradient.isfinite()).sum()) for gradient in gradients) == 0

    def update(self, finite):
        if not finite:
            self.shrunk, self.streak = self.shrunk + 1, 0
            return
        self.streak = (self.streak + 1) % self.interval
        self.grown += self.streak == 0
