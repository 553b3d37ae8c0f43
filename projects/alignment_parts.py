"""What an alignment needs around its losses: the exercises, how much of everything, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from projects.modules import standing_on


class Exercise:
    """An exercise whose functions, when they fail, name it as the place to look."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with standing_on(self._module.__name__):
                return getattr(self._module, name)(*args, **kwargs)

        return call


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    reading: steps in which the model learns to go on.
    tuning: steps of supervised fine-tuning.
    judging: steps of the reward model.
    updates: steps of DPO, of PPO and of GRPO, the same number for each.
    batch: answers in a step.
    looks: how often each is measured on the way.
    measured: answers that a measurement takes.
    """

    reading: int = 300
    tuning: int = 500
    judging: int = 100
    updates: int = 240
    batch: int = 64
    looks: int = 12
    measured: int = 560

    def reduced(self, steps: int) -> Scale:
        """The same with `steps` updates, and all else in proportion."""
        part = steps / self.updates
        reading, tuning, judging = (
            max(1, round(number * part)) for number in (self.reading, self.tuning, self.judging)
        )
        return replace(self, reading=reading, tuning=tuning, judging=judging, updates=steps)


@dataclass
class Way:
    """A method's measurements over time.

    updates: the updates done at each look.
    questions: the share of answers that end in a question mark.
    right: the share of answers that are sentences about their topic.
    rewards: what the reward model thinks of them, on the mean.
    kl: how far the model is from the reference, in nats an answer.
    seconds: the time its updates took, data and all, without the looks.
    written: the answers that a model wrote for it.
    """

    updates: list[int] = field(default_factory=list)
    questions: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    seconds: float = 0.0
    written: int = 0
