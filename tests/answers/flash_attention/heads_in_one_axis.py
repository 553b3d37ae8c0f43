"""Texts and heads in one axis, queries in tiles as well, and values with a column of ones that makes the sum."""

import torch


def online_softmax_step(running_max, running_sum, scores):
    shape = running_max.shape
    s, m, z = scores.reshape(-1, scores.shape[-1]), running_max.reshape(-1), running_sum.reshape(-1)
    new = torch.stack((m, s.max(1).values)).max(0).values
    c = torch.where(m == new, torch.ones_like(m), torch.exp(m - new))
    e = torch.where(s == -torch.inf, torch.zeros_like(s), torch.exp(s - new[:, None]))
    return new.reshape(shape), (z * c + e.sum(1)).reshape(shape), c.reshape(shape)


def flash_attention(query, key, value, block_size=64, causal=False):
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}, but at least one key must fit")
    batch, heads, queries, dim = query.shape
    q = query.flatten(0, 1) / torch.tensor(dim, dtype=query.dtype).sqrt()
    k = key.flatten(0, 1)
    v = torch.cat([value, torch.ones_like(value[..., :1])], dim=-1).flatten(0, 1)
    outputs, sums = [], []
    for first in range(0, queries, 16):
        tile = q[:, first : first + 16]
        m = torch.full_like(tile[:, :, :1], -torch.inf)
        o = torch.zeros_like(tile[:, :, :1]).repeat(1, 1, v.shape[2])
        own = torch.arange(first, first + tile.shape[1]).view(1, -1, 1) + k.shape[1] - queries
        for start in range(0, k.shape[1], block_size):
            s = torch.bmm(tile, k[:, start : start + block_size].transpose(1, 2))
            if causal:
                s = s + torch.where(torch.arange(start, start + s.shape[2]) > own, -torch.inf, 0.0).to(s.dtype)
            new, _, c = online_softmax_step(m[..., 0], torch.zeros_like(m[..., 0]), s)
            safe = new.clamp(min=torch.finfo(s.dtype).min)[..., None]
            o = c[..., None] * o + torch.bmm(torch.exp(s - safe), v[:, start : start + block_size])
            m = new[..., None]
        total = o[:, :, -1:]
        outputs.append(torch.where(total > 0, o[:, :, :-1] / total, torch.zeros_like(o[:, :, :-1])))
        sums.append((m + total.log())[..., 0])
    return torch.cat(outputs, 1).unflatten(0, (batch, heads)), torch.cat(sums, 1).unflatten(0, (batch, heads))
