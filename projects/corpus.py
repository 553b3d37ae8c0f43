"""The plays as token ids, those to train on and those held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from rich.progress import Progress
from torch import Tensor

from projects.downloads import replacing
from projects.modules import standing_on
from projects.shakespeare import split_plays
from projects.vocabulary import BytePairs, Characters, Vocabulary, restore

EXCERPT = 100_000  # characters that byte-pair merges are learned from: the exercise is plain Python
MERGES = 256


@dataclass(frozen=True)
class Corpus:
    """What a model learns from, and what it is judged by.

    vocabulary: how text and ids belong together.
    train: `[N]`, the ids of the plays to train on.
    held_out: `[M]`, the ids of the others.
    per_character: tokens per character of the held-out plays; a loss per token times this is a loss per character.
    """

    vocabulary: Vocabulary
    train: Tensor
    held_out: Tensor
    per_character: float


def in_characters(plays: Mapping[str, str]) -> Corpus:
    """A token is a character, of all that occur in the plays."""
    vocabulary = Characters.of(plays.values())
    train, held_out = (torch.tensor(vocabulary.encode(text)) for text in split_plays(plays))
    return Corpus(vocabulary, train, held_out, 1.0)


def in_byte_pairs(plays: Mapping[str, str], tokenization: ModuleType, cache: Path, progress: Progress) -> Corpus:
    """A token is what the student's own byte-pair encoding makes, of merges learned from the first plays.

    That takes minutes, so the ids are kept in `cache`, under a name that changes with the plays and the student's code.
    """
    texts = split_plays(plays)
    code = Path(str(tokenization.__file__)).read_bytes()
    digest = hashlib.sha256(repr((texts, code, EXCERPT, MERGES)).encode()).hexdigest()[:16]
    path = cache / f"tokens-{digest}.pt"
    if not path.is_file():
        with standing_on("tokenization"):
            task = progress.add_task(f"Learning {MERGES} merges from {EXCERPT:,} characters", total=None)
            vocabulary = BytePairs.of(texts[0][:EXCERPT], MERGES, tokenization)
            progress.remove_task(task)
            task = progress.add_task("Encoding the plays", total=sum(map(len, texts)))
            ids: list[list[int]] = [[], []]
            for part, text in zip(ids, texts, strict=True):
                for start in range(0, len(text), 50_000):  # in pieces, for the bar to move
                    part += vocabulary.encode(text[start : start + 50_000])
                    progress.update(task, advance=50_000)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            torch.save({"merges": vocabulary.state(), "ids": [torch.tensor(part) for part in ids]}, new)
    state = torch.load(path, weights_only=True)
    train, held_out = state["ids"]
    return Corpus(restore(state["merges"], tokenization), train, held_out, len(held_out) / len(texts[1]))
