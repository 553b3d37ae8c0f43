"""Plain loops over texts and classes, and Python's own numbers."""

import torch
from torch import nn


def _last_place(row):
    places = [place for place, real in enumerate(row) if real]
    if not places:
        raise ValueError("a row of the mask is empty")
    return max(places)


def last_token(hidden, attention_mask):
    rows = attention_mask.tolist()
    return torch.stack([states[_last_place(row)] for states, row in zip(hidden, rows, strict=True)])


class TextClassifier(nn.Module):
    def __init__(self, backbone, dim, num_classes):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(dim, num_classes)

    def forward(self, ids, attention_mask):
        return torch.stack([self.head(state) for state in last_token(self.backbone(ids), attention_mask)])


def freeze_backbone(classifier):
    for parameter in classifier.backbone.parameters():
        parameter.requires_grad = False
    for parameter in classifier.head.parameters():
        parameter.requires_grad = True


def weighted_cross_entropy(logits, labels, class_weights=None):
    total, weight_total = 0.0, 0.0
    for row, label in zip(logits, labels.tolist(), strict=True):
        weight = 1.0 if class_weights is None else float(class_weights[label])
        total = total + weight * (torch.logsumexp(row, 0) - row[label])
        weight_total += weight
    return total / weight_total


def balanced_weights(labels, num_classes):
    numbers = labels.tolist()
    counts = [numbers.count(k) for k in range(num_classes)]
    return torch.tensor([len(numbers) / (num_classes * count) if count else 0.0 for count in counts])


def confusion_matrix(predictions, labels, num_classes):
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for guess, label in zip(predictions.tolist(), labels.tolist(), strict=True):
        matrix[label][guess] += 1
    return torch.tensor(matrix)


def macro_f1(predictions, labels, num_classes):
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    scores = []
    for k in range(num_classes):
        tp = sum(guess == k and label == k for guess, label in pairs)
        fp = sum(guess == k and label != k for guess, label in pairs)
        fn = sum(guess != k and label == k for guess, label in pairs)
        scores.append(tp / (tp + (fp + fn) / 2) if tp else 0.0)
    return sum(scores) / num_classes
