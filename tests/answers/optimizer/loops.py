"""Entry by entry in Python's floats, moments in dictionaries by the parameter, one count each."""

import itertools
import math

import torch


def _refuse(lr, betas, eps, weight_decay):
    for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative")
    for beta in betas:
        if beta < 0 or beta >= 1:
            raise ValueError(f"a beta of {beta} lies outside [0, 1)")


def adamw_update(
    parameter,
    gradient,
    first_moment,
    second_moment,
    step,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.01,
):
    _refuse(lr, betas, eps, weight_decay)
    if step < 1:
        raise ValueError("the first step is step 1")
    rows = []
    flat = [tensor.reshape(-1).tolist() for tensor in (parameter, gradient, first_moment, second_moment)]
    for theta, g, m, v in zip(*flat, strict=True):
        m = m * betas[0] + g * (1 - betas[0])
        v = v * betas[1] + g * g * (1 - betas[1])
        root = math.sqrt(v / (1 - math.pow(betas[1], step)))
        step_length = m / (1 - math.pow(betas[0], step)) / (root + eps) if m else 0.0
        rows.append((theta - lr * weight_decay * theta - lr * step_length, m, v))
    columns = zip(*rows, strict=True)
    return tuple(torch.tensor(c, dtype=parameter.dtype).reshape(parameter.shape) for c in columns)


class AdamW:
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        _refuse(lr, betas, eps, weight_decay)
        self.lr = lr
        self.rest = betas, eps, weight_decay
        self.parameters = tuple(parameters)
        self.memory = {}

    def step(self):
        for parameter in self.parameters:
            if parameter.grad is not None:
                zeros = torch.zeros_like(parameter.data)
                count, m, v = self.memory.get(parameter, (0, zeros, zeros))
                new, m, v = adamw_update(parameter.data, parameter.grad, m, v, count + 1, self.lr, *self.rest)
                parameter.data = new
                self.memory[parameter] = count + 1, m, v

    def zero_grad(self):
        for parameter in self.parameters:
            del parameter.grad


def warmup_cosine(step, peak, warmup_steps, total_steps, floor=0.0):
    if warmup_steps < 0 or warmup_steps >= total_steps:
        raise ValueError("the warm-up must be shorter than the whole training")
    if step < warmup_steps:
        return peak / warmup_steps * (step + 1)
    if step >= total_steps:
        return float(floor)
    quarter = math.pi / 2 * (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * math.cos(quarter) ** 2 + floor * math.sin(quarter) ** 2


def clip_gradient_norm(gradients, max_norm):
    total = math.fsum(x * x for gradient in gradients for x in gradient.reshape(-1).tolist())
    norm = math.sqrt(total)
    shrink = max_norm / (norm + 1e-6) if norm + 1e-6 > max_norm else 1.0
    copies = []
    for gradient in gradients:
        copies.append(gradient.clone())
        copies[-1] *= shrink
    return copies, torch.tensor(norm, dtype=gradients[0].dtype)


def accumulate_gradients(losses, counts):
    everything = list(itertools.accumulate(counts))[-1]
    seen = 0.0
    for loss, count in zip(losses, counts, strict=True):
        loss.backward(torch.full_like(loss, count / everything))
        seen += float(loss) * count
    return seen / everything
