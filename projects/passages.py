"""Passages of Shakespeare's plays, each with the kind of play that it is from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

KINDS = ("comedy", "history", "tragedy")

# The folders that the plays come in. The Roman plays stand among the tragedies in the First Folio of 1623. "Problem
# plays" and romances are neither one nor the other, which is why they have folders of their own, and are left out.
FOLDERS = {"comedies": 0, "histories": 1, "tragedies": 2, "roman": 2}

# Whole plays, so that no hero of them is known from training. On the first three the runs are watched; the other six
# are looked at once, at the end. None of the six goes on from another play, as Henry V does from Henry IV.
WATCHED = ("the-comedy-of-errors", "edward-iii", "othello")
HELD_OUT = ("as-you-like-it", "twelfth-night", "henry-viii", "king-john", "coriolanus", "macbeth")


@dataclass(frozen=True)
class Passages:
    """Texts and what they are.

    texts: N of them.
    labels: `[N]`, places in `KINDS`.
    """

    texts: tuple[str, ...]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Split:
    """All that a comparison needs.

    train: what the classifiers learn from.
    everything: all passages of the same plays, for those to whom reading costs nothing.
    watched: from other plays, for the curves.
    held_out: from still others, for the table.
    """

    train: Passages
    everything: Passages
    watched: Passages
    held_out: Passages


def cut(play: str, words: int) -> list[str]:
    """A play from its first act on, in passages of so many words; lines stay lines, and the rest at the end is left."""
    body = play[max(0, play.find("\nACT I\n")) :]
    edges = [match.start() for match in re.finditer(r"\S+", body)][::words]
    return [body[start:end].strip() for start, end in pairwise(edges)]


def evenly(passages: Sequence[str], number: int) -> list[str]:
    """So many of them, spread over the play; all, if there are no more."""
    number = min(number, len(passages))
    return [passages[place * len(passages) // number] for place in range(number)]


def split(plays: Mapping[str, str], folders: Mapping[str, str], words: int, per_play: int) -> Split:
    """The passages of all plays that have a kind.

    Args:
        plays: texts by their names.
        folders: the folder that each came in, by its name.
        words: the length of a passage.
        per_play: how many of each play the models read. Of those held out it is twice as many.
    """
    kinds = {name: FOLDERS[folders[name]] for name in sorted(plays) if folders[name] in FOLDERS}
    passages = {name: cut(plays[name], words) for name in kinds}
    training = [name for name in kinds if name not in (*WATCHED, *HELD_OUT)]

    def collected(names: Sequence[str], number: int | None) -> Passages:
        chosen = {n: passages[n] if number is None else evenly(passages[n], number) for n in names if n in kinds}
        labels = [kinds[name] for name, texts in chosen.items() for _ in texts]
        return Passages(tuple(text for texts in chosen.values() for text in texts), torch.tensor(labels))

    return Split(
        collected(training, per_play),
        collected(training, None),
        collected(WATCHED, per_play),
        collected(HELD_OUT, 2 * per_play),
    )
