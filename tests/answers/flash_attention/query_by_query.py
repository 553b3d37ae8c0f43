"""Loops over the queries, and over one block after the other, in float64."""

import math

import torch


def online_softmax_step(running_max, running_sum, scores):
    m, z, s = running_max.double(), running_sum.double(), scores.double()
    top = torch.max(m, s.max(-1)[0])
    base = top.clone()
    base[torch.isinf(base)] = 0.0
    c = (m - base).exp()
    z = z * c
    for column in s.unbind(-1):
        z = z + (column - base).exp()
    return top.to(scores.dtype), z.to(scores.dtype), c.to(scores.dtype)


def flash_attention(query, key, value, block_size=64, causal=False):
    if block_size < 1:
        raise ValueError(f"cannot look at {block_size} keys at a time")
    B, H, Tq, D = query.shape
    Tk = key.shape[2]
    out = torch.zeros(B, H, Tq, value.shape[3], dtype=torch.float64)
    lse = torch.full((B, H, Tq), -math.inf, dtype=torch.float64)
    for i in range(Tq):
        end = min(Tk, i + Tk - Tq + 1) if causal else Tk
        m = torch.full((B, H), -math.inf, dtype=torch.float64)
        z = torch.zeros(B, H, dtype=torch.float64)
        o = torch.zeros(B, H, value.shape[3], dtype=torch.float64)
        j = 0
        while j < end:
            stop = min(j + block_size, end)
            s = (query[:, :, i, None].double() * key[:, :, j:stop].double()).sum(-1) / math.sqrt(D)
            m, z, c = online_softmax_step(m, z, s)
            w = torch.exp(s - m.unsqueeze(-1))
            o = o * c.unsqueeze(-1) + (w.unsqueeze(-1) * value[:, :, j:stop].double()).sum(2)
            j = stop
        if end > 0:
            out[:, :, i] = o / z.unsqueeze(-1)
            lse[:, :, i] = m + z.log()
    return out.to(query.dtype), lse.to(query.dtype)
