"""Group by group, answer by answer, token by token."""

import statistics

import torch


def group_relative_advantages(rewards, eps=1e-4):
    """As the exercise asks."""
    dtype = rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()
    groups = []
    for group in rewards.tolist():
        mean, deviation = statistics.fmean(group), statistics.stdev(group)
        groups.append([(reward - mean) / (deviation + eps) for reward in group])
    return torch.tensor(groups, dtype=dtype)


def grpo_loss(new_log_probs, old_log_probs, reference_log_probs, advantages, epsilon=0.2, beta=0.04, mask=None):
    """As the exercise asks."""
    answers = []
    for i in range(new_log_probs.shape[0]):
        advantage, tokens = advantages[i].item(), []
        for t in range(new_log_probs.shape[1]):
            if mask is not None and not mask[i, t]:
                continue
            new, old, reference = new_log_probs[i, t], old_log_probs[i, t].item(), reference_log_probs[i, t].item()
            ratio = torch.exp(new - old)
            bound = (1 + epsilon) if advantage > 0 else (1 - epsilon)
            good = ratio > bound if advantage > 0 else ratio < bound
            objective = bound * advantage if good else ratio * advantage
            kl = 1 / torch.exp(new - reference) + new - reference - 1
            tokens.append(beta * kl - objective)
        answers.append(sum(tokens) / len(tokens))
    return sum(answers) / len(answers)
