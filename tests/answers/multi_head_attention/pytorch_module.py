"""PyTorch's own multi-head function: positions first, and masks that say what is hidden, all heads in a row."""

import torch
import torch.nn.functional as F
from torch import nn


def split_heads(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError("columns left over")
    return x.view(*x.shape[:2], num_heads, -1).movedim(2, 1)


def merge_heads(x):
    return x.movedim(1, 2).contiguous().view(x.shape[0], x.shape[2], -1)


class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        for name in ("q", "k", "v", "out"):
            self.add_module(f"{name}_proj", nn.Linear(embed_dim, embed_dim))
        split_heads(torch.zeros(1, 1, embed_dim), num_heads)

    def forward(self, x, mask=None):
        B, T, C = x.shape
        if mask is not None:
            mask = (~mask).expand(B, self.num_heads, T, T).reshape(-1, T, T)
        turned = x.transpose(0, 1)
        biases = torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])
        out, _ = F.multi_head_attention_forward(
            turned, turned, turned, C, self.num_heads, None, biases, None, None, False, 0.0,
            self.out_proj.weight, self.out_proj.bias, attn_mask=mask, use_separate_proj_weight=True,
            q_proj_weight=self.q_proj.weight, k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
        )  # fmt: skip
        return out.transpose(0, 1)
