"""A float mask of -inf, attention weights asked for and thrown away, and the parts made in another order."""

import torch
import torch.nn as nn


class MiniTransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads=2):
        super().__init__()
        self.norm2 = nn.LayerNorm(embed_dim)
        self.norm1 = nn.LayerNorm(embed_dim)
        layers = [nn.Linear(embed_dim, embed_dim * 4), nn.ReLU(inplace=True), nn.Linear(embed_dim * 4, embed_dim)]
        self.ffn = nn.Sequential(*layers)
        self.attn = nn.MultiheadAttention(num_heads=num_heads, embed_dim=embed_dim, batch_first=True)

    def forward(self, x, causal=False):
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1)) if causal else None
        attn_out, _weights = self.attn(query=x, key=x, value=x, attn_mask=mask, is_causal=causal)
        out1 = self.norm1(torch.add(attn_out, x))
        out2 = self.norm2(self.ffn(out1) + out1)
        return out2
