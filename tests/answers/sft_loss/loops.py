"""One token at a time."""

import torch


def build_labels(prompt_ids, completion_ids, ignore_index=-100):
    input_ids, labels = [], []
    for token in prompt_ids:
        input_ids.append(token)
        labels.append(ignore_index)
    for token in completion_ids:
        input_ids.append(token)
        labels.append(token)
    return input_ids, labels


def sft_loss(logits, labels, ignore_index=-100):
    losses = []
    for row in range(labels.shape[0]):
        for place in range(labels.shape[1] - 1):
            label = labels[row, place + 1].item()
            if label != ignore_index:
                losses.append(-torch.log_softmax(logits[row, place], dim=-1)[label])
    return sum(losses) / len(losses)
