"""Token by token and choice by choice, as the formula has it."""

import torch
from llama_block import SwiGLU
from torch import nn


def route(logits, k):
    if k < 1 or k > logits.shape[1]:
        raise ValueError("k must lie between 1 and the number of experts")
    all_experts, all_weights = [], []
    for row in logits:
        numbers = row.tolist()
        chosen = sorted(range(len(numbers)), key=lambda number: -numbers[number])[:k]
        all_experts.append(torch.tensor(chosen))
        all_weights.append(torch.softmax(torch.stack([row[number] for number in chosen]), dim=0))
    return torch.stack(all_weights), torch.stack(all_experts)


def load_balancing_loss(logits, experts):
    size = logits.shape[1]
    loss = logits.new_zeros(())
    for number in range(size):
        part = sum(row.count(number) for row in experts.tolist()) / experts.numel()
        probability = torch.stack([torch.softmax(row, dim=0)[number] for row in logits]).mean()
        loss = loss + size * part * probability
    return loss


class MixtureOfExperts(nn.Module):
    def __init__(self, dim, hidden_dim, num_experts, k):
        super().__init__()
        if not (k >= 1 and k <= num_experts):
            raise ValueError("there is no such number of experts to choose")
        self.experts = nn.ModuleList()
        for _ in range(num_experts):
            self.experts.append(SwiGLU(dim, hidden_dim))
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.k = k

    def forward(self, x):
        texts = []
        for text in x:
            weights, experts = route(self.router(text), self.k)
            mixed = [
                sum(w * self.experts[e](token) for w, e in zip(weights[t], experts[t].tolist(), strict=True))
                for t, token in enumerate(text)
            ]
            texts.append(torch.stack(mixed))
        return torch.stack(texts)
