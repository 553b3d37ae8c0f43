"""The fast way: a linked list of tokens, and for each pair the set of places where it stands, kept up to date.

Better: only pairs beside a merge are counted again, where the plain way counts the whole text at every step.
"""

from collections import defaultdict


class Chain:
    def __init__(self, text):
        data = text.encode("utf-8")
        self.tokens = {place: data[place : place + 1] for place in range(len(data))}
        self.after = {place: place + 1 for place in range(len(data) - 1)}
        self.before = {place + 1: place for place in range(len(data) - 1)}
        self.places = defaultdict(set)
        for place in self.after:
            self.note(place)

    def pair(self, place):
        return self.tokens[place], self.tokens[self.after[place]]

    def note(self, place):
        self.places[self.pair(place)].add(place)

    def forget(self, place):
        self.places[self.pair(place)].discard(place)

    def merge(self, pair):
        for place in sorted(self.places.get(pair, ())):
            if place not in self.places[pair]:
                continue  # an earlier merge took one of its tokens
            follower = self.after[place]
            neighbors = [near for near in (self.before.get(place), follower) if near is not None and near in self.after]
            for near in (*neighbors, place):
                self.forget(near)
            self.tokens[place] += self.tokens.pop(follower)
            self.before.pop(follower)
            if follower in self.after:
                self.after[place] = self.after.pop(follower)
                self.before[self.after[place]] = place
                self.note(place)
            else:
                del self.after[place]
            if place in self.before:
                self.note(self.before[place])


def train_bpe(text, num_merges):
    chain, merges = Chain(text), []
    for _ in range(num_merges):
        count, pair = max(((len(places), pair) for pair, places in chain.places.items()), default=(0, None))
        if count < 2:
            break
        chain.merge(pair)
        merges.append(pair)
    return merges


def encode(text, merges):
    chain = Chain(text)
    ids = {}
    for number, pair in enumerate(merges, 256):
        ids.setdefault(b"".join(pair), number)
        chain.merge(pair)
    return [ids[token] if len(token) > 1 else token[0] for _, token in sorted(chain.tokens.items())]


def decode(ids, merges):
    if unknown := {number for number in ids if number not in range(256 + len(merges))}:
        raise ValueError(f"unknown ids: {sorted(unknown)}")
    pieces = (bytes([number]) if number < 256 else b"".join(merges[number - 256]) for number in ids)
    return b"".join(pieces).decode("utf-8", errors="replace")
