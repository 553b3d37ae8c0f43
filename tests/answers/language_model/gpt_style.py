"""The way of small GPT repositories: slices stacked to a batch, `view`, gradients cleared after the step."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from llama_block import LlamaBlock, RMSNorm


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
        self.config = {"vocab_size": vocab_size, "dim": dim}
        self.embed_tokens = nn.Embedding(vocab_size, dim)
        self.layers = nn.ModuleList([])
        for _ in range(num_layers):
            self.layers.append(LlamaBlock(dim, num_heads, hidden_dim, num_kv_heads=num_kv_heads, base=base, eps=eps))
        self.norm = RMSNorm(dim, eps=eps)
        self.lm_head = nn.Linear(dim, vocab_size, bias=False)
        if tie_embeddings:
            self.embed_tokens.weight = self.lm_head.weight
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, idx):
        b, t = idx.size()
        x = self.embed_tokens(idx)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x)).view(b, t, self.config["vocab_size"])


def next_token_loss(logits, ids):
    shift_logits = logits[..., :-1, :].contiguous()
    shift_labels = ids[..., 1:].contiguous()
    return F.cross_entropy(shift_logits.view(-1, shift_logits.size(-1)), shift_labels.view(-1), ignore_index=-1)


def sample_batch(data, batch_size, context_length, generator):
    ix = torch.randint(0, len(data) - context_length + 1, (batch_size,), generator=generator)
    return torch.stack([data[i : i + context_length] for i in ix])


def train_step(model, optimizer, ids):
    model.train()
    loss = next_token_loss(model(ids), ids)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss)
