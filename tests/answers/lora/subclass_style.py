"""The adapter as two bias-free linear maps applied by matmul; replacing from the last path up."""

import math
from operator import attrgetter

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        if rank < 1:
            raise ValueError("rank: at least one direction, please")
        nn.Module.__init__(self)
        self.add_module("base", base)
        base.requires_grad_(requires_grad=False)
        A, B = torch.empty(rank, base.in_features), torch.zeros(base.out_features, rank)
        nn.init.kaiming_uniform_(A, math.sqrt(5))
        self.register_parameter("lora_A", nn.Parameter(A.to(base.weight.device, base.weight.dtype)))
        self.register_parameter("lora_B", nn.Parameter(B.to(base.weight.device, base.weight.dtype)))
        self.alpha, self.rank = alpha, rank

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        change = torch.mm(torch.mm(rows, self.lora_A.t()), self.lora_B.t())
        return torch.add(self.base(x), change.reshape(*x.shape[:-1], -1), alpha=self.alpha / self.rank)

    def merge(self):
        plain = nn.utils.skip_init(nn.Linear, *self.base.weight.shape[::-1], bias=self.base.bias is not None)
        plain = plain.to(self.base.weight.dtype)
        change = (self.lora_B[:, :, None] * self.lora_A[None]).sum(1)
        plain.weight = nn.Parameter((self.base.weight + self.alpha / self.rank * change).detach())
        if plain.bias is not None:
            plain.bias = nn.Parameter(self.base.bias.detach().clone())
        return plain


def _swap(model, path, layer):
    *above, name = path.split(".")
    parent = attrgetter(".".join(above))(model) if above else model
    setattr(parent, name, layer)


def add_lora(model, names, rank, alpha):
    chosen = {
        k: m for k, m in model.named_modules() if isinstance(m, nn.Linear) and k.rsplit(".", 1)[-1] in tuple(names)
    }
    if not chosen:
        raise ValueError(f"none of {list(names)} is a linear layer here")
    [p.requires_grad_(False) for p in model.parameters()]
    for path in reversed(chosen):
        _swap(model, path, LoRALinear(chosen[path], rank, alpha))
    return len(chosen)


def merge_lora(model):
    merged = 0
    while True:
        path = next((k for k, m in model.named_modules() if isinstance(m, LoRALinear)), None)
        if path is None:
            return merged
        _swap(model, path, model.get_submodule(path).merge())
        merged += 1


def trainable_parameters(model):
    groups = {True: 0, False: 0}
    for p in model.parameters():
        groups[p.requires_grad] += math.prod(p.shape)
    return groups[True], groups[True] + groups[False]


def lora_state_dict(model):
    inside = [m for m in model.modules() if isinstance(m, LoRALinear)]
    ids = {id(p) for m in inside for p in (m.lora_A, m.lora_B)}
    return {name: p.detach() for name, p in model.named_parameters() if id(p) in ids}
