"""Everything in float64, back to the dtype that came in at the end; torch.var_mean, and masked tensors by where."""

import torch


def group_relative_advantages(rewards, eps=1e-4):
    """As the exercise asks."""
    wide = rewards.double()
    variance, mean = torch.var_mean(wide, dim=-1, correction=1, keepdim=True)
    kind = rewards.dtype if rewards.dtype.is_floating_point else torch.float32
    return ((wide - mean) / (variance**0.5 + eps)).to(kind)


def grpo_loss(new_log_probs, old_log_probs, reference_log_probs, advantages, epsilon=0.2, beta=0.04, mask=None):
    """As the exercise asks."""
    kind = new_log_probs.dtype if new_log_probs.dtype.is_floating_point else torch.float32
    new, old, reference, advantages = (
        tensor.double() for tensor in (new_log_probs, old_log_probs, reference_log_probs, advantages)
    )
    old, reference, advantages = old.detach(), reference.detach(), advantages.detach().view(-1, 1)
    ratio = new.exp() / old.exp()
    believed = torch.where(advantages >= 0, ratio.clamp(max=1 + epsilon), ratio.clamp(min=1 - epsilon))
    quotient = reference.exp() / new.exp()
    token_loss = beta * (quotient - quotient.log() - 1) - believed * advantages
    if mask is not None:
        token_loss = token_loss.where(mask, torch.nan)
    return token_loss.nanmean(dim=1).mean().to(kind)
