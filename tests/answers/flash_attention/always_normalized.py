"""The output is normalized after every block, and sum and maximum are kept as one logsumexp; an early end if causal."""

import torch
from torch.nn import functional as F


def online_softmax_step(running_max, running_sum, scores):
    padded = torch.cat((running_max[..., None], scores), -1)
    new_max = padded.amax(-1)
    alive = new_max > -torch.inf
    shift = torch.where(alive, new_max, torch.zeros_like(new_max))
    terms = torch.exp(padded - shift[..., None])
    correction = terms[..., 0]
    weights = torch.ones_like(terms)
    weights[..., 0] = running_sum
    return new_max, torch.linalg.vecdot(terms, weights), correction


def flash_attention(query, key, value, block_size=64, causal=False):
    if not block_size >= 1:
        raise ValueError("the block size has to be at least one key")
    offset = key.shape[-2] - query.shape[-2]
    logsumexp = query.new_full(query.shape[:-1], -torch.inf)
    output = query.new_zeros((*query.shape[:-1], value.shape[-1]))
    for start in range(0, key.shape[-2], block_size):
        stop = min(start + block_size, key.shape[-2])
        scores = query.matmul(key[..., start:stop, :].mT).div(query.shape[-1] ** 0.5)
        if causal and stop - 1 > offset:
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(offset - start)
            scores.masked_fill_(allowed.logical_not(), -torch.inf)
        block = scores.logsumexp(-1)
        together = torch.logaddexp(logsumexp, block)
        share = torch.exp(block - together).nan_to_num(0.0)[..., None]
        mixed = F.softmax(scores, -1).nan_to_num(0.0).matmul(value[..., start:stop, :])
        output = torch.lerp(output, mixed, share.expand_as(output))
        logsumexp = together
    return output, logsumexp
