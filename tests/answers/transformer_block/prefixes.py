"""No mask at all: text by text, and for causal attention each position with nothing but what came before it."""

import torch
from torch import nn


class MiniTransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads=2):
        super().__init__()
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.ffn = nn.Sequential()
        self.ffn.append(nn.Linear(embed_dim, 4 * embed_dim))
        self.ffn.append(nn.ReLU())
        self.ffn.append(nn.Linear(4 * embed_dim, embed_dim))
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)

    def one_position(self, text, t, seen):
        heard, _ = self.attn(text[t : t + 1], text[:seen], text[:seen])
        h = self.norm1(text[t] + heard[0])
        return self.norm2(h + self.ffn(h))

    def one_text(self, text, causal):
        T = len(text)
        return torch.stack([self.one_position(text, t, t + 1 if causal else T) for t in range(T)])

    def forward(self, x, causal=False):
        return torch.stack([self.one_text(text, causal) for text in x])
