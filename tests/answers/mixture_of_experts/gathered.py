"""No loop over experts: the weights of the chosen experts are gathered for every token, and einsum does the rest."""

import torch
from llama_block import SwiGLU
from torch import nn


def _allowed(k, size):
    if not 0 < k < size + 1:
        raise ValueError("this k cannot be used")


def route(logits, k):
    _allowed(k, logits.shape[1])
    left, experts = logits, []
    for _ in range(k):  # argmax gives the first of equals
        best = left.argmax(dim=1, keepdim=True)
        experts.append(best)
        left = left.scatter(1, best, -torch.inf)
    experts = torch.cat(experts, dim=1)
    return torch.log_softmax(logits.gather(1, experts), dim=1).exp(), experts


def load_balancing_loss(logits, experts):
    tokens, size = logits.shape
    counts = torch.zeros(size, dtype=logits.dtype)
    counts = counts.index_add(0, experts.reshape(-1), torch.ones(experts.numel(), dtype=logits.dtype))
    probabilities = torch.softmax(logits, dim=1)
    return size * torch.einsum("e,ne->", counts / counts.sum(), probabilities) / tokens


class MixtureOfExperts(nn.Module):
    def __init__(self, dim, hidden_dim, num_experts, k):
        super().__init__()
        _allowed(k, num_experts)
        self.k = k
        self.add_module("router", nn.Linear(dim, num_experts, bias=False))
        self.add_module("experts", nn.ModuleList(SwiGLU(dim, hidden_dim) for _ in range(num_experts)))

    def forward(self, x):
        flat = x.flatten(0, 1)
        weights, experts = route(self.router(flat), self.k)

        def weight_of(name):
            stacked = torch.stack([getattr(expert, name).weight for expert in self.experts])
            return stacked[experts]  # [N, k, out, in]

        gate = torch.einsum("nc,nkfc->nkf", flat, weight_of("gate_proj"))
        up = torch.einsum("nc,nkfc->nkf", flat, weight_of("up_proj"))
        out = torch.einsum("nkf,nkcf->nkc", nn.functional.silu(gate) * up, weight_of("down_proj"))
        return torch.einsum("nk,nkc->nc", weights, out).unflatten(0, x.shape[:2])
