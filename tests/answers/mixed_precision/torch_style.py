"""PyTorch's own functions: matmul and addition, rms_norm, add with alpha; a table of sizes from finfo.

Better: PyTorch's own functions, each of which is one kernel on a graphics card.
"""

import torch
from torch.nn import functional as F


def mixed_linear(x, weight, bias=None, dtype=torch.float16):
    product = torch.matmul(x.to(dtype), weight.to(dtype).transpose(0, 1))
    return product if bias is None else product + bias.to(dtype)


def rms_norm_safe(x, weight, eps=1e-6):
    return F.rms_norm(x.to(torch.float32), (x.shape[-1],), weight.to(torch.float32), eps).to(x.dtype)


def training_bytes(num_parameters, dtype, master_weights=True):
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"no training in {dtype}")
    size = torch.finfo(getattr(torch, dtype)).bits // 8
    total = num_parameters * size + num_parameters * size
    total += 2 * (num_parameters * 4)
    if master_weights and size != 4:
        total += num_parameters * 4
    return total


def master_step(master, gradient, lr, dtype=torch.float16):
    new = torch.add(master, gradient.to(torch.float32), alpha=-lr)
    return new, torch.empty_like(new, dtype=dtype).copy_(new)


class LossScaler:
    def __init__(self, scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        self.scale, self.tracker = float(scale), 0
        self.settings = growth_factor, backoff_factor, growth_interval

    def scale_loss(self, loss):
        return torch.mul(loss, self.scale)

    def unscale(self, gradients):
        wide = [gradient.to(torch.float32) for gradient in gradients]
        finite = bool(torch.isfinite(torch.cat([gradient.reshape(-1) for gradient in wide])).all())
        return [gradient * (1.0 / self.scale) for gradient in wide], finite

    def update(self, finite):
        growth, backoff, interval = self.settings
        scale = torch.tensor([self.scale])
        tracker = torch.tensor([self.tracker], dtype=torch.int32)
        found = torch.tensor([0.0 if finite else 1.0])
        torch._amp_update_scale_(scale, tracker, found, growth, backoff, interval)
        self.scale, self.tracker = scale.item(), int(tracker)
