"""Losses instead of log-probabilities in between, reversed differences, and `logaddexp`."""

import torch


def sequence_log_probs(logits, labels, completion_mask):
    surprisals = torch.logsumexp(logits[:, :-1], -1, keepdim=True) - logits[:, :-1]
    surprisals = torch.take_along_dim(surprisals, labels[:, 1:, None], 2)[..., 0]
    return -(surprisals * completion_mask[:, 1:]).sum(1)


def dpo_loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1):
    got_worse = (reference_chosen_logps - policy_chosen_logps) - (reference_rejected_logps - policy_rejected_logps)
    losses = torch.logaddexp(torch.zeros_like(got_worse), beta * got_worse)
    return losses.sum() / losses.numel()
