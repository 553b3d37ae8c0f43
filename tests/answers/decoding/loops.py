"""Row by row and token by token, in Python's own numbers; a draw walks along the probabilities until it is spent."""

import math

import torch


def _each_row(function, logits):
    rows = logits.reshape(-1, logits.shape[-1]).tolist()
    dtype = logits.dtype if logits.is_floating_point() else torch.float32
    return torch.tensor([function(row) for row in rows], dtype=dtype).reshape(logits.shape)


def _probabilities(row):
    largest = max(row)
    exponentials = [math.exp(score - largest) for score in row]
    return [exponential / math.fsum(exponentials) for exponential in exponentials]


def apply_temperature(logits, temperature):
    if not temperature > 0:
        raise ValueError("The temperature must be positive.")
    return _each_row(lambda row: [score / temperature for score in row], logits)


def top_k_filter(logits, k):
    if k < 1:
        raise ValueError("Keep at least one token.")

    def cut(row):
        kth = sorted(row, reverse=True)[:k][-1]
        return [score if score >= kth else -math.inf for score in row]

    return _each_row(cut, logits)


def top_p_filter(logits, p):
    if p <= 0 or p > 1:
        raise ValueError("Give a probability above 0 and up to 1.")

    def cut(row):
        probabilities, result, held = _probabilities(row), [-math.inf] * len(row), 0.0
        for token in sorted(range(len(row)), key=probabilities.__getitem__, reverse=True):
            if held < p:
                result[token] = row[token]
            held += probabilities[token]
        return result

    return _each_row(cut, logits)


def sample(logits, generator):
    ids = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        throw = torch.rand((), generator=generator, dtype=torch.float64).item()
        token = last = 0
        for token, probability in enumerate(_probabilities(row)):
            if probability > 0:
                last = token
                if throw < probability:
                    break
                throw -= probability
        else:
            token = last  # rounding left a little of the throw
        ids.append(token)
    return torch.tensor(ids).reshape(logits.shape[:-1])
