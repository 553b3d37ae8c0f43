import math

import torch
from torch import nn


class KVCache(list):
    """A list with one pair (key [B, H, D], value [B, H, D]) for each position."""

    def append(self, key, value):
        super().extend(zip(key.unbind(2), value.unbind(2), strict=True))
        keys, values = zip(*self, strict=True)
        return torch.stack(keys, 2), torch.stack(values, 2)


class CachedSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {embed_dim} channels")
        self.num_heads = num_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(embed_dim, embed_dim))

    def forward(self, x, cache=None):
        cache = KVCache() if cache is None else cache
        past = len(cache)
        q, k, v = (
            p(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = cache.append(k, v)
        place = past + torch.arange(x.shape[1])[:, None]
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores.where(torch.arange(k.shape[2]) <= place, -torch.inf)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
