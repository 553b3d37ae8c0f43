"""One head after the other, by slices, and the masks put in place by torch.where with a large negative number."""

import torch
from torch import nn


def split_heads(x, num_heads):
    width = x.shape[2]
    if width // num_heads * num_heads != width:
        raise ValueError(f"cannot split {width} columns into {num_heads} equal heads")
    d = width // num_heads
    return torch.stack([x[:, :, h * d : (h + 1) * d] for h in range(num_heads)], dim=1)


def merge_heads(x):
    return torch.cat(list(x.unbind(dim=1)), dim=2)


class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}")
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(embed_dim, embed_dim, bias=True))

    def forward(self, x, mask=None):
        B, T, _ = x.shape
        Q, K, V = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if mask is not None:
            mask = torch.broadcast_to(mask, (B, self.num_heads, T, T))
        answers = []
        for h in range(self.num_heads):
            columns = slice(h * self.head_dim, (h + 1) * self.head_dim)
            scores = torch.bmm(Q[:, :, columns], K[:, :, columns].mT) * self.head_dim**-0.5
            if mask is not None:
                scores = torch.where(mask[:, h], scores, torch.tensor(-1e9, dtype=scores.dtype))
            answers.append(torch.bmm(scores.softmax(2), V[:, :, columns]))
        return self.out_proj(torch.cat(answers, dim=2))
