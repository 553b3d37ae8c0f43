"""The way of the transformers library: doubled angles, `rotate_half`, repeated heads, a float mask that is added."""

import torch
from torch import nn


def rotate_half(x):
    a, b = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-b, a), dim=-1)


def rotate(x, positions, base=10000.0):
    width = x.shape[-1]
    inverse_frequencies = 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    half = positions.float()[:, None] * inverse_frequencies[None, :]
    angles = torch.cat((half, half), dim=-1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return x * cos + rotate_half(x) * sin


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.variance_epsilon = eps

    def forward(self, hidden):
        dtype = hidden.dtype
        hidden = hidden.to(torch.float32)
        variance = hidden.pow(2).mean(-1, keepdim=True)
        hidden = hidden * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden.to(dtype)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.gate_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.act_fn = nn.SiLU()

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


def repeat_kv(x, times):
    batch, heads, length, width = x.shape
    x = x[:, :, None].expand(batch, heads, times, length, width)
    return x.reshape(batch, heads * times, length, width)


class GroupedQueryAttention(nn.Module):
    def __init__(self, dim, num_heads, num_kv_heads=None, base=10000.0):
        super().__init__()
        self.kv_heads = num_kv_heads or num_heads
        self.heads = num_heads
        self.width = dim // num_heads
        self.base = base
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, self.kv_heads * self.width, bias=False)
        self.k_proj = nn.Linear(dim, self.kv_heads * self.width, bias=False)
        self.q_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        batch, length, dim = x.shape
        split = (batch, length, -1, self.width)
        query, key, value = (proj(x).view(split).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj))
        positions = torch.arange(length)
        query, key = rotate(query, positions, self.base), rotate(key, positions, self.base)
        key, value = repeat_kv(key, self.heads // self.kv_heads), repeat_kv(value, self.heads // self.kv_heads)
        mask = torch.full((length, length), torch.finfo(x.dtype).min, dtype=x.dtype).triu(1)
        scores = query @ key.transpose(2, 3) * self.width**-0.5 + mask
        weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(x.dtype)
        return self.o_proj((weights @ value).transpose(1, 2).contiguous().reshape(batch, length, dim))


class LlamaBlock(nn.Module):
    def __init__(self, dim, num_heads, hidden_dim, num_kv_heads=None, base=10000.0, eps=1e-6):
        super().__init__()
        self.self_attn = GroupedQueryAttention(dim, num_heads, num_kv_heads, base)
        self.mlp = SwiGLU(dim, hidden_dim)
        self.input_layernorm = RMSNorm(dim, eps=eps)
        self.post_attention_layernorm = RMSNorm(dim, eps=eps)

    def forward(self, hidden):
        residual = hidden
        hidden = self.self_attn(self.input_layernorm(hidden))
        hidden = residual + hidden
        residual = hidden
        hidden = self.mlp(self.post_attention_layernorm(hidden))
        return residual + hidden
