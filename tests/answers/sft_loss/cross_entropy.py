"""PyTorch's cross-entropy, which ignores by itself.

Better: one call, which leaves out what does not count and cannot overflow.
"""

import torch.nn.functional as F


def build_labels(prompt_ids, completion_ids, ignore_index=-100):
    input_ids = [*prompt_ids, *completion_ids]
    labels = input_ids.copy()
    labels[: len(prompt_ids)] = [ignore_index] * len(prompt_ids)
    return input_ids, labels


def sft_loss(logits, labels, ignore_index=-100):
    # cross_entropy wants the words on axis 1.
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=ignore_index)
