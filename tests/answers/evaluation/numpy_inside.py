"""NumPy and SciPy-like formulas: logsumexp by hand, histograms, log-binomials by sums of logarithms."""

import re
import string

import numpy as np


def perplexity(logits, ids, mask=None):
    z = logits.double().numpy()[:, :-1]
    targets = ids.numpy()[:, 1:]
    z = z - z.max(axis=-1, keepdims=True)
    surprise = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, targets[..., None], -1)[..., 0]
    if mask is not None:
        surprise = surprise[mask.numpy()[:, 1:]]
    if surprise.size == 0:
        raise ValueError("a perplexity of nothing is not defined")
    return float(np.exp(np.average(surprise)))


def bits_per_byte(total_nats, text):
    if len(text) == 0:
        raise ValueError("the text has no byte")
    return float(total_nats / np.log(2) / np.frombuffer(text.encode("utf-8"), np.uint8).size)


def choose(choice_log_probs, lengths=None):
    scores = np.array([each.double().sum().item() for each in choice_log_probs])
    return int(np.argmax(scores if lengths is None else scores / np.asarray(lengths)))


def clean(answer):
    table = {ord(character): None for character in string.punctuation}
    return " ".join(re.sub(r"\b(the|an|a)\b", " ", answer.lower().translate(table)).split())


def exact_match(prediction, reference):
    return clean(prediction) == clean(reference)


def token_f1(prediction, reference):
    ours, theirs = clean(prediction).split(), clean(reference).split()
    words, place = np.unique(np.array([*ours, *theirs], dtype=object).astype(str), return_inverse=True)
    counts = [np.bincount(part, minlength=len(words)) for part in (place[: len(ours)], place[len(ours) :])]
    both = len(ours) + len(theirs)
    return float(2 * np.minimum(*counts).sum() / both) if both else 1.0


def pass_at_k(num_samples, num_correct, k):
    if not 0 <= num_correct <= num_samples:
        raise ValueError("c must be from 0 to n")
    if not 0 < k <= num_samples:
        raise ValueError("k must be from 1 to n")
    if num_samples - num_correct < k:
        return 1.0
    i = np.arange(num_samples - num_correct + 1, num_samples + 1)
    return float(-np.expm1(np.log1p(-k / i).sum()))


def expected_calibration_error(confidences, correct, num_bins=10):
    c, right = confidences.double().numpy(), correct.double().numpy()
    bins = np.digitize(c, np.arange(1, num_bins) / num_bins, right=True)
    return float(sum(abs((right - c)[bins == b].mean()) * np.mean(bins == b) for b in set(bins.tolist())))
