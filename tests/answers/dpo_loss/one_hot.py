"""An einsum over one-hot labels with a float mask, and the loss as a softplus."""

import torch
import torch.nn.functional as F


def sequence_log_probs(logits, labels, completion_mask):
    log_probs = F.log_softmax(logits, dim=-1)
    wanted = F.one_hot(labels, logits.shape[-1]) * completion_mask[..., None]
    return torch.einsum("btv,btv->b", log_probs[:, :-1], wanted[:, 1:].to(log_probs.dtype))


def dpo_loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1):
    log_ratio = policy_chosen_logps - policy_rejected_logps
    reference_log_ratio = reference_chosen_logps - reference_rejected_logps
    return F.softplus(beta * (reference_log_ratio - log_ratio)).mean()
