"""The loss in float64 with class axes in the middle, gradients by autograd.grad, windows by index arithmetic."""

import torch
from llama_block import LlamaBlock, RMSNorm
from torch import nn


class MiniLlama(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        dim: int,
        num_heads: int,
        num_layers: int,
        hidden_dim: int,
        num_kv_heads: int | None = None,
        base: float = 10000.0,
        eps: float = 1e-6,
        tie_embeddings: bool = False,
    ):
        super().__init__()
        self.add_module("embed_tokens", nn.Embedding(vocab_size, dim))
        numbered = {str(n): LlamaBlock(dim, num_heads, hidden_dim, num_kv_heads, base, eps) for n in range(num_layers)}
        self.layers = nn.ModuleDict(numbered)
        self.add_module("norm", RMSNorm(dim, eps))
        self.add_module("lm_head", nn.Linear(dim, vocab_size, bias=False))
        if tie_embeddings:
            self.lm_head.register_parameter("weight", self.embed_tokens.get_parameter("weight"))

    def forward(self, ids):
        stream = nn.functional.embedding(ids, self.embed_tokens.weight)
        for name in sorted(self.layers, key=int):
            stream = self.layers[name](stream)
        return torch.einsum("btc,vc->btv", self.norm(stream), self.lm_head.weight)


def next_token_loss(logits, ids):
    by_class = logits.double()[:, :-1].transpose(1, 2)  # [B, V, T - 1]
    each = nn.functional.cross_entropy(by_class, ids[:, 1:], reduction="none")
    return (each.sum() / each.numel()).to(logits.dtype)


def sample_batch(data, batch_size, context_length, generator):
    windows = data.numel() - context_length + 1
    starts = torch.empty(batch_size, dtype=torch.int64).random_(windows, generator=generator)
    offsets = torch.arange(context_length).expand(batch_size, -1)
    return torch.gather(data.expand(batch_size, -1), 1, offsets + starts.view(-1, 1))


def train_step(model, optimizer, ids):
    parameters = list(model.parameters())
    loss = next_token_loss(model(ids), ids)
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.detach().numpy().item()
