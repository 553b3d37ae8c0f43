"""Position by position, with only the keys that it may see, and in float64 until the last projection."""

import math

import torch
from torch import nn


def split_heads(x, num_heads):
    if num_heads < 1 or x.shape[-1] % num_heads:
        raise ValueError(f"{num_heads} heads do not fit")
    return x.reshape(x.shape[0], x.shape[1], num_heads, -1).swapaxes(1, 2)


def merge_heads(x):
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not fit")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def one_query(self, q, keys, values, allowed):
        scores = keys[allowed] @ q / math.sqrt(len(q))
        return scores.softmax(0) @ values[allowed]

    def forward(self, x, mask=None):
        B, T, C = x.shape
        H = self.num_heads
        q, k, v = (split_heads(layer(x).double(), H) for layer in (self.q_proj, self.k_proj, self.v_proj))
        mask = torch.ones(T, T, dtype=torch.bool) if mask is None else mask
        mask = mask.expand(B, H, T, T)
        mixed = [
            self.one_query(q[b, h, t], k[b, h], v[b, h], mask[b, h, t])
            for b in range(B)
            for h in range(H)
            for t in range(T)
        ]
        return self.out_proj(merge_heads(torch.stack(mixed).reshape(B, H, T, C // H)).to(x.dtype))
