"""Fractions and whole numbers wherever they fit: exact binomials, exact means; one-hot for the gather.

Better: binomials and means are exact, and only the last quotient is rounded.
"""

import math
import re
import string
from fractions import Fraction

import torch


def perplexity(logits, ids, mask=None):
    kept = torch.ones(ids.shape, dtype=torch.bool) if mask is None else mask.clone()
    kept[:, 0] = False
    if int(kept.sum()) == 0:
        raise ValueError("nothing counts")
    log_p = logits.double().log_softmax(dim=-1).roll(1, dims=1)  # [B, T, V], now about the token at its own place
    one_hot = torch.nn.functional.one_hot(ids, logits.shape[-1])
    surprise = -torch.where(one_hot.bool(), log_p, torch.zeros_like(log_p)).sum(-1)
    return math.exp(surprise[kept].mean().item())


def bits_per_byte(total_nats, text):
    count = sum(1 for _ in text.encode("utf-8"))
    if count == 0:
        raise ValueError("no bytes, no bits per byte")
    return float(total_nats) / count / math.log(2)


def choose(choice_log_probs, lengths=None):
    lengths = lengths or [1] * len(choice_log_probs)
    exact = [sum(map(Fraction, each.tolist())) / unit for each, unit in zip(choice_log_probs, lengths, strict=True)]
    return exact.index(max(exact))


ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)


def normal(answer):
    def lower(text):
        return text.lower()

    def without_punctuation(text):
        forbidden = set(string.punctuation)
        return "".join(character for character in text if character not in forbidden)

    def without_articles(text):
        return ARTICLES.sub(" ", text)

    def single_spaces(text):
        return " ".join(text.split())

    return single_spaces(without_articles(without_punctuation(lower(answer))))


def exact_match(prediction, reference):
    return bool(normal(prediction) == normal(reference))


def token_f1(prediction, reference):
    ours, theirs = sorted(normal(prediction).split()), sorted(normal(reference).split())
    if not (ours and theirs):
        return 1.0 if ours == theirs else 0.0
    shared = sum(min(ours.count(word), theirs.count(word)) for word in set(ours))
    return float(Fraction(2 * shared, len(ours) + len(theirs)))


def pass_at_k(num_samples, num_correct, k):
    if num_correct not in range(num_samples + 1):
        raise ValueError("between none and all of the samples are correct")
    if k not in range(1, num_samples + 1):
        raise ValueError("between one and all of the samples are picked")
    return 1 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def expected_calibration_error(confidences, correct, num_bins=10):
    sums = [Fraction(0)] * num_bins
    for confidence, right in zip(confidences.tolist(), correct.tolist(), strict=True):
        place = max(math.ceil(Fraction(confidence) * num_bins), 1) - 1
        sums[place] += Fraction(confidence) - int(right)
    return float(sum(map(abs, sums)) / len(confidences))
