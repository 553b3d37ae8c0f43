"""Without loops that count: recursion on the text's bytes, split wherever a merge's bytes may stand."""

from functools import reduce
from itertools import chain, groupby, pairwise
from operator import itemgetter


def _merge(tokens, pair):
    """Groups of equal neighbors are merged two by two; unequal ones where the two groups meet."""
    left, right = pair
    if left == right:
        groups = (list(group) for _, group in groupby(tokens))
        merged = ([left + left] * (len(g) // 2) + [left] * (len(g) % 2) if g[0] == left else g for g in groups)
        return list(chain.from_iterable(merged))
    places = {place for place, neighbors in enumerate(pairwise(tokens)) if neighbors == pair}
    return [left + right if place in places else token for place, token in enumerate(tokens) if place - 1 not in places]


def _bytes(text):
    return [b"%c" % value for value in text.encode()]


def _train(tokens, merges, num_merges):
    pairs = list(pairwise(tokens))
    candidates = sorted(((pairs.count(pair), pair) for pair in set(pairs)), key=itemgetter(0, 1))
    if len(merges) == num_merges or not candidates or candidates[-1][0] == 1:
        return merges
    pair = candidates[-1][1]
    return _train(_merge(tokens, pair), [*merges, pair], num_merges)


def train_bpe(text, num_merges):
    return _train(_bytes(text), [], num_merges)


def encode(text, merges):
    vocabulary = [bytes([value]) for value in range(256)] + [left + right for left, right in merges]
    return [vocabulary.index(token) for token in reduce(_merge, merges, _bytes(text))]


def decode(ids, merges):
    vocabulary = [bytes([value]) for value in range(256)] + [left + right for left, right in merges]
    if ids and not (min(ids) >= 0 and max(ids) < len(vocabulary)):
        raise ValueError("An id lies outside the vocabulary.")
    return b"".join(vocabulary[number] for number in ids).decode("utf-8", "replace")
