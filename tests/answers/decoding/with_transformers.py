import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


def _rows(logits):
    logits = logits * 1.0
    return logits.reshape(-1, logits.shape[-1])


def apply_temperature(logits, temperature):
    if not temperature > 0:
        raise ValueError("a temperature must be positive")
    return TemperatureLogitsWarper(float(temperature))(None, _rows(logits)).reshape(logits.shape)


def top_k_filter(logits, k):
    if k < 1:
        raise ValueError("at least one token must stay")
    return TopKLogitsWarper(int(k))(None, _rows(logits)).reshape(logits.shape)


def top_p_filter(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p is a probability above 0")
    if p == 1:
        return logits * 1.0
    return TopPLogitsWarper(float(p))(None, _rows(logits)).reshape(logits.shape)


def sample(logits, generator):
    drawn = torch.multinomial(torch.softmax(_rows(logits), -1), 1, generator=generator)
    return drawn.reshape(logits.shape[:-1])
