"""NumPy inside: the generator only seeds NumPy's own, and a throw is looked up in the running sum."""

import numpy as np
import torch


def _softmax(array):
    exponentials = np.exp(array.astype(np.float64) - array.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def apply_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError("A temperature of zero or less has no meaning here.")
    numbers = logits.numpy()
    dtype = numbers.dtype if logits.is_floating_point() else np.float32
    return torch.from_numpy(np.asarray(numbers.astype(np.float64) / temperature, dtype))


def top_k_filter(logits, k):
    if k <= 0:
        raise ValueError("At least one token must be kept.")
    array = logits.numpy().copy()
    kth = np.partition(array, -min(k, array.shape[-1]), axis=-1)[..., -min(k, array.shape[-1]), None]
    array[array < kth] = -np.inf
    return torch.from_numpy(array)


def top_p_filter(logits, p):
    if p <= 0 or p > 1:
        raise ValueError("The probability must be in (0, 1].")
    array = logits.numpy().copy()
    order = np.argsort(-array, axis=-1, kind="stable")
    held = np.cumsum(np.take_along_axis(_softmax(array), order, -1), axis=-1)
    keep_sorted = np.concatenate([np.ones_like(held[..., :1], bool), held[..., :-1] < p], axis=-1)
    keep = np.zeros_like(keep_sorted)
    np.put_along_axis(keep, order, keep_sorted, -1)
    array[~keep] = -np.inf
    return torch.from_numpy(array)


def sample(logits, generator):
    dice = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    held = np.cumsum(_softmax(logits.numpy()), axis=-1)
    throws = dice.random(held.shape[:-1]) * held[..., -1]
    return torch.from_numpy(np.asarray((held <= throws[..., None]).sum(-1)))
