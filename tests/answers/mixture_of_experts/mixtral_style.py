"""As in Mixtral's code: softmax first and normalized then, one-hot masks, index_add in place; argsort for the ties."""

import torch
import torch.nn.functional as F
from llama_block import SwiGLU
from torch import nn


def route(logits, k):
    num_experts = logits.size(-1)
    if k not in range(1, num_experts + 1):
        raise ValueError(f"cannot choose {k} of {num_experts} experts")
    experts = torch.argsort(-logits, dim=-1, stable=True)[..., :k]
    chosen = torch.gather(logits, -1, experts)
    scores = torch.exp(chosen - chosen.amax(dim=-1, keepdim=True))
    return scores / scores.sum(dim=-1, keepdim=True), experts


def load_balancing_loss(logits, experts):
    num_experts = logits.shape[-1]
    mask = F.one_hot(experts, num_experts).to(logits.dtype)  # [N, k, E]
    tokens_per_expert = mask.mean(dim=(0, 1))
    return torch.dot(tokens_per_expert, F.softmax(logits, dim=-1).mean(0)) * num_experts


class MixtureOfExperts(nn.Module):
    def __init__(self, dim, hidden_dim, num_experts, k):
        super().__init__()
        if k <= 0 or k > num_experts:
            raise ValueError("k is out of range")
        self.num_experts, self.top_k = num_experts, k
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList([SwiGLU(dim, hidden_dim) for _ in range(num_experts)])

    def forward(self, hidden_states):
        shape = hidden_states.shape
        hidden_states = hidden_states.reshape(-1, shape[-1])
        weights, selected = route(self.router(hidden_states), self.top_k)
        final = torch.zeros_like(hidden_states)
        mask = F.one_hot(selected, self.num_experts).permute(2, 1, 0)
        for number in range(self.num_experts):
            place, token = torch.where(mask[number])
            current = self.experts[number](hidden_states[token]) * weights[token, place, None]
            final.index_add_(0, token, current.to(final.dtype))
        return final.reshape(shape)
