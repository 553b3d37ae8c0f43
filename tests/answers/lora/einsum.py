"""Sums of outer products, and a registry of what is trainable."""

import math

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        if not rank >= 1:
            raise ValueError("the rank has to be one or more")
        self.factor = float(alpha) / rank
        kind = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.lora_A = nn.Parameter(torch.empty((rank, base.in_features), **kind))
        self.lora_B = nn.Parameter(torch.empty((base.out_features, rank), **kind))
        with torch.no_grad():
            self.lora_A.uniform_(-1 / math.sqrt(base.in_features), 1 / math.sqrt(base.in_features))
            self.lora_B.fill_(0)
        base.weight.requires_grad = False
        if base.bias is not None:
            base.bias.requires_grad = False
        self.base = base

    def forward(self, x):
        small = torch.einsum("...i,ri->...r", x * self.factor, self.lora_A)
        return torch.einsum("...r,or->...o", small, self.lora_B) + self.base(x)

    def merge(self):
        w = self.base.weight.detach().clone()
        for a, b in zip(self.lora_A.detach(), self.lora_B.detach().T, strict=True):
            w += self.factor * torch.outer(b, a)
        plain = nn.Linear(w.shape[1], w.shape[0], bias=self.base.bias is not None, dtype=w.dtype, device=w.device)
        state = {"weight": w}
        if self.base.bias is not None:
            state["bias"] = self.base.bias
        plain.load_state_dict(state)
        return plain


def _put(model, path, layer):
    steps = path.split(".")
    for step in steps[:-1]:
        model = getattr(model, step)
    setattr(model, steps[-1], layer)


def add_lora(model, names, rank, alpha):
    found = {}
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and any(path == n or path.endswith("." + n) for n in names if "." not in n):
            found[path] = layer
    if not found:
        raise ValueError("there is nothing to adapt under these names")
    new = {path: LoRALinear(layer, rank, alpha) for path, layer in found.items()}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for path, layer in new.items():
        _put(model, path, layer)
    return len(new)


def merge_lora(model):
    found = {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    for path, layer in found.items():
        _put(model, path, layer.merge())
    return len(found)


def trainable_parameters(model):
    total = sum(map(torch.numel, model.parameters()))
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return total - frozen, total


def lora_state_dict(model):
    result = {}
    for path, layer in model.named_modules():
        if isinstance(layer, LoRALinear):
            for name, p in layer.named_parameters(prefix=path, recurse=False):
                result[name] = p.data
    return result
