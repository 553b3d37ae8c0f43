"""A softplus of the reversed margin; only the kept tokens are ever computed; float64 inside."""

import torch
import torch.nn.functional as F


def bradley_terry_loss(chosen_rewards, rejected_rewards):
    return F.softplus(rejected_rewards - chosen_rewards).sum() / chosen_rewards.numel()


def kl_penalized_rewards(rewards, policy_logps, reference_logps, mask, beta):
    result = torch.zeros(mask.shape, dtype=torch.float64)
    result[mask] = (reference_logps[mask].double() - policy_logps[mask].double()) * beta
    rows, places = mask.nonzero(as_tuple=True)
    ends = dict(zip(rows.tolist(), places.tolist(), strict=True))  # a later place replaces an earlier one
    for row, place in ends.items():
        result[row, place] += rewards[row]
    return result.to(policy_logps.dtype)
