"""One pair and one token at a time."""

import torch


def bradley_terry_loss(chosen_rewards, rejected_rewards):
    total = 0
    for chosen, rejected in zip(chosen_rewards, rejected_rewards, strict=True):
        z = chosen - rejected
        # log(1 + exp(-z)) with an exponent that is never positive.
        total = total + torch.log1p(torch.exp(-abs(z))) + max(-z, 0 * z)
    return total / len(chosen_rewards)


def kl_penalized_rewards(rewards, policy_logps, reference_logps, mask, beta):
    result = torch.zeros_like(policy_logps)
    for row in range(len(rewards)):
        last = None
        for place in range(mask.shape[1]):
            if mask[row, place]:
                result[row, place] = beta * (reference_logps[row, place] - policy_logps[row, place])
                last = place
        result[row, last] += rewards[row]
    return result
