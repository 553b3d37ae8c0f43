"""The loss with a gradient written by hand; advantages in place in a clone, by slices."""

import torch


def generalized_advantage_estimate(rewards, values, gamma=0.99, lam=0.95):
    """Horner's rule from the end, in a tensor with room for one advantage more."""
    total = torch.zeros(len(rewards) + 1, dtype=torch.float64)
    for t in range(len(rewards) - 1, -1, -1):
        total[t] = rewards[t].double() + gamma * (values[t + 1].double() + lam * total[t + 1]) - values[t].double()
    floating = [tensor for tensor in (rewards, values) if tensor.is_floating_point()]
    return total[:-1].to(floating[0].dtype if floating else torch.float32)


class _Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, new, old, advantages, epsilon, weights):
        """Minus the weighted sum of the pessimistic products."""
        ratio = (new - old).exp()
        low, high = ratio.new_tensor(1 - epsilon), ratio.new_tensor(1 + epsilon)
        believed = torch.where(advantages >= 0, torch.minimum(ratio, high), torch.maximum(ratio, low))
        ctx.save_for_backward(torch.where(believed == ratio, -ratio * advantages * weights, torch.zeros_like(ratio)))
        return -(believed * advantages * weights).sum()

    @staticmethod
    def backward(ctx, gradient):
        """Only the new log-probabilities get one."""
        return gradient * ctx.saved_tensors[0], None, None, None, None


def ppo_loss(new_log_probs, old_log_probs, advantages, epsilon=0.2, mask=None):
    """As the exercise asks."""
    new = new_log_probs if new_log_probs.is_floating_point() else new_log_probs.float()
    weights = torch.ones_like(new) if mask is None else mask.to(new.dtype)
    return _Clipped.apply(new, old_log_probs, advantages, epsilon, weights / weights.sum())
