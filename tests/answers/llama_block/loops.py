"""One head, one query at a time, in float64 throughout; a token's query only ever meets the keys up to its own."""

import math

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.dim, self.eps = dim, eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        wide = x.double()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return (wide / torch.sqrt(length * length / self.dim + self.eps) * self.weight.double()).to(x.dtype)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x):
        gate, up, down = (layer.weight.double() for layer in (self.gate_proj, self.up_proj, self.down_proj))
        wide = x.double()
        gates = wide @ gate.T
        return ((gates * torch.sigmoid(gates) * (wide @ up.T)) @ down.T).to(x.dtype)


def rotate(x, positions, base=10000.0):
    half = x.shape[-1] // 2
    columns = [None] * (2 * half)
    for i in range(half):
        angles = positions.double() / math.exp(2 * i / (2 * half) * math.log(base))
        a, b = x[..., i].double(), x[..., i + half].double()
        columns[i] = a * torch.cos(angles) - b * torch.sin(angles)
        columns[i + half] = a * torch.sin(angles) + b * torch.cos(angles)
    return torch.stack(columns, dim=-1).to(x.dtype)


class GroupedQueryAttention(nn.Module):
    def __init__(self, dim, num_heads, num_kv_heads=None, base=10000.0):
        super().__init__()
        self.num_heads, self.num_kv_heads, self.base = num_heads, num_kv_heads or num_heads, base
        self.width = dim // num_heads
        self.q_proj = nn.Linear(dim, num_heads * self.width, bias=False)
        self.k_proj = nn.Linear(dim, self.num_kv_heads * self.width, bias=False)
        self.v_proj = nn.Linear(dim, self.num_kv_heads * self.width, bias=False)
        self.o_proj = nn.Linear(num_heads * self.width, dim, bias=False)

    def forward(self, x):
        length, width = x.shape[1], self.width
        positions = torch.arange(length)
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        outputs = []
        for head in range(self.num_heads):
            shared = head // (self.num_heads // self.num_kv_heads)
            q = rotate(query[:, None, :, head * width : (head + 1) * width], positions, self.base)[:, 0]
            k = rotate(key[:, None, :, shared * width : (shared + 1) * width], positions, self.base)[:, 0]
            v = value[:, :, shared * width : (shared + 1) * width]
            rows = []
            for t in range(length):
                scores = (k[:, : t + 1] * q[:, t : t + 1]).sum(-1) / math.sqrt(width)  # [B, t + 1]
                weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
                rows.append((weights[..., None] * v[:, : t + 1]).sum(1))
            outputs.append(torch.stack(rows, dim=1))
        return self.o_proj(torch.cat(outputs, dim=-1))


class LlamaBlock(nn.Module):
    def __init__(self, dim, num_heads, hidden_dim, num_kv_heads=None, base=10000.0, eps=1e-6):
        super().__init__()
        self.add_module("input_layernorm", RMSNorm(dim, eps))
        self.add_module("self_attn", GroupedQueryAttention(dim, num_heads, num_kv_heads, base))
        self.add_module("post_attention_layernorm", RMSNorm(dim, eps))
        self.add_module("mlp", SwiGLU(dim, hidden_dim))

    def forward(self, x):
        for norm, part in ((self.input_layernorm, self.self_attn), (self.post_attention_layernorm, self.mlp)):
            x = x + part(norm(x))
        return x
