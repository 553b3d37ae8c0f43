"""Sums by name: query heads are grouped, so that no key or value is repeated; the rotation is a 2x2 matrix.

Better: no key and no value is repeated, so that shared heads save memory in the computation as well.
"""

import torch
from torch import einsum, nn


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.register_parameter("weight", nn.Parameter(torch.full((dim,), 1.0)))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = einsum("...c,...c->...", wide, wide).unsqueeze(-1) / x.size(-1)
        return (wide / (mean_square + self.eps) ** 0.5 * self.weight).to(x.dtype)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x):
        gate = einsum("...c,fc->...f", x, self.gate_proj.weight)
        up = einsum("...c,fc->...f", x, self.up_proj.weight)
        return einsum("...f,...f,cf->...c", gate / (1 + (-gate).exp()), up, self.down_proj.weight)


def rotate(x, positions, base=10000.0):
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    pairs = x.to(wide).unflatten(-1, (2, -1))  # [B, H, T, 2, D/2]
    count = pairs.shape[-1]
    angles = einsum("t,i->ti", positions.to(wide), base ** -(torch.arange(count, dtype=wide) / count))
    matrix = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()]).unflatten(
        0, (2, 2)
    )  # [2, 2, T, D/2]
    return einsum("uvti,bhtvi->bhtui", matrix, pairs).flatten(-2).to(x.dtype)


class GroupedQueryAttention(nn.Module):
    def __init__(self, dim, num_heads, num_kv_heads=None, base=10000.0):
        super().__init__()
        self.base, self.width = base, dim // num_heads
        self.groups = num_heads if num_kv_heads is None else num_kv_heads
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_proj = nn.Linear(dim, self.groups * self.width, bias=False)
        self.v_proj = nn.Linear(dim, self.groups * self.width, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        positions = torch.arange(x.shape[1])
        heads = [
            torch.stack(f(x).split(self.width, dim=-1), dim=1) for f in (self.q_proj, self.k_proj, self.v_proj)
        ]  # [B, heads, T, D]
        query = rotate(heads[0], positions, self.base).unflatten(1, (self.groups, -1))  # [B, G, R, T, D]
        key, value = rotate(heads[1], positions, self.base), heads[2]
        scores = einsum("bgrqd,bgkd->bgrqk", query, key) / self.width**0.5
        past = positions[:, None] >= positions
        weights = torch.where(past, scores, torch.tensor(float("-inf"), dtype=x.dtype)).softmax(-1)
        merged = einsum("bgrqk,bgkd->bqgrd", weights, value).flatten(2)
        return self.o_proj(merged)


class LlamaBlock(nn.Module):
    def __init__(self, dim, num_heads, hidden_dim, num_kv_heads=None, base=10000.0, eps=1e-6):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(dim, eps), RMSNorm(dim, eps)
        self.self_attn = GroupedQueryAttention(dim, num_heads, num_kv_heads, base)
        self.mlp = SwiGLU(dim, hidden_dim)

    def forward(self, x):
        x = self.self_attn(self.input_layernorm(x)) + x
        return self.mlp(self.post_attention_layernorm(x)) + x
