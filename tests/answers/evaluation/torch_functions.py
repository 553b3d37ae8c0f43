"""By PyTorch's own functions: cross_entropy, bucketize, bincount, padded choices; binomials by log-gamma."""

import math
import re
import string
from collections import Counter

import torch
from torch.nn import functional as F


def perplexity(logits, ids, mask=None):
    wide = logits if logits.dtype == torch.float64 else logits.float()
    each = F.cross_entropy(wide[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    weights = each.new_ones(each.shape) if mask is None else mask[:, 1:].to(each.dtype)
    if weights.sum() == 0:
        raise ValueError("every token is masked out")
    return float((each * weights).sum().div(weights.sum()).exp())


def bits_per_byte(total_nats, text):
    data = text.encode()
    if not data:
        raise ValueError("there must be a text")
    return total_nats / (len(data) * math.log(2.0))


def choose(choice_log_probs, lengths=None):
    padded = torch.nn.utils.rnn.pad_sequence([each.double() for each in choice_log_probs], batch_first=True)
    scores = padded.sum(dim=1)
    if lengths is not None:
        scores = scores / torch.tensor(lengths, dtype=torch.float64)
    return int(torch.nonzero(scores == scores.max())[0])


def _words(answer):
    answer = re.sub("[" + re.escape(string.punctuation) + "]", "", answer.lower())
    return re.split(r"\s+", re.sub(r"\b(?:a|an|the)\b", " ", answer).strip())


def exact_match(prediction, reference):
    return " ".join(_words(prediction)) == " ".join(_words(reference))


def token_f1(prediction, reference):
    ours, theirs = Counter(filter(None, _words(prediction))), Counter(filter(None, _words(reference)))
    shared = float((ours & theirs).total())
    both = ours.total() + theirs.total()
    return 1.0 if both == 0 else 2.0 * shared / both


def pass_at_k(num_samples, num_correct, k):
    if not 0 <= num_correct <= num_samples or not 1 <= k <= num_samples:
        raise ValueError("these numbers make no sense together")
    if num_samples - num_correct < k:
        return 1.0
    i = torch.arange(num_samples - num_correct + 1, num_samples + 1, dtype=torch.float64)
    return (1.0 - torch.prod(1.0 - k / i)).item()


def expected_calibration_error(confidences, correct, num_bins=10):
    confidences = confidences.double()
    edges = torch.arange(1, num_bins + 1, dtype=torch.float64) / num_bins
    bins = torch.bucketize(confidences, edges)
    counts = torch.bincount(bins, minlength=num_bins)
    accuracy = torch.bincount(bins, weights=correct.double(), minlength=num_bins) / counts
    confidence = torch.bincount(bins, weights=confidences, minlength=num_bins) / counts
    return torch.nansum(counts / counts.sum() * (accuracy - confidence).abs()).item()
