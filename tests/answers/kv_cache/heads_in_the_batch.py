"""Batch and heads in one axis, `baddbmm` with the mask inside, and log-softmax for softmax."""

import torch
from torch import nn


class KVCache:
    keys = values = None

    def append(self, key, value):
        if len(self) == 0:
            self.keys, self.values = key.clone(), value.clone()
        else:
            self.keys = torch.concatenate((self.keys, key), -2)
            self.values = torch.concatenate((self.values, value), -2)
        return self.keys, self.values

    def __len__(self):
        return self.keys.size(-2) if torch.is_tensor(self.keys) else 0


class CachedSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.register_buffer("longest", torch.ones(512, 512, dtype=torch.bool).tril())

    def forward(self, x, cache=None):
        batch, length, width = x.shape
        heads = (batch, length, self.num_heads, self.head_dim)
        queries = self.q_proj(x).reshape(heads).swapaxes(1, 2)
        keys = self.k_proj(x).reshape(heads).swapaxes(1, 2)
        values = self.v_proj(x).reshape(heads).swapaxes(1, 2)
        start = 0
        if cache is not None:
            start = len(cache)
            keys, values = cache.append(keys, values)
        end = start + length
        hidden = torch.zeros(length, end, dtype=x.dtype).masked_fill(~self.longest[start:end, :end], -1e30)
        scores = torch.baddbmm(hidden, queries.flatten(0, 1), keys.flatten(0, 1).mT, alpha=self.head_dim**-0.5)
        mixed = scores.log_softmax(-1).exp().bmm(values.flatten(0, 1)).unflatten(0, (batch, -1))
        return self.out_proj(mixed.permute(0, 2, 1, 3).reshape(batch, length, width))
