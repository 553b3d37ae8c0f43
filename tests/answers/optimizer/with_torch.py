"""PyTorch's own in-place operations, one after the other, as its single-tensor code has them; norms by the library."""

import math

import torch


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
    AdamW([], lr, betas, eps, weight_decay)
    if not step >= 1:
        raise ValueError("steps are counted from 1")
    beta1, beta2 = betas
    with torch.no_grad():
        parameter, first, second = parameter.clone(), first_moment.clone(), second_moment.clone()
        parameter.mul_(1 - lr * weight_decay)
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (second.sqrt() / math.sqrt(1 - beta2**step)).add_(eps)
        parameter.addcdiv_(first, denominator, value=-lr / (1 - beta1**step))
    return parameter, first, second


class AdamW:
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        if lr < 0.0 or eps < 0.0 or weight_decay < 0.0:
            raise ValueError("no setting may be negative")
        if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
            raise ValueError("betas lie in [0, 1)")
        self.groups = [{"parameter": parameter, "step": 0} for parameter in parameters]
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay

    def step(self):
        with torch.no_grad():
            for group in self.groups:
                parameter = group["parameter"]
                if parameter.grad is None:
                    continue
                if group["step"] == 0:
                    group["first"], group["second"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                group["step"] += 1
                new, group["first"], group["second"] = adamw_update(
                    parameter,
                    parameter.grad,
                    group["first"],
                    group["second"],
                    group["step"],
                    lr=self.lr,
                    betas=self.betas,
                    eps=self.eps,
                    weight_decay=self.weight_decay,
                )
                parameter.set_(new)

    def zero_grad(self):
        for group in self.groups:
            group["parameter"].grad = None


def warmup_cosine(step, peak, warmup_steps, total_steps, floor=0.0):
    if not (warmup_steps >= 0 and warmup_steps < total_steps):
        raise ValueError("0 <= warmup_steps < total_steps does not hold")
    if step < warmup_steps:
        return float(peak * ((step + 1) / warmup_steps))
    progress = max(0.0, min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))
    return float(floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def clip_gradient_norm(gradients, max_norm):
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    coefficient = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    return [gradient.detach().clone().mul_(coefficient) for gradient in gradients], norm


def accumulate_gradients(losses, counts):
    total, mean = float(sum(counts)), 0.0
    losses = iter(losses)
    for count in counts:
        loss = next(losses)
        (loss * count / total).backward()
        mean += loss.detach().item() * count / total
    return mean
