"""A tied model without a second name for the weight, which is used twice; loss by gather, starts by multinomial.

Better: a tied weight has one name, so that nothing can come apart when weights are loaded or cast.
"""

import torch
from llama_block import LlamaBlock, RMSNorm
from torch import nn
from torch.nn.functional import linear


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
        self.norm = RMSNorm(dim, eps)
        blocks = [LlamaBlock(dim, num_heads, hidden_dim, num_kv_heads, base, eps) for _ in range(num_layers)]
        self.layers = nn.Sequential(*blocks)
        self.embed_tokens = nn.Embedding(vocab_size, dim, _weight=torch.randn(vocab_size, dim) / dim**0.5)
        if not tie_embeddings:
            self.lm_head = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, ids):
        head = self.lm_head if hasattr(self, "lm_head") else self.embed_tokens
        return linear(self.norm(self.layers(self.embed_tokens(ids))), head.weight)


def next_token_loss(logits, ids):
    log_p = torch.log_softmax(logits, dim=-1)[:, :-1]
    return log_p.gather(-1, ids[:, 1:].unsqueeze(-1)).mean().neg()


def sample_batch(data, batch_size, context_length, generator):
    windows = data.unfold(0, context_length, 1)
    return windows[torch.multinomial(torch.ones(len(windows)), batch_size, replacement=True, generator=generator)]


def train_step(model, optimizer, ids):
    def closure():
        optimizer.zero_grad()
        loss = next_token_loss(model(ids), ids)
        loss.backward()
        return loss

    return optimizer.step(closure).item()
