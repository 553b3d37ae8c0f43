"""Labels rolled to the logits that predict them, a float mask, and a division by its sum."""

import torch


def build_labels(prompt_ids, completion_ids, ignore_index=-100):
    ids = torch.tensor([*prompt_ids, *completion_ids], dtype=torch.long)
    labels = torch.where(torch.arange(len(ids)) < len(prompt_ids), ignore_index, ids)
    return ids.tolist(), labels.tolist()


def sft_loss(logits, labels, ignore_index=-100):
    targets = torch.roll(labels, -1, 1)
    keep = (targets != ignore_index).to(logits.dtype)
    keep[:, -1] = 0
    log_probs = torch.log_softmax(logits, -1)
    picked = torch.take_along_dim(log_probs, targets.clamp(0, logits.shape[-1] - 1)[..., None], -1).squeeze(-1)
    return -(picked * keep).sum() / keep.sum()
