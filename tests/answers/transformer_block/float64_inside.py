"""Functions in place of modules, computed in float64 throughout, with the positions first, and rounded at the end."""

import torch
import torch.nn.functional as F
from torch import nn


class MiniTransformerBlock(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int = 2) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(embed_dim, 4 * embed_dim), nn.ReLU(), nn.Linear(4 * embed_dim, embed_dim))
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)

    def forward(self, x: torch.Tensor, causal: bool = False) -> torch.Tensor:
        w = {name: parameter.double() for name, parameter in self.named_parameters()}
        z = x.double().transpose(0, 1)  # [T, B, C]
        T, _, C = z.shape
        hidden = ~torch.tril(torch.ones(T, T, dtype=torch.bool)) if causal else None
        a, _ = F.multi_head_attention_forward(
            z, z, z, C, self.attn.num_heads, w["attn.in_proj_weight"], w["attn.in_proj_bias"], None, None, False, 0.0,
            w["attn.out_proj.weight"], w["attn.out_proj.bias"], need_weights=False, attn_mask=hidden,
        )  # fmt: skip
        z = F.layer_norm(z + a, (C,), w["norm1.weight"], w["norm1.bias"])
        inner = F.relu(F.linear(z, w["ffn.0.weight"], w["ffn.0.bias"]))
        z = z + F.linear(inner, w["ffn.2.weight"], w["ffn.2.bias"])
        return F.layer_norm(z, (C,), w["norm2.weight"], w["norm2.bias"]).transpose(0, 1).to(x.dtype)
