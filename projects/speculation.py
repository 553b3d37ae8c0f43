"""Speculative decoding with the student's `speculative_step`: a draft writes ahead, and the target judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from projects.cached_llama import CachedLlama
from projects.modules import place_to_look, standing_on

Judge = Callable[[Tensor, Tensor, Tensor, torch.Generator], list[int]]


@dataclass
class Speculated:
    """What was written, and what it took.

    Attributes:
        ids: the tokens after the prompt.
        steps: how often the target ran.
        judged: drafted tokens that were looked at; those after a refused one are not.
        accepted: those that were kept.
    """

    ids: list[int]
    steps: int = 0
    judged: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float:
        """The part of the judged tokens that was accepted."""
        return self.accepted / self.judged if self.judged else 0.0

    @property
    def per_step(self) -> float:
        """Tokens for each run of the target."""
        return len(self.ids) / self.steps if self.steps else 0.0


def early_exit(model: Any, depth: int) -> Any:
    """The first blocks of a MiniLlama, and then its norm and head at once: a draft that needs no training."""
    return SimpleNamespace(
        embed_tokens=model.embed_tokens, layers=model.layers[:depth], norm=model.norm, lm_head=model.lm_head
    )


def greedy(logits: Tensor) -> Tensor:
    """All probability on the most probable token: `[..., V]` to `[..., V]`."""
    return torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)


@torch.no_grad()
def speculate(
    target: CachedLlama,
    draft: CachedLlama,
    prompt: Sequence[int],
    new: int,
    num_draft: int,
    probabilities: Callable[[Tensor], Tensor],
    step: Judge,
    generator: torch.Generator,
) -> Speculated:
    """Writes at least `new` tokens after a prompt.

    Args:
        target: the model that decides, with empty caches.
        draft: the one that writes ahead, with empty caches.
        prompt: token ids, at least one.
        new: after so many tokens no step is begun.
        num_draft: K, how many tokens are drafted for a step.
        probabilities: logits `[..., V]` to the distribution that is drawn from.
        step: the student's `speculative_step`.
        generator: where all random numbers come from.
    """
    ids, written = list(prompt), Speculated([])
    while len(written.ids) < new:
        drafted: list[int] = []
        rows = []
        for _ in range(num_draft):
            unread = [*ids, *drafted][draft.length :]
            rows.append(probabilities(draft(torch.tensor([unread]))[0, -1]))  # [V]
            drafted.append(int(torch.multinomial(rows[-1], 1, generator=generator)))
        unread = [*ids, *drafted][target.length :]
        wanted = probabilities(target(torch.tensor([unread]))[0, -num_draft - 1 :])  # [K + 1, V]
        with standing_on("speculative_decoding"):
            tokens = step(wanted, torch.stack(rows), torch.tensor(drafted), generator)
            kept = len(tokens) - 1
            if not 0 <= kept <= num_draft or tokens[:kept] != drafted[:kept]:
                raise place_to_look("speculative_decoding", f"of the drafts {drafted}, your step made {tokens}.")
        ids += tokens
        written.ids += tokens
        written.steps += 1
        written.accepted += kept
        written.judged += min(kept + 1, num_draft)
        for llama in (target, draft):  # what was read of refused drafts is forgotten
            llama.forget(min(llama.length, len(ids) - 1))
    return written


def check_speculation(exercise: ModuleType, target: Tensor, draft: Tensor) -> None:
    """The student's step on two real rows of logits `[V]`: what comes out first, against the target's probabilities.

    Raises:
        NotReady: the two are too far apart, or `expected_tokens` is no such sum; the exercise is the place to look.
    """
    best, draws = target.topk(min(20, len(target))).indices, 4000
    p, q = target[best].softmax(dim=-1), draft[best].softmax(dim=-1)  # [20] each
    generator = torch.Generator().manual_seed(0)
    drafted = torch.multinomial(q, draws, replacement=True, generator=generator)
    with standing_on("speculative_decoding"):
        counts = torch.zeros(len(p))
        for token in drafted:
            counts[exercise.speculative_step(torch.stack([p, p]), q[None], token[None], generator)[0]] += 1
        off = (counts / draws - p).abs().sum().item() / 2
        promised, known = exercise.expected_tokens(0.75, 3), 1 + 0.75 + 0.75**2 + 0.75**3
    if off > 0.1:
        raise place_to_look(
            "speculative_decoding", f"of {draws} tokens that your step gave, {off:.0%} should have been others."
        )
    if abs(promised - known) > 1e-6:
        raise place_to_look(
            "speculative_decoding", f"your expected_tokens(0.75, 3) is {promised:.4f}, and the sum is {known:.4f}."
        )
