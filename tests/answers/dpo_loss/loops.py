"""One sequence, one token, one pair at a time."""

import torch


def sequence_log_probs(logits, labels, completion_mask):
    totals = []
    for row in range(labels.shape[0]):
        total = logits.new_zeros(())
        for place in range(1, labels.shape[1]):
            if completion_mask[row, place]:
                total = total + torch.log_softmax(logits[row, place - 1], dim=0)[labels[row, place]]
        totals.append(total)
    return torch.stack(totals)


def dpo_loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1):
    total = 0
    for pair in range(len(policy_chosen_logps)):
        policy = policy_chosen_logps[pair] - policy_rejected_logps[pair]
        reference = reference_chosen_logps[pair] - reference_rejected_logps[pair]
        z = beta * (policy - reference)
        # log(1 + exp(-z)) with an exponent that is never positive.
        total = total + torch.log1p(torch.exp(-z.abs())) + torch.clamp(-z, min=0)
    return total / len(policy_chosen_logps)
