"""All random numbers at once, and draws by the inverse of the cumulative sum, in float64.

Better: all random numbers come at once, and float64 leaves no rounding to think of.
"""

import torch


def acceptance_probability(target, draft, token):
    return torch.minimum(target[token] / draft[token], torch.ones_like(target[token]))


def residual_distribution(target, draft):
    gain = torch.relu(target - draft)
    sums = gain.sum(-1, keepdim=True).expand_as(gain)
    result = target.clone()
    result[sums > 0] = (gain / sums)[sums > 0]
    return result


def pick(probabilities, chance):
    steps = probabilities.double().cumsum(0)
    place = torch.searchsorted(steps, chance * steps[-1], right=True)
    return min(int(place), len(steps) - 1)


def speculative_step(target_probs, draft_probs, draft_tokens, generator):
    count = draft_tokens.shape[0]
    chances = torch.rand(count + 1, generator=generator, dtype=torch.float64)
    places = torch.arange(count)
    quotients = target_probs[:-1][places, draft_tokens] / draft_probs[places, draft_tokens]
    refused = (chances[:-1] >= quotients).nonzero().flatten()
    if len(refused) == 0:
        return [*draft_tokens.tolist(), pick(target_probs[count], chances[-1])]
    first = int(refused[0])
    residual = residual_distribution(target_probs[first], draft_probs[first])
    return [*draft_tokens[:first].tolist(), pick(residual, chances[-1])]


def expected_tokens(acceptance_rate, num_draft):
    if acceptance_rate < 0 or acceptance_rate > 1:
        raise ValueError("the acceptance rate must lie between 0 and 1")
    if num_draft < 0:
        raise ValueError("the number of drafts must not be negative")
    return float(sum(acceptance_rate**k for k in range(num_draft + 1)))
