"""All pairs of token and choice sorted by expert, cut into a piece for each, and brought back, as fast code does.

Better: each expert's tokens stand side by side, so that its matrices are read once. Fast code does it so.
"""

import torch
from llama_block import SwiGLU
from torch import nn


def route(logits, k):
    if k < 1:
        raise ValueError("a token needs an expert")
    if k > logits.shape[-1]:
        raise ValueError("there are not so many experts")
    best = torch.sort(logits, dim=1, descending=True, stable=True)
    return torch.softmax(best.values.narrow(1, 0, k), 1), best.indices.narrow(1, 0, k)


def load_balancing_loss(logits, experts):
    with torch.no_grad():
        share = torch.stack([(experts == number).double().mean() for number in range(logits.shape[1])])
    return (torch.softmax(logits, -1) * share.to(logits.dtype)).sum(-1).mean() * logits.shape[1]


class MixtureOfExperts(nn.Module):
    def __init__(self, dim, hidden_dim, num_experts, k):
        super().__init__()
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList([SwiGLU(dim, hidden_dim) for _ in range(num_experts)])
        self.k = k
        route(torch.zeros(1, num_experts), k)

    def forward(self, x):
        tokens = x.reshape(-1, x.size(-1))
        weights, experts = route(self.router(tokens), self.k)
        order = torch.argsort(experts.reshape(-1), stable=True)  # [N k]
        counts = torch.bincount(experts.reshape(-1), minlength=len(self.experts)).tolist()
        pieces = tokens[order // self.k].split(counts)
        done = torch.cat([expert(piece) for expert, piece in zip(self.experts, pieces, strict=True)])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return (done[back].view(-1, self.k, x.size(-1)) * weights[..., None]).sum(1).reshape(x.shape)
