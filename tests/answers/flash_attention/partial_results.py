"""Each block's attention by itself, with its logsumexp; at the end the blocks are weighted by a softmax of those.

Better: no block waits for the one before it, so that all could be computed side by side.
"""

import torch


def online_softmax_step(running_max, running_sum, scores):
    """By way of logarithms."""
    so_far = running_max + running_sum.log()
    new_max = torch.cat([running_max.unsqueeze(-1), scores], dim=-1).max(dim=-1).values
    total = torch.logaddexp(so_far, scores.logsumexp(dim=-1))
    nothing = new_max.isneginf()
    new_sum = (total - new_max).exp().masked_fill(nothing, 0)
    return new_max, new_sum, (running_max - new_max).exp().masked_fill(nothing, 1)


def flash_attention(query, key, value, block_size=64, causal=False):
    if block_size <= 0:
        raise ValueError("block_size must be positive")
    scaled = query * query.size(-1) ** -0.5
    rows = torch.arange(query.size(2)) + (key.size(2) - query.size(2))
    outputs, weights = [], []
    keys, values = key.split(block_size, dim=2), value.split(block_size, dim=2)
    for number, (some_keys, some_values) in enumerate(zip(keys, values, strict=True)):
        scores = torch.einsum("bhqd,bhkd->bhqk", scaled, some_keys)
        if causal:
            columns = torch.arange(some_keys.size(2)) + number * block_size
            scores = torch.where(columns[None, :] <= rows[:, None], scores, -torch.inf)
        weights.append(scores.logsumexp(dim=-1))
        outputs.append(scores.softmax(dim=-1).nan_to_num(0.0) @ some_values)
    together = torch.stack(weights)
    shares = together.softmax(dim=0).nan_to_num(0.0)
    return (torch.stack(outputs) * shares[..., None]).sum(dim=0), together.logsumexp(dim=0)
