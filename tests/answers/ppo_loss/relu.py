"""The clip as a hinge: r A less what lies past the edge of the band. Advantages as returns less values.

Better: it shows what the clip is: a hinge, which takes away just what lies past the edge of the band.
"""

import torch
import torch.nn.functional as F


def generalized_advantage_estimate(rewards, values, gamma=0.99, lam=0.95):
    """The lambda-return, R_t = r_t + gamma ((1 - lam) V_{t+1} + lam R_{t+1}), less the value."""
    if not values.is_floating_point():
        values = values.float()
    future, returns = values[-1], []
    for reward, value in zip(rewards.flip(0), values[1:].flip(0), strict=True):
        future = reward + gamma * ((1 - lam) * value + lam * future)
        returns.insert(0, future)
    return torch.stack(returns) - values[:-1]


def ppo_loss(new_log_probs, old_log_probs, advantages, epsilon=0.2, mask=None):
    """As the exercise asks."""
    old_log_probs, size, sign = old_log_probs.data, advantages.data.abs(), advantages.data.sign()
    ratio = torch.exp(new_log_probs) / torch.exp(old_log_probs)
    past = F.relu(sign * (ratio - 1) - epsilon)  # how far the ratio is past the edge on the good side
    losses = past * size - ratio * sign * size
    if mask is not None:
        losses = torch.masked_select(losses, mask)
    return losses.sum() / losses.numel()
