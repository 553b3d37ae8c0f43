"""The first draft, and then the rest of the step by the function itself.

Better: one draft is the only case to think about.
"""

import torch
from torch.nn.functional import normalize


def acceptance_probability(target, draft, token):
    return torch.exp(torch.log(target[token]) - torch.log(draft[token])).clip(0, 1)


def residual_distribution(target, draft):
    missing = torch.where(target > draft, target - draft, torch.zeros_like(target))
    alike = ~missing.any(dim=-1, keepdim=True)
    return torch.where(alike, target, normalize(missing, p=1, dim=-1))


def speculative_step(target_probs, draft_probs, draft_tokens, generator):
    if draft_tokens.numel() == 0:
        return torch.multinomial(target_probs[0], 1, generator=generator).tolist()
    first = draft_tokens[0].item()
    if torch.rand([], generator=generator) < acceptance_probability(target_probs[0], draft_probs[0], first):
        return [first, *speculative_step(target_probs[1:], draft_probs[1:], draft_tokens[1:], generator)]
    left = residual_distribution(target_probs[:1], draft_probs[:1])
    return torch.multinomial(left, 1, generator=generator)[0].tolist()


def expected_tokens(acceptance_rate, num_draft):
    if not 0.0 <= acceptance_rate <= 1.0:
        raise ValueError("the rate is outside [0, 1]")
    if num_draft < 0:
        raise ValueError("K is below 0")
    powers = torch.full((num_draft + 1,), acceptance_rate, dtype=torch.float64) ** torch.arange(num_draft + 1)
    return powers.sum().item()
