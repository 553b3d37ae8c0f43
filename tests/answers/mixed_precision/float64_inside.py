"""float64 on the way wherever half precision is not asked for; einsum; a dataclass for the scaler."""

from dataclasses import dataclass, field

import torch


def mixed_linear(x, weight, bias=None, dtype=torch.float16):
    narrow = [tensor.to(dtype) for tensor in (x, weight)]
    result = torch.einsum("...i,oi->...o", *narrow)
    if bias is not None:
        result = result.add(bias.to(dtype))
    return result


def rms_norm_safe(x, weight, eps=1e-6):
    precise = x.double()
    root = precise.pow(2).mean(-1, keepdim=True).add(eps).sqrt()
    return weight.double().mul(precise).div(root).to(dtype=x.dtype)


def training_bytes(num_parameters, dtype, master_weights=True):
    if dtype == "float32":
        return 16 * num_parameters
    if dtype in {"float16", "bfloat16"}:
        return (16 if master_weights else 12) * num_parameters
    raise ValueError("float32, float16 or bfloat16, please")


def master_step(master, gradient, lr, dtype=torch.float16):
    updated = (master.double() - lr * gradient.double()).float()
    return updated, updated.detach().clone().to(dtype)


@dataclass
class LossScaler:
    scale: float = 65536.0
    growth_factor: float = 2.0
    backoff_factor: float = 0.5
    growth_interval: int = 2000
    history: list = field(default_factory=list)

    def scale_loss(self, loss):
        return (loss.double() * self.scale).to(loss.dtype)

    def unscale(self, gradients):
        sums = [torch.isfinite(gradient).logical_not().any().item() for gradient in gradients]
        return [(gradient.double() / self.scale).float() for gradient in gradients], True not in sums

    def update(self, finite):
        self.history.append(finite)
        if not finite:
            self.scale *= self.backoff_factor
            self.history.clear()
        if len(self.history) == self.growth_interval:
            self.scale *= self.growth_factor
            self.history.clear()
