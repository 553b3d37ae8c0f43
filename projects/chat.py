"""Talking to the model through its chat template, with the student's cache and the student's decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from projects.cached_llama import CachedLlama, write

TEMPERATURE, TOP_P = 0.2, 0.9


def chooser(decoding: ModuleType, temperature: float, top_p: float) -> Callable[[Tensor], Tensor]:
    """Chooses the next token with the student's own functions, the same way every time."""
    generator = torch.Generator().manual_seed(0)

    def choose(logits: Tensor) -> Tensor:
        token: Tensor = decoding.sample(
            decoding.top_p_filter(decoding.apply_temperature(logits, temperature), top_p), generator
        )
        return token

    return choose


class Chat:
    """A conversation. What was read once stays in the caches.

    Args:
        new_llama: makes the model with empty caches.
        tokenizer: one with a chat template.
        stops: the tokens that end an answer.
        choose: takes logits `[V]` and returns the next token.

    Attributes:
        messages: all that was said, as chat templates take it.
        read: the tokens in the caches.
    """

    def __init__(
        self,
        new_llama: Callable[[], CachedLlama],
        tokenizer: Any,
        stops: set[int],
        choose: Callable[[Tensor], int | Tensor],
    ) -> None:
        self.new_llama, self.tokenizer, self.stops, self.choose = new_llama, tokenizer, stops, choose
        self.llama = new_llama()
        self.messages: list[dict[str, str]] = []
        self.read: list[int] = []

    def reply(self, question: str, limit: int = 200) -> Iterator[str]:
        """The answer, piece by piece."""
        self.messages.append({"role": "user", "content": question})
        template = self.tokenizer.apply_chat_template(self.messages, add_generation_prompt=True, return_dict=True)
        ids = template["input_ids"]
        if ids[: len(self.read)] != self.read:  # an answer may be cut into other tokens when it is read again
            self.llama, self.read = self.new_llama(), []
        new = fed = ids[len(self.read) :]
        answer: list[int] = []
        shown = ""
        for token in islice(write(self.llama, new, self.choose), limit):
            self.read += fed  # what was chosen is read only when the next token is asked for
            fed = [token]
            if token in self.stops:
                break
            answer.append(token)
            said = self.tokenizer.decode(answer)
            if not said.endswith("�"):  # half a letter
                yield said[len(shown) :]
                shown = said
        self.messages.append({"role": "assistant", "content": self.tokenizer.decode(answer)})
