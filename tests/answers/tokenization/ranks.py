"""Encoding as GPT-2's tokenizer does it: of the pairs that are there, merge the one learned first, until none is."""

from collections import Counter
from itertools import pairwise


def _parts(text):
    return tuple(bytes([value]) for value in text.encode("utf-8"))


def _join(parts, pair):
    out = []
    for part in parts:
        if out and out[-1] == pair[0] and part == pair[1]:
            out[-1] = pair[0] + pair[1]
        else:
            out.append(part)
    return tuple(out)


def train_bpe(text, num_merges):
    parts, merges = _parts(text), []
    while num_merges > len(merges):
        ranking = sorted(Counter(pairwise(parts)).items(), key=lambda item: (-item[1], item[0]))
        frequent = [pair for pair, count in ranking if count == ranking[0][1] and count >= 2]
        if not frequent:
            break
        merges.append(frequent[-1])
        parts = _join(parts, merges[-1])
    return merges


def encode(text, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    parts = _parts(text)
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(merges)))
        if best not in ranks:
            break
        parts = _join(parts, best)
    numbers = {left + right: 256 + rank for rank, (left, right) in reversed(list(enumerate(merges)))}
    return [numbers[part] if len(part) > 1 else ord(part) for part in parts]


def decode(ids, merges):
    table = dict(enumerate([bytes([value]) for value in range(256)] + [left + right for left, right in merges]))
    try:
        joined = b"".join(table[number] for number in ids)
    except KeyError as error:
        raise ValueError(f"{error} is no id of this tokenizer") from error
    return joined.decode("utf-8", "replace")
