"""Log-softmax, then PyTorch's negative log-likelihood as a sum, divided by hand."""

from itertools import chain, repeat

import torch.nn.functional as F


def build_labels(prompt_ids, completion_ids, ignore_index=-100):
    labels = chain(repeat(ignore_index, len(prompt_ids)), completion_ids)
    return list(chain(prompt_ids, completion_ids)), list(labels)


def sft_loss(logits, labels, ignore_index=-100):
    log_probs = F.log_softmax(logits, dim=-1)[:, : logits.shape[1] - 1].reshape(-1, logits.shape[2])
    targets = labels[:, 1:].reshape(-1)
    total = F.nll_loss(log_probs, targets, ignore_index=ignore_index, reduction="sum")
    return total / (targets != ignore_index).sum()
