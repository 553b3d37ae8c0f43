"""Stand-in for `llama_block`, by PyTorch's own norm and attention, and complex numbers for the rotation."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu


class RMSNorm(nn.RMSNorm):
    """As the exercise asks."""

    def __init__(self, dim, eps=1e-6):
        super().__init__(dim, eps)


class SwiGLU(nn.Module):
    """As the exercise asks."""

    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x):
        """As the exercise asks."""
        return self.down_proj(silu(self.gate_proj(x)).mul(self.up_proj(x)))


def rotate(x, positions, base=10000.0):
    """As the exercise asks."""
    real, imaginary = x.float().chunk(2, dim=-1)
    speeds = torch.logspace(0, -1, real.shape[-1] + 1, base, device=x.device)[:-1]
    angles = torch.outer(positions.to(speeds.dtype), speeds)
    points = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([points.real, points.imag], dim=-1).to(x.dtype)


class GroupedQueryAttention(nn.Module):
    """As the exercise asks."""

    def __init__(self, dim, num_heads, num_kv_heads=None, base=10000.0):
        super().__init__()
        self.head_dim, self.base = dim // num_heads, base
        shared = self.head_dim * (num_kv_heads or num_heads)
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_proj = nn.Linear(dim, shared, bias=False)
        self.v_proj = nn.Linear(dim, shared, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def _heads(self, x):
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x):
        """As the exercise asks."""
        positions = torch.arange(x.shape[1], device=x.device)
        query = rotate(self._heads(self.q_proj(x)), positions, self.base)
        key = rotate(self._heads(self.k_proj(x)), positions, self.base)
        value = self._heads(self.v_proj(x))
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class LlamaBlock(nn.Module):
    """As the exercise asks."""

    def __init__(self, dim, num_heads, hidden_dim, num_kv_heads=None, base=10000.0, eps=1e-6):
        super().__init__()
        self.input_layernorm = RMSNorm(dim, eps)
        self.self_attn = GroupedQueryAttention(dim, num_heads, num_kv_heads, base)
        self.post_attention_layernorm = RMSNorm(dim, eps)
        self.mlp = SwiGLU(dim, hidden_dim)

    def forward(self, x):
        """As the exercise asks."""
        x = torch.add(x, self.self_attn(self.input_layernorm(x)))
        return torch.add(x, self.mlp(self.post_attention_layernorm(x)))
