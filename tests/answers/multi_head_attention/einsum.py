"""Einsum on reshaped weights, a float mask that is added, and a softmax by logsumexp."""

import torch
from torch import nn


def split_heads(x, num_heads):
    _, t, c = x.shape
    d, rest = divmod(c, num_heads)
    if rest:
        raise ValueError("num_heads has to divide the last axis")
    columns = torch.arange(c).reshape(num_heads, 1, d)
    return x[:, torch.arange(t)[None, :, None], columns]


def merge_heads(x):
    b, h, t, d = x.shape
    return torch.einsum("bhtd->bthd", x).reshape(b, t, h * d)


class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int):
        if embed_dim % num_heads > 0:
            raise ValueError("num_heads has to divide embed_dim")
        super().__init__()
        self.shape = (num_heads, embed_dim // num_heads)
        self.q_proj, self.k_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.v_proj, self.out_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)

    def project(self, x, layer):
        weight, bias = layer.weight.unflatten(0, self.shape), layer.bias.unflatten(0, self.shape)
        return torch.einsum("btc,hdc->bhtd", x, weight) + bias.unsqueeze(1)

    def forward(self, x, mask=None):
        q, k, v = (self.project(x, layer) for layer in (self.q_proj, self.k_proj, self.v_proj))
        scores = torch.einsum("bhqd,bhkd->bhqk", q * self.shape[1] ** -0.5, k)
        if mask is not None:
            scores = scores + torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask.logical_not(), float("-inf"))
        weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
        out = self.out_proj.weight.unflatten(1, self.shape)
        return torch.einsum("bhqk,bhkd,chd->bqc", weights, v, out) + self.out_proj.bias
