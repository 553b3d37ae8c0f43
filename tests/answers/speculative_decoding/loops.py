"""Python's numbers and loops.

Better: every step can be read, and printed, as it is made.
"""

import torch


def acceptance_probability(target, draft, token):
    p, q = float(target[token]), float(draft[token])
    return torch.tensor(1.0 if p >= q else p / q)


def residual_distribution(target, draft):
    if target.dim() > 1:
        return torch.stack([residual_distribution(p, q) for p, q in zip(target, draft, strict=True)])
    more = [max(p - q, 0.0) for p, q in zip(target.tolist(), draft.tolist(), strict=True)]
    total = sum(more)
    if total == 0:
        return target.clone()
    return torch.tensor([m / total for m in more], dtype=target.dtype)


def speculative_step(target_probs, draft_probs, draft_tokens, generator):
    out = []
    for k in range(len(draft_tokens)):
        x = int(draft_tokens[k])
        a = float(acceptance_probability(target_probs[k], draft_probs[k], x))
        if torch.rand(1, generator=generator).item() < a:
            out.append(x)
        else:
            rest = residual_distribution(target_probs[k], draft_probs[k])
            out.append(torch.multinomial(rest, 1, generator=generator).item())
            break
    else:
        out.append(torch.multinomial(target_probs[len(draft_tokens)], 1, generator=generator).item())
    return out


def expected_tokens(acceptance_rate, num_draft):
    if not (0 <= acceptance_rate <= 1) or num_draft < 0:
        raise ValueError(f"no step has a rate of {acceptance_rate} and {num_draft} drafts")
    total, power = 0.0, 1.0
    for _ in range(num_draft + 1):
        total += power
        power *= acceptance_rate
    return total
