"""PyTorch's losses: a completion's log-probability is minus a cross-entropy, DPO a binary one with all labels 1.

Better: one call of PyTorch's picks the logit, takes the logsumexp and the difference, and cannot overflow.
"""

import torch
import torch.nn.functional as F


def sequence_log_probs(logits, labels, completion_mask):
    targets = labels.masked_fill(~completion_mask, -100)
    flat_logits = logits[:, :-1].flatten(0, 1)
    losses = F.cross_entropy(flat_logits, targets[:, 1:].flatten(), ignore_index=-100, reduction="none")
    return -losses.view(len(labels), -1).sum(1)


def dpo_loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1):
    policy = torch.stack([policy_chosen_logps, policy_rejected_logps])
    reference = torch.stack([reference_chosen_logps, reference_rejected_logps]).detach()
    chosen_rewards, rejected_rewards = beta * (policy - reference)
    margins = chosen_rewards - rejected_rewards
    return F.binary_cross_entropy_with_logits(margins, torch.ones_like(margins))
