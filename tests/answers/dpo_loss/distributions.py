"""`torch.distributions` in float64, and a two-class log-softmax in place of the sigmoid."""

import torch
from torch.distributions import Categorical


def sequence_log_probs(logits, labels, completion_mask):
    # A label that nothing predicts gets a place before the first logits; it is masked away.
    padded = torch.cat([torch.zeros_like(logits[:, :1]), logits[:, :-1]], dim=1).double()
    counts = completion_mask.clone()
    counts[:, 0] = False
    log_probs = Categorical(logits=padded, validate_args=False).log_prob(labels)
    return log_probs.masked_fill(~counts, 0).sum(-1).to(logits.dtype)


def dpo_loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1):
    chosen = policy_chosen_logps.double() - reference_chosen_logps.double()
    rejected = policy_rejected_logps.double() - reference_rejected_logps.double()
    # sigmoid(a - b) is the first of softmax([a, b]).
    log_preferences = torch.log_softmax(beta * torch.stack([chosen, rejected], dim=-1), dim=-1)
    return -log_preferences[..., 0].mean().to(policy_chosen_logps.dtype)
