"""A softmax over the two rewards of a pair; the reward scattered to the place that `argmax` finds from behind.

Better: a pair is a softmax over two rewards, and that goes on to hold for three and more.
"""

import torch


def bradley_terry_loss(chosen_rewards, rejected_rewards):
    # sigmoid(a - b) is the first of softmax([a, b]).
    return -torch.stack([chosen_rewards, rejected_rewards]).log_softmax(0)[0].mean()


def kl_penalized_rewards(rewards, policy_logps, reference_logps, mask, beta):
    result = (-beta * (policy_logps - reference_logps)).masked_fill(~mask, 0)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1, keepdim=True)
    return result.scatter_add(1, last, rewards[:, None])
