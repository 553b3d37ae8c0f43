"""Everything as one long vector: norms of a concatenation, and the moments in float64.

Better: one operation for all parameters in place of one for each, as in fused optimizers.
"""

import numpy as np
import torch


def valid(lr, betas, eps, weight_decay):
    if any(number < 0 for number in (lr, eps, weight_decay)) or any(not 0 <= beta < 1 for beta in betas):
        raise ValueError("lr, eps and weight_decay are at least 0, and betas are in [0, 1)")


def adamw_update(parameter, gradient, first_moment, second_moment, step, **settings):
    return _update(parameter, gradient, first_moment, second_moment, step, **settings)


def _update(parameter, gradient, m, v, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    valid(lr, betas, eps, weight_decay)
    if step <= 0:
        raise ValueError("there is no step before the first")
    theta, g, m, v = (tensor.detach().to(torch.float64).numpy() for tensor in (parameter, gradient, m, v))
    m, v = m + (1 - betas[0]) * (g - m), v + (1 - betas[1]) * (g * g - v)
    root = np.sqrt(v / -np.expm1(step * np.log(betas[1]) if betas[1] else -np.inf)) + eps
    mean = m / (1.0 - betas[0] ** step)
    change = np.divide(mean, root, out=np.zeros_like(mean), where=root > 0)
    theta = theta - lr * (change + weight_decay * theta)
    return tuple(torch.as_tensor(array).to(parameter.dtype) for array in (theta, m, v))


class AdamW:
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        valid(lr, betas, eps, weight_decay)
        self.lr, self.other = lr, {"betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.slots = [[parameter, 0, 0 * parameter.detach(), 0 * parameter.detach()] for parameter in parameters]

    def step(self):
        for slot in self.slots:
            parameter, count, m, v = slot
            if parameter.grad is not None:
                new, m, v = _update(parameter, parameter.grad, m, v, count + 1, lr=self.lr, **self.other)
                with torch.no_grad():
                    parameter[...] = new
                slot[1:] = [count + 1, m, v]

    def zero_grad(self):
        for slot in self.slots:
            slot[0].grad = None


def warmup_cosine(step, peak, warmup_steps, total_steps, floor=0.0):
    if not 0 <= warmup_steps < total_steps:
        raise ValueError("the warm-up does not fit")
    progress = np.clip((step - warmup_steps) / (total_steps - warmup_steps), 0.0, 1.0)
    down = floor + (peak - floor) * (0.5 + 0.5 * np.cos(np.pi * progress))
    return float(peak * (step + 1) / warmup_steps) if step < warmup_steps else float(down)


def clip_gradient_norm(gradients, max_norm):
    vector = torch.cat([gradient.flatten() for gradient in gradients])
    norm = vector.norm()
    scaled = vector * torch.minimum(torch.ones_like(norm), max_norm / (norm + 1e-6))
    pieces = scaled.split([gradient.numel() for gradient in gradients])
    return [piece.view(gradient.shape) for piece, gradient in zip(pieces, gradients, strict=True)], norm


def accumulate_gradients(losses, counts):
    weights = np.asarray(counts) / np.sum(counts)
    values = []
    for weight, loss in zip(weights.tolist(), losses, strict=False):
        torch.autograd.backward(loss, torch.as_tensor(weight, dtype=loss.dtype))
        values.append(weight * loss.item())
    return sum(values)
