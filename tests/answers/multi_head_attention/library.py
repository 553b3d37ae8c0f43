"""PyTorch's scaled_dot_product_attention, unflatten and flatten, and one stacked projection.

Better: the library's function need not hold the weights of all heads at once.
"""

import torch
import torch.nn.functional as F
from torch import nn


def _check(width, num_heads):
    if width % num_heads != 0:
        raise ValueError("the number of heads must divide the width")


def split_heads(x, num_heads):
    _check(x.size(-1), num_heads)
    return x.unflatten(-1, (num_heads, -1)).permute(0, 2, 1, 3)


def merge_heads(x):
    return x.permute(0, 2, 1, 3).flatten(start_dim=2)


class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        _check(embed_dim, num_heads)
        self.heads = num_heads
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None):
        layers = (self.q_proj, self.k_proj, self.v_proj)
        stacked = F.linear(
            x, torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
        )
        q, k, v = (split_heads(part, self.heads) for part in stacked.chunk(3, dim=-1))
        return self.out_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
