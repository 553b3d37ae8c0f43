"""Tokens as numbers throughout; their bytes are looked at only to break ties and at the end."""

from collections import defaultdict
from itertools import pairwise, zip_longest


class Vocabulary:
    def __init__(self):
        self.token_bytes = [bytes([value]) for value in range(256)]
        self.number = {token: value for value, token in enumerate(self.token_bytes)}

    def add(self, left, right):
        token = left + right
        self.token_bytes.append(token)
        return self.number.setdefault(token, len(self.token_bytes) - 1)


def replace(numbers, pair, new):
    out, skip = [], False
    for here, following in zip_longest(numbers, numbers[1:]):
        if skip:
            skip = False
        elif (here, following) == pair:
            out.append(new)
            skip = True
        else:
            out.append(here)
    return out


def train_bpe(text, num_merges):
    vocabulary, numbers, merges = Vocabulary(), list(text.encode("utf-8")), []
    for _ in range(num_merges):
        counts = defaultdict(int)
        for pair in pairwise(numbers):
            counts[pair] += 1
        as_bytes = [(count, *(vocabulary.token_bytes[part] for part in pair)) for pair, count in counts.items()]
        count, left, right = max(as_bytes, default=(0, b"", b""))
        if count < 2:
            break
        pair = vocabulary.number[left], vocabulary.number[right]
        numbers = replace(numbers, pair, vocabulary.add(left, right))
        merges.append((left, right))
    return merges


def encode(text, merges):
    vocabulary, numbers = Vocabulary(), list(text.encode("utf-8"))
    for left, right in merges:
        new = vocabulary.add(left, right)
        pair = vocabulary.number.get(left, -1), vocabulary.number.get(right, -1)
        numbers = replace(numbers, pair, new)
    return numbers


def decode(ids, merges):
    vocabulary = Vocabulary()
    for left, right in merges:
        vocabulary.add(left, right)
    if any(not 0 <= number < len(vocabulary.token_bytes) for number in ids):
        raise ValueError("one of the ids is unknown")
    return b"".join(map(vocabulary.token_bytes.__getitem__, ids)).decode(errors="replace")
