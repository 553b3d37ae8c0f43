"""Row by row in Python; the schedule by a list of what has happened."""

import math

import torch


def mixed_linear(x, weight, bias=None, dtype=torch.float16):
    x, columns = x.to(dtype), []
    for number, row in enumerate(weight.to(dtype)):
        column = (x * row).sum(dim=-1)
        if bias is not None:
            column = column + bias.to(dtype)[number]
        columns.append(column)
    return torch.stack(columns, dim=-1)


def rms_norm_safe(x, weight, eps=1e-6):
    rows = []
    for row in x.to(torch.float32).reshape(-1, x.shape[-1]):
        rows.append(weight.to(torch.float32) * row / torch.sqrt(torch.dot(row, row) / len(row) + eps))
    return torch.stack(rows).reshape(x.shape).type(x.dtype)


def training_bytes(num_parameters, dtype, master_weights=True):
    for_each = {
        ("float32", True): 16,
        ("float32", False): 16,
        ("float16", True): 16,
        ("float16", False): 12,
        ("bfloat16", True): 16,
        ("bfloat16", False): 12,
    }
    if (dtype, bool(master_weights)) not in for_each:
        raise ValueError("this dtype cannot be trained in")
    return num_parameters * for_each[dtype, bool(master_weights)]


def master_step(master, gradient, lr, dtype=torch.float16):
    numbers = [
        theta - lr * g for theta, g in zip(master.reshape(-1).tolist(), gradient.reshape(-1).tolist(), strict=True)
    ]
    new = torch.tensor(numbers, dtype=torch.float32).reshape(master.shape)
    return new, new.clone().to(dtype)


class LossScaler:
    def __init__(self, scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        self.scale = 1.0 * scale
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.left = self.growth_interval = growth_interval

    def scale_loss(self, loss):
        return self.scale * loss

    def unscale(self, gradients):
        result, finite = [], True
        for gradient in gradients:
            gradient = gradient.detach().clone().to(torch.float32)
            for number in gradient.reshape(-1).tolist():
                finite = finite and math.isfinite(number)
            result.append(gradient.div(self.scale))
        return result, finite

    def update(self, finite):
        if finite:
            self.left -= 1
            if self.left > 0:
                return
            self.scale = self.scale * self.growth_factor
        else:
            self.scale = self.scale * self.backoff_factor
        self.left = self.growth_interval
