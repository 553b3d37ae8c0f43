"""Key after key with a running maximum and sum, as fused kernels do it; one matrix for all three projections."""

import torch
from torch import nn
from torch.nn import functional as F


class KVCache:
    def __init__(self):
        self.kv = None

    def append(self, key, value):
        new = torch.stack((key, value))
        self.kv = new if self.kv is None else torch.cat((self.kv, new), dim=3)
        return list(self.kv)

    def __len__(self):
        return 0 if self.kv is None else self.kv.shape[3]


class CachedSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x, cache=None):
        projections = self.q_proj, self.k_proj, self.v_proj
        weight, bias = torch.cat([p.weight for p in projections]), torch.cat([p.bias for p in projections])
        packed = F.linear(x, weight, bias).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.append(key, value)
        first = key.shape[2] - query.shape[2]
        position = torch.arange(first, key.shape[2]).unsqueeze(-1)  # [T, 1]
        largest = torch.full_like(query[..., :1], -torch.inf)  # [B, H, T, 1]
        total, mixed = torch.zeros_like(largest), torch.zeros_like(query)
        for s in range(key.shape[2]):
            score = (query * key[:, :, s : s + 1]).sum(-1, keepdim=True) / query.shape[-1] ** 0.5
            score = score.masked_fill(position < s, -torch.inf)
            new_largest = torch.maximum(largest, score)
            shrink, weight = torch.exp(largest - new_largest), torch.exp(score - new_largest)
            total = total * shrink + weight
            mixed = mixed * shrink + weight * value[:, :, s : s + 1]
            largest = new_largest
        return self.out_proj((mixed / total).transpose(1, 2).flatten(2))
