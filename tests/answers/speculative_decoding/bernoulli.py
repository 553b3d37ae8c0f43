"""Coins by torch.bernoulli, draws by the Gumbel trick, and the residual by maximum.

Better: `torch.bernoulli` says yes or no by itself, and nothing is compared.
"""

import torch


def acceptance_probability(target, draft, token):
    ratio = target / draft.clamp(min=torch.finfo(draft.dtype).tiny)
    return torch.clamp_max(ratio, 1)[token]


def residual_distribution(target, draft):
    rest = torch.maximum(target, draft) - draft
    norm = rest.sum(-1, keepdim=True)
    return torch.where(norm == 0, target, torch.nan_to_num(rest / norm))


def draw(probabilities, generator):
    waiting = torch.empty_like(probabilities).exponential_(generator=generator)
    return int((probabilities / waiting).argmax())


def speculative_step(target_probs, draft_probs, draft_tokens, generator):
    kept = []
    rows = zip(target_probs[:-1], draft_probs, draft_tokens, strict=True)
    for target, draft, token in rows:
        coin = torch.bernoulli(acceptance_probability(target, draft, token), generator=generator)
        if not coin:
            return [*kept, draw(residual_distribution(target, draft), generator)]
        kept += [int(token)]
    return [*kept, draw(target_probs[-1], generator)]


def expected_tokens(acceptance_rate, num_draft):
    if acceptance_rate != min(max(acceptance_rate, 0), 1):
        raise ValueError("acceptance_rate is no probability")
    if num_draft < 0:
        raise ValueError("num_draft is negative")
    return 1.0 if num_draft == 0 else 1.0 + acceptance_rate * expected_tokens(acceptance_rate, num_draft - 1)
