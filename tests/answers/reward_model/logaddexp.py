"""`logaddexp` of the rewards, and the last place as the largest product of place and mask."""

import torch


def bradley_terry_loss(chosen_rewards, rejected_rewards):
    # -log(e^a / (e^a + e^b))
    return torch.mean(torch.logaddexp(chosen_rewards, rejected_rewards) - chosen_rewards)


def kl_penalized_rewards(rewards, policy_logps, reference_logps, mask, beta):
    batch, length = mask.shape
    numbered = mask * torch.arange(1, length + 1)
    last = numbered.argmax(dim=1)
    paid = torch.zeros(batch, length, dtype=rewards.dtype).index_put((torch.arange(batch), last), rewards)
    zero = policy_logps.new_zeros(())
    return paid - torch.where(mask, policy_logps - reference_logps, zero) * beta
