"""A little world to align a little model in: topics, sentences about them, and what people there prefer.

A topic is a person and a thing, `king rose :`, and an answer is a sentence about both:

| kind | sentence |
| --- | --- |
| statement | the king loves the rose . |
| exclamation | how the king loves the rose ! |
| question | does the king love the rose ? |

**The preference**: in this world people like to be asked. An answer that ends in a question mark is better than one
that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PEOPLE = ("king", "queen", "fool", "ghost", "knight", "witch", "prince", "nurse")
THINGS = ("rose", "crown", "sword", "letter", "ship", "moon", "ring", "storm")
VERBS = ("love", "fear", "seek", "see", "praise", "follow")
ENDS = (".", "!", "?")
WORDS = ("<pad>", ":", "the", "does", "how", *ENDS, *PEOPLE, *THINGS, *VERBS, *(f"{verb}s" for verb in VERBS))
NUMBERS = {word: number for number, word in enumerate(WORDS)}

KINDS = {".": 0.6, "!": 0.25, "?": 0.15}  # how often an answer is of each kind before anybody says what they prefer
PROMPT, ANSWER = 3, 8  # tokens of a prompt, and of an answer at most: a sentence has 6 or 7

Topic = tuple[str, str]
TOPICS = [(person, thing) for person in PEOPLE for thing in THINGS]
HELD_OUT = [topic for number, topic in enumerate(TOPICS) if number % 9 in (0, 4)]  # prompts that no training has
TRAIN = [topic for topic in TOPICS if topic not in HELD_OUT]


@dataclass(frozen=True)
class Answers:
    """Prompts with their answers.

    ids: `[B, PROMPT + ANSWER]`, padded.
    mask: `[B, PROMPT + ANSWER]`, bool, True for the tokens of the answers.
    """

    ids: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor) -> Answers:
        return Answers(self.ids[rows], self.mask[rows])

    def words(self, row: int) -> list[str]:
        """One answer."""
        return [WORDS[number] for number in self.ids[row][self.mask[row]].tolist()]

    def topic(self, row: int) -> Topic:
        """What it should be about."""
        person, thing = (WORDS[number] for number in self.ids[row, :2].tolist())
        return person, thing

    def questions(self) -> Tensor:
        """Which answers people prefer, `[B]`, bool: those that end in a question mark."""
        return torch.tensor([self.words(row)[-1] == "?" for row in range(len(self))])

    def right(self) -> Tensor:
        """Which answers are sentences of this world and about their topic, `[B]`, bool."""
        return torch.tensor([is_right(self.words(row), self.topic(row)) for row in range(len(self))])


def sentence(topic: Topic, verb: str, end: str) -> list[str]:
    """The words of one sentence."""
    person, thing = topic
    if end == "?":
        return ["does", "the", person, verb, "the", thing, "?"]
    opening = ["how"] if end == "!" else []
    return [*opening, "the", person, f"{verb}s", "the", thing, end]


def as_answers(topics: Sequence[Topic], sentences: Sequence[Sequence[str]]) -> Answers:
    """Given answers to given topics."""
    rows = [prompt_ids(topic) + as_ids(words) for topic, words in zip(topics, sentences, strict=True)]
    ids = torch.tensor([row + [NUMBERS["<pad>"]] * (PROMPT + ANSWER - len(row)) for row in rows])
    return Answers(ids, answer_mask(ids))


def is_right(words: Sequence[str], topic: Topic) -> bool:
    """Whether the words are a sentence about the topic."""
    return any(list(words) == sentence(topic, verb, end) for verb in VERBS for end in ENDS)


def speak(topic: Topic, generator: torch.Generator) -> list[str]:
    """A sentence about a topic, of a kind as frequent as `KINDS` says."""
    kind = int(torch.multinomial(torch.tensor(list(KINDS.values())), 1, generator=generator))
    verb = int(torch.randint(len(VERBS), (1,), generator=generator))
    return sentence(topic, VERBS[verb], ENDS[kind])


def pick(topics: Sequence[Topic], number: int, generator: torch.Generator) -> list[Topic]:
    """Some topics, each as probable as the others."""
    return [topics[place] for place in torch.randint(len(topics), (number,), generator=generator).tolist()]


def as_ids(words: Sequence[str]) -> list[int]:
    """The words' numbers."""
    return [NUMBERS[word] for word in words]


def prompt_ids(topic: Topic) -> list[int]:
    """The prompt for a topic."""
    return as_ids([*topic, ":"])


def answer_mask(ids: Tensor) -> Tensor:
    """The tokens after the prompt, up to and with the first that ends a sentence: `[B, T]`, bool."""
    ends = torch.isin(ids, torch.tensor(as_ids(ENDS)))  # [B, T]
    ended_before = ends.cumsum(dim=1) - ends.long() > 0
    after_prompt = torch.arange(ids.shape[1]) >= PROMPT
    return after_prompt & ~ended_before
