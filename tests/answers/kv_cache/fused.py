"""PyTorch's fused attention with a boolean mask, and a cache that only lists its pieces."""

import torch
import torch.nn.functional as F
from torch import nn


class KVCache:
    def __init__(self):
        self.pieces = []

    def append(self, key, value):
        self.pieces.append((key, value))
        return tuple(torch.cat(tensors, dim=-2) for tensors in zip(*self.pieces, strict=True))

    def __len__(self):
        return sum(key.size(-2) for key, _ in self.pieces)


class CachedSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.heads = num_heads
        for name in ("out_proj", "v_proj", "k_proj", "q_proj"):
            self.add_module(name, nn.Linear(embed_dim, embed_dim))

    def forward(self, x, cache=None):
        B, T, C = x.shape
        past = 0 if cache is None else len(cache)
        q, k, v = (
            p(x).view(B, T, self.heads, C // self.heads).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        if cache is not None:
            k, v = cache.append(k, v)
        if past == 0:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif T == 1:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            queries, keys = torch.arange(past, past + T), torch.arange(past + T)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=keys[None, :] <= queries[:, None])
        return self.out_proj(y.transpose(1, 2).reshape(B, T, C))
