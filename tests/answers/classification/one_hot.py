"""Sums over one-hot places: the last state by einsum, the loss by a matrix of weights, float64 inside."""

import torch
from torch import nn


def last_token(hidden, attention_mask):
    mask = attention_mask.bool()
    if not bool(mask.any(-1).all()):
        raise ValueError("every text needs at least one real token")
    # A token is the last one where it is real and nothing real comes after it.
    after = mask.long().flip(-1).cumsum(-1).flip(-1)
    is_last = mask & (after == 1)
    return torch.einsum("bt,btc->bc", is_last.to(hidden.dtype), hidden)


class TextClassifier(nn.Module):
    def __init__(self, backbone, dim, num_classes):
        nn.Module.__init__(self)
        self.add_module("backbone", backbone)
        self.add_module("head", nn.Linear(dim, num_classes, bias=True))

    def forward(self, ids, attention_mask):
        logits = self.head(self.backbone(ids))  # of every position
        return last_token(logits, attention_mask)


def freeze_backbone(classifier):
    [p.requires_grad_(False) for p in classifier.backbone.parameters()]
    [p.requires_grad_(True) for p in classifier.head.parameters()]


def weighted_cross_entropy(logits, labels, class_weights=None):
    wide = logits.double()
    k = logits.shape[-1]
    w = torch.ones(k, dtype=torch.float64) if class_weights is None else class_weights.double()
    own = torch.eye(k, dtype=torch.float64)[labels]  # [B, K]
    centered = wide - wide.amax(-1, keepdim=True).detach()
    nll = centered.exp().sum(-1).log() - (centered * own).sum(-1)
    share = own @ w
    return (torch.dot(share, nll) / share.sum()).to(logits.dtype)


def balanced_weights(labels, num_classes):
    counts = (labels[None] == torch.arange(num_classes)[:, None]).sum(1)
    result = torch.zeros(num_classes)
    there = counts.nonzero().squeeze(1)
    result[there] = labels.shape[0] / (num_classes * counts[there].float())
    return result


def confusion_matrix(predictions, labels, num_classes):
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.long)
    matrix.index_put_((labels, predictions), torch.ones_like(labels), accumulate=True)
    return matrix


def macro_f1(predictions, labels, num_classes):
    m = confusion_matrix(predictions, labels, num_classes)
    f1 = torch.zeros(num_classes, dtype=torch.float64)
    for k in range(num_classes):
        total = int(m[k].sum() + m[:, k].sum())
        if total:
            f1[k] = 2 * int(m[k, k]) / total
    return f1.mean().item()
