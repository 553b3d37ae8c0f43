"""A subclass of PyTorch's Optimizer, with its groups and state; foreach operations; one common denominator."""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Settings:
    lr: float
    betas: tuple
    eps: float
    weight_decay: float

    def __post_init__(self):
        if self.lr < 0 or self.eps < 0 or self.weight_decay < 0:
            raise ValueError("a negative setting makes no sense")
        if min(self.betas) < 0 or max(self.betas) >= 1:
            raise ValueError("a beta is outside of [0, 1)")


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
    s = Settings(lr, betas, eps, weight_decay)
    if step < 1:
        raise ValueError("step counts from one")
    m = torch.lerp(gradient, first_moment, s.betas[0])
    v = torch.lerp(gradient.square(), second_moment, s.betas[1])
    root = math.sqrt(1 - s.betas[1] ** step)
    # with both sides of the fraction times root: m root / (sqrt(v) + eps root)
    change = m * (root / (1 - s.betas[0] ** step)) / (v.sqrt() + s.eps * root)
    return parameter - s.lr * s.weight_decay * parameter - s.lr * change, m, v


class AdamW(torch.optim.Optimizer):
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        Settings(lr, betas, eps, weight_decay)
        parameters = list(parameters) or [torch.zeros(0)]
        super().__init__(parameters, {"betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.lr = lr

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            chosen = {name: group[name] for name in ("betas", "eps", "weight_decay")}
            for p in (p for p in group["params"] if p.grad is not None):
                s = self.state[p] or {"n": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
                new, m, v = adamw_update(p, p.grad, s["m"], s["v"], s["n"] + 1, self.lr, **chosen)
                p.add_(new - p)
                self.state[p] = {"n": s["n"] + 1, "m": m, "v": v}


def warmup_cosine(step, peak, warmup_steps, total_steps, floor=0.0):
    if warmup_steps not in range(total_steps):
        raise ValueError("no such warm-up")
    if step < warmup_steps:
        return (step + 1) * peak / warmup_steps
    left = max(total_steps - step, 0) / (total_steps - warmup_steps)
    return floor + (peak - floor) * (1 - math.cos(math.pi * left)) / 2


def clip_gradient_norm(gradients, max_norm):
    norm = sum((gradient**2).sum() for gradient in gradients) ** 0.5
    if norm + 1e-6 <= max_norm:
        return [gradient.clone() for gradient in gradients], norm
    return list(torch._foreach_mul(gradients, max_norm / (norm + 1e-6))), norm


def accumulate_gradients(losses, counts):
    counts, mean = list(counts), 0.0
    share = [count / sum(counts) for count in counts]
    for place, loss in enumerate(losses):
        loss = loss.mul(share[place])
        loss.backward()
        mean += loss.detach().numpy().item()
    return mean
