"""A binary cross-entropy, and the last kept token as the one with no other behind it."""

import torch
import torch.nn.functional as F


def bradley_terry_loss(chosen_rewards, rejected_rewards):
    margins = chosen_rewards - rejected_rewards
    return F.binary_cross_entropy_with_logits(margins, torch.ones_like(margins))


def kl_penalized_rewards(rewards, policy_logps, reference_logps, mask, beta):
    kept = mask.to(policy_logps.dtype)
    kept_from_here_on = kept.flip(1).cumsum(1).flip(1)
    last = kept * (kept_from_here_on == 1)
    return last * rewards.unsqueeze(1) - beta * kept * (policy_logps - reference_logps)
