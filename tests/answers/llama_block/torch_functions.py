"""PyTorch's own functions wherever there is one, and complex numbers for the rotation."""

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(dim, hidden_dim, False), nn.Linear(dim, hidden_dim, False)
        self.down_proj = nn.Linear(hidden_dim, dim, False)

    def forward(self, x):
        both = torch.cat([self.up_proj(x), self.gate_proj(x)], dim=-1)
        return self.down_proj(F.glu(both, dim=-1) * self.gate_proj(x))  # up * sigmoid(gate) * gate


def rotate(x, positions, base=10000.0):
    half = x.shape[-1] // 2
    speeds = torch.logspace(0, -1, half + 1, base=base, dtype=torch.float64)[:half]
    turns = torch.polar(torch.ones(len(positions), half, dtype=torch.float64), torch.outer(positions.double(), speeds))
    points = torch.complex(x[..., :half].double(), x[..., half:].double()) * turns
    return torch.cat([points.real, points.imag], dim=-1).type_as(x)


class GroupedQueryAttention(nn.Module):
    def __init__(self, dim, num_heads, num_kv_heads=None, base=10000.0):
        super().__init__()
        kv_dim = dim // num_heads * (num_kv_heads or num_heads)
        self.q_proj, self.o_proj = nn.Linear(dim, dim, False), nn.Linear(dim, dim, False)
        self.k_proj, self.v_proj = nn.Linear(dim, kv_dim, False), nn.Linear(dim, kv_dim, False)
        self.width, self.base = dim // num_heads, base

    def forward(self, x):
        q, k, v = (
            f(x).unflatten(-1, (-1, self.width)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj)
        )
        where = torch.arange(x.shape[1])
        q, k = rotate(q, where, self.base), rotate(k, where, self.base)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class LlamaBlock(nn.Module):
    def __init__(self, dim, num_heads, hidden_dim, num_kv_heads=None, base=10000.0, eps=1e-6):
        super().__init__()
        self.mlp, self.self_attn = SwiGLU(dim, hidden_dim), GroupedQueryAttention(dim, num_heads, num_kv_heads, base)
        self.post_attention_layernorm, self.input_layernorm = RMSNorm(dim, eps), RMSNorm(dim, eps)

    def forward(self, x):
        attended = x + self.self_attn(self.input_layernorm(x))
        return attended.add(self.mlp(self.post_attention_layernorm(attended)))
