"""Everything by hand: einsum, a softmax, norms from their formula. The modules only hold weights.

Better: nothing is hidden: every number of the block can be looked at on its way.
"""

import math

import torch
from torch import nn


def norm(z, layer):
    centered = z - z.mean(-1, keepdim=True)
    variance = (centered * centered).mean(-1, keepdim=True)
    return centered * torch.rsqrt(variance + layer.eps) * layer.weight + layer.bias


class MiniTransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(embed_dim, 4 * embed_dim), nn.ReLU(), nn.Linear(4 * embed_dim, embed_dim))
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)

    def attention(self, x, causal):
        B, T, C = x.shape
        H = self.num_heads
        D = C // H
        weight = self.attn.in_proj_weight.reshape(3, H, D, C)
        bias = self.attn.in_proj_bias.reshape(3, H, 1, D)
        q, k, v = torch.einsum("btc,nhdc->nbhtd", x, weight) + bias[:, None]
        scores = torch.einsum("bhtd,bhsd->bhts", q / math.sqrt(D), k)
        if causal:
            later = torch.arange(T) > torch.arange(T)[:, None]
            scores = torch.where(later, torch.full_like(scores, -1e9), scores)
        exponentials = torch.exp(scores - scores.amax(-1, keepdim=True))
        weights = exponentials / exponentials.sum(-1, keepdim=True)
        mixed = torch.einsum("bhts,bhsd->bthd", weights, v).reshape(B, T, C)
        return mixed @ self.attn.out_proj.weight.T + self.attn.out_proj.bias

    def forward(self, x, causal=False):
        h = norm(x + self.attention(x, causal), self.norm1)
        inner = (h @ self.ffn[0].weight.T + self.ffn[0].bias).clamp(min=0)
        return norm(h + inner @ self.ffn[2].weight.T + self.ffn[2].bias, self.norm2)
