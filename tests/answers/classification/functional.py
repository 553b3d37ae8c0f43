"""PyTorch's own cross entropy, a gather for the last state, and counting by one-hot products.

Better: one library call for the loss, and the confusion matrix is a plain matrix product.
"""

import torch
import torch.nn.functional as F


def last_token(hidden, attention_mask):
    mask = attention_mask.to(torch.int64)
    if (mask.sum(1) == 0).any():
        raise ValueError("one of the texts holds padding alone")
    T = mask.shape[1]
    last = T - 1 - mask.flip(1).argmax(1)  # the first real token, seen from the right
    return hidden.gather(1, last.view(-1, 1, 1).expand(-1, 1, hidden.shape[2])).squeeze(1)


class TextClassifier(torch.nn.Module):
    def __init__(self, backbone, dim, num_classes):
        super().__init__()
        self.head = torch.nn.Linear(in_features=dim, out_features=num_classes)
        self.backbone = backbone

    def forward(self, ids, attention_mask):
        states = self.backbone(ids)
        pooled = last_token(states, attention_mask)
        return F.linear(pooled, self.head.weight, self.head.bias)


def freeze_backbone(classifier):
    for name, parameter in classifier.named_parameters():
        parameter.requires_grad_(name in ("head.weight", "head.bias"))


def weighted_cross_entropy(logits, labels, class_weights=None):
    if class_weights is not None:
        class_weights = class_weights.to(logits.dtype)
    return F.cross_entropy(logits, labels, weight=class_weights)


def balanced_weights(labels, num_classes):
    counts = F.one_hot(labels, num_classes).sum(0).float()
    weights = labels.numel() / num_classes / counts
    weights[counts == 0] = 0
    return weights


def confusion_matrix(predictions, labels, num_classes):
    return F.one_hot(labels, num_classes).T @ F.one_hot(predictions, num_classes)


def macro_f1(predictions, labels, num_classes):
    m = confusion_matrix(predictions, labels, num_classes).float()
    tp = m.diag()
    precision = torch.nan_to_num(tp / m.sum(0))
    recall = torch.nan_to_num(tp / m.sum(1))
    f1 = torch.nan_to_num(2 * precision * recall / (precision + recall))
    return float(f1.mean())
