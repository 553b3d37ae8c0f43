"""No sorting: every token counts those above it. The draw adds Gumbel noise to the logits and takes the largest."""

import math

import torch


def apply_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError(f"cannot divide by the temperature {temperature}")
    return torch.div(logits, temperature)


def top_k_filter(logits, k):
    if k < 1:
        raise ValueError(f"k = {k} keeps no token")
    above = (logits[..., None, :] > logits[..., :, None]).sum(-1)  # [..., V]: how many are larger than this one
    return logits + torch.zeros_like(logits).masked_fill(above >= k, -math.inf)


def top_p_filter(logits, p):
    if not (p > 0 and p <= 1):
        raise ValueError(f"p = {p} is no probability of a set")
    weights = logits.double().log_softmax(-1).exp()
    above = logits[..., None, :] > logits[..., :, None]  # [..., V, V]
    held_above = (above * weights[..., None, :]).sum(-1)
    return torch.where((held_above < p) | (above.sum(-1) == 0), logits, torch.tensor(-math.inf, dtype=logits.dtype))


def sample(logits, generator):
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    gumbel = -torch.log(-torch.log1p(-uniform))
    return (logits.double() + gumbel).argmax(dim=-1)
