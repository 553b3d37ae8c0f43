"""Only the places that count, as one long list, against one-hot truth; float64 inside."""

import torch


def build_labels(prompt_ids, completion_ids, ignore_index=-100):
    return prompt_ids + completion_ids, [ignore_index for _ in prompt_ids] + completion_ids[:]


def sft_loss(logits, labels, ignore_index=-100):
    row, place = torch.nonzero(labels[:, 1:] != ignore_index, as_tuple=True)
    words = labels[row, place + 1]
    scores = logits[row, place].double()
    truth = torch.eye(logits.shape[-1], dtype=torch.float64)[words]
    shifted = scores - scores.amax(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    return -torch.einsum("nv,nv->n", truth, log_probs).mean().to(logits.dtype)
