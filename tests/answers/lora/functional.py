"""The layer by `F.linear`, the model by a walk that calls itself.

Better: the model is walked by a function that calls itself, and no path has to be taken apart.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha):
        if rank <= 0:
            raise ValueError("LoRA needs a rank of at least 1")
        super().__init__()
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.lora_A = nn.Parameter(torch.empty_like(base.weight[:1]).repeat(rank, 1))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.base = base
        for p in self.base.parameters():
            p.requires_grad = False
        self.rank, self.alpha = rank, alpha

    def forward(self, x):
        low = F.linear(x, self.lora_A)
        return self.base(x) + F.linear(low, self.lora_B) * (self.alpha / self.rank)

    @torch.no_grad()
    def merge(self):
        has_bias = self.base.bias is not None
        plain = nn.Linear(self.base.in_features, self.base.out_features, has_bias).to(self.base.weight)
        plain.weight.copy_(torch.addmm(self.base.weight, self.lora_B, self.lora_A, alpha=self.alpha / self.rank))
        if has_bias:
            plain.bias.copy_(self.base.bias)
        return plain


def _replace(module, make):
    count = 0
    for name, child in list(module.named_children()):
        new = make(name, child)
        if new is not None:
            setattr(module, name, new)
            count += 1
        else:
            count += _replace(child, make)
    return count


def add_lora(model, names, rank, alpha):
    fits = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.split(".")[-1] in names]
    if len(fits) == 0:
        raise ValueError(f"no linear layer is called {names}")
    for p in model.parameters():
        p.requires_grad_(False)
    return _replace(model, lambda n, m: LoRALinear(m, rank, alpha) if isinstance(m, nn.Linear) and n in names else None)


def merge_lora(model):
    return _replace(model, lambda n, m: m.merge() if isinstance(m, LoRALinear) else None)


def trainable_parameters(model):
    learns = every = 0
    for p in model.parameters():
        every += p.nelement()
        learns += p.nelement() * int(p.requires_grad)
    return learns, every


def lora_state_dict(model, prefix=""):
    found = {}
    for name, child in model.named_children():
        if isinstance(child, LoRALinear):
            found[f"{prefix}{name}.lora_A"] = child.lora_A.detach().clone()
            found[f"{prefix}{name}.lora_B"] = child.lora_B.detach().clone()
        else:
            found.update(lora_state_dict(child, f"{prefix}{name}."))
    return found
