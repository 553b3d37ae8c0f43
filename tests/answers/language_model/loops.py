"""Loops: the table as a product with one-hot rows, the loss one position at a time, a batch one start at a time."""

import torch
from llama_block import LlamaBlock, RMSNorm
from torch import nn


class MiniLlama(nn.Module):
    def __init__(
        self,
        vocab_size,
        dim,
        num_heads,
        num_layers,
        hidden_dim,
        num_kv_heads=None,
        base=10000.0,
        eps=1e-6,
        tie_embeddings=False,
    ):
        super().__init__()
        self.lm_head = nn.Linear(dim, vocab_size, bias=False)
        self.norm = RMSNorm(dim, eps)
        self.layers = nn.ModuleList()
        while len(self.layers) < num_layers:
            self.layers.append(LlamaBlock(dim, num_heads, hidden_dim, num_kv_heads, base, eps))
        self.embed_tokens = nn.Embedding(vocab_size, dim)
        if tie_embeddings:
            self.embed_tokens.weight = self.lm_head.weight

    def forward(self, ids):
        texts = []
        for text in ids:
            one_hot = torch.nn.functional.one_hot(text, self.embed_tokens.num_embeddings)
            x = (one_hot.to(self.embed_tokens.weight.dtype) @ self.embed_tokens.weight)[None]
            for layer in self.layers:
                x = layer(x)
            texts.append(self.norm(x)[0] @ self.lm_head.weight.T)
        return torch.stack(texts)


def next_token_loss(logits, ids):
    total, count = 0.0, 0
    for row, text in zip(logits, ids, strict=True):
        for t in range(len(text) - 1):
            total = total + torch.logsumexp(row[t], dim=0) - row[t, text[t + 1]]
            count += 1
    return total / count


def sample_batch(data, batch_size, context_length, generator):
    rows = []
    for _ in range(batch_size):
        start = int(torch.rand(1, generator=generator, dtype=torch.float64) * (len(data) - context_length + 1))
        rows.append([int(token) for token in data[start : start + context_length]])
    return torch.tensor(rows, dtype=data.dtype)


def train_step(model, optimizer, ids):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    loss = next_token_loss(model(ids), ids)
    value = loss.item()
    loss.backward()
    optimizer.step()
    return value
