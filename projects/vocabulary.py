"""What a model reads: characters, or the tokens of the student's own byte-pair encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from projects.sentences import ProjectError


class Vocabulary(Protocol):
    """A text as numbers from 0 to `size` - 1, and back."""

    @property
    def size(self) -> int:
        """How many tokens there are."""

    def encode(self, text: str) -> list[int]:
        """The text's token ids."""

    def decode(self, ids: Sequence[int]) -> str:
        """Their text."""

    def state(self) -> list[str]:
        """All that makes this vocabulary, for a checkpoint."""


@dataclass(frozen=True)
class Characters:
    """A token is a character.

    letters: all of them, each once.
    """

    letters: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> Characters:
        """The characters of some texts, in order."""
        return cls("".join(sorted(set().union(*texts))))

    @property
    def size(self) -> int:
        """How many characters there are."""
        return len(self.letters)

    def encode(self, text: str) -> list[int]:
        """The number of every character."""
        numbers = {letter: number for number, letter in enumerate(self.letters)}
        if strangers := sorted(set(text) - set(numbers)):
            raise ProjectError(f"{strangers[0]!r} is no character of the plays, and the model knows no other.")
        return [numbers[letter] for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        """The characters, one after the other."""
        return "".join(self.letters[number] for number in ids)

    def state(self) -> list[str]:
        """The characters."""
        return list(self.letters)


@dataclass(frozen=True)
class BytePairs:
    """A token is some bytes, as the exercise `tokenization` makes them.

    tokenization: the student's module.
    merges: what its `train_bpe` learned.
    """

    tokenization: ModuleType
    merges: list[tuple[bytes, bytes]]

    @classmethod
    def of(cls, excerpt: str, num_merges: int, tokenization: ModuleType) -> BytePairs:
        """Learns merges from an excerpt: the exercise is plain Python, and the plays are long."""
        return cls(tokenization, tokenization.train_bpe(excerpt, num_merges))

    @property
    def size(self) -> int:
        """The bytes and the merges."""
        return 256 + len(self.merges)

    def encode(self, text: str) -> list[int]:
        """The text's token ids."""
        return list(self.tokenization.encode(text, self.merges))

    def decode(self, ids: Sequence[int]) -> str:
        """Their text; a character that is not whole yet is U+FFFD."""
        return str(self.tokenization.decode(list(ids), self.merges))

    def state(self) -> list[str]:
        """The merges, left and right in turn, a character for each byte."""
        return [part.decode("latin-1") for pair in self.merges for part in pair]


def restore(state: Sequence[str], tokenization: ModuleType | None) -> Vocabulary:
    """The vocabulary of a checkpoint: byte pairs where there is a `tokenization`, else characters."""
    if tokenization is None:
        return Characters("".join(state))
    parts = [part.encode("latin-1") for part in state]
    return BytePairs(tokenization, list(zip(parts[::2], parts[1::2], strict=True)))
