"""The change as a whole matrix, in float64; parents are found by their children."""

import copy

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank must be positive, not {rank}")
        self.base = base.requires_grad_(False)
        bound = base.in_features**-0.5
        a = torch.rand(rank, base.in_features, dtype=torch.float64) * 2 * bound - bound
        self.lora_A = nn.Parameter(a.to(base.weight))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank).to(base.weight))
        self.alpha = alpha

    @property
    def delta(self):
        return self.lora_B.double() @ self.lora_A.double() * self.alpha / self.lora_A.shape[0]

    def forward(self, x):
        return self.base(x) + (x.double() @ self.delta.mT).to(x.dtype)

    def merge(self):
        layer = copy.deepcopy(self.base)
        layer.weight.data = (layer.weight.double() + self.delta).detach().to(layer.weight.dtype)
        return layer


def _places(model, kind):
    return [(m, n, c) for m in model.modules() for n, c in m._modules.items() if isinstance(c, kind)]


def add_lora(model, names, rank, alpha):
    places = [place for place in _places(model, nn.Linear) if place[1] in set(names)]
    if not places:
        raise ValueError("none of the names fits a linear layer of this model")
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parent, name, layer in places:
        parent._modules[name] = LoRALinear(layer, rank, alpha)
    return len(places)


def merge_lora(model):
    places = _places(model, LoRALinear)
    for parent, name, layer in places:
        parent.add_module(name, layer.merge())
    return len(places)


def trainable_parameters(model):
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, learns in sizes if learns), sum(n for n, _ in sizes)


def lora_state_dict(model):
    adapters = [name for name, module in model.named_modules() if isinstance(module, LoRALinear)]
    wanted = {f"{name}.{part}" for name in adapters for part in ("lora_A", "lora_B")}
    return {name: tensor for name, tensor in model.state_dict().items() if name in wanted}
