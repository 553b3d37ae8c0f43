"""From the most probable token down: a token goes if those before it already hold p; then an inverse permutation."""

import torch


def apply_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature has to be strictly positive")
    return logits * (1.0 / temperature)


def top_k_filter(logits, k):
    if k < 1:
        raise ValueError("k has to be one or more")
    ordered = logits.sort(dim=-1, descending=True).values
    threshold = ordered[..., min(k, logits.size(-1)) - 1].unsqueeze(-1)
    return logits.masked_fill(logits < threshold, float("-inf"))


def top_p_filter(logits, p):
    if p <= 0.0 or p > 1.0:
        raise ValueError("p has to be in (0, 1]")
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = torch.softmax(ordered, dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return ordered.gather(-1, order.argsort(dim=-1))


def sample(logits, generator):
    batch, vocabulary = logits.shape[:-1], logits.shape[-1]
    probabilities = torch.softmax(logits, dim=-1).view(-1, vocabulary)
    return torch.multinomial(probabilities, 1, generator=generator).view(batch)
