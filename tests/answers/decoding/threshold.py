"""Both filters find the smallest logit that stays, and share one cut; the draw looks throws up with `searchsorted`.

Better: one cut for both filters, and nothing has to be brought back to its place afterwards.
"""

import torch


def _cut_below(logits, smallest):
    mask = torch.zeros(logits.shape, dtype=logits.dtype)
    mask[logits < smallest] = float("-inf")
    return logits + mask


def apply_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature must be > 0")
    return logits / torch.tensor(
        float(temperature), dtype=logits.dtype if logits.is_floating_point() else torch.float32
    )


def top_k_filter(logits, k):
    if k < 1:
        raise ValueError("k must be >= 1")
    size = logits.shape[-1]
    if k >= size:
        return logits.clone()
    return _cut_below(logits, logits.kthvalue(size - k + 1, dim=-1, keepdim=True).values)


def top_p_filter(logits, p):
    if not 0.0 < p <= 1.0:
        raise ValueError("p must be in (0, 1]")
    ordered = torch.sort(logits, dim=-1, descending=True)[0]
    held = torch.cumsum(torch.softmax(ordered.to(torch.float64), dim=-1), dim=-1)
    count = (held < p).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return _cut_below(logits, ordered.gather(-1, count))


def sample(logits, generator):
    flat = logits.reshape(-1, logits.shape[-1])
    held = torch.cumsum(torch.softmax(flat.double(), dim=-1), dim=-1)
    throws = torch.rand(len(flat), 1, generator=generator, dtype=torch.float64) * held[:, -1:]
    return torch.searchsorted(held, throws, right=True).reshape(logits.shape[:-1])
