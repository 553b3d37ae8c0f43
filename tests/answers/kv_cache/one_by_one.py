"""Every token alone, however many come together: a token sees what is there already, so nothing has to be masked."""

import torch
from torch import nn


class KVCache:
    def __init__(self):
        self.steps = []

    def append(self, key, value):
        self.steps.extend(zip(key.unbind(2), value.unbind(2), strict=True))
        keys, values = zip(*self.steps, strict=True)
        return torch.stack(keys, 2), torch.stack(values, 2)

    def __len__(self):
        return len(self.steps)


class CachedSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if embed_dim % num_heads != 0:
            raise ValueError("The heads must divide the features.")
        self.shape = (num_heads, embed_dim // num_heads)
        self.q_proj, self.k_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.v_proj, self.out_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, x, cache=None):
        memory = KVCache() if cache is None else cache
        return torch.stack([self.read(token, memory) for token in x.unbind(1)], dim=1)

    def read(self, token, memory):
        query = self.q_proj(token).unflatten(-1, self.shape)  # [B, H, D]
        key = self.k_proj(token).unflatten(-1, self.shape).unsqueeze(2)
        value = self.v_proj(token).unflatten(-1, self.shape).unsqueeze(2)
        keys, values = memory.append(key, value)
        scores = (query.unsqueeze(2) * keys).sum(-1) / self.shape[1] ** 0.5  # [B, H, S]
        weights = scores.softmax(-1)
        return self.out_proj((weights.unsqueeze(-1) * values).sum(2).flatten(1))
