"""One classifier in training: the plan, the run, its checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from projects.downloads import replacing
from projects.frozen_blocks import padded
from projects.modules import place_to_look, standing_on
from projects.passages import KINDS


@dataclass(frozen=True)
class Plan:
    """What decides a run, from the first number to the last; the defaults are for two CPU cores.

    words: how long a passage is.
    tokens: how many of its tokens are read at most.
    per_play: how many passages of each play; twice as many of those held out.
    above: how many blocks, counted from the top, may learn.
    adapted: the own names of the layers that get adapters (Hu et al. 2021, section 7.1).
    ranks: of the adapters. Each has alpha = 2 · rank.
    batch, epochs: passages in a step, and how often each is read.
    learning_rate: of AdamW, falling to 0 along a line.
    seed: where all randomness comes from.
    """

    words: int = 40
    tokens: int = 72
    per_play: int = 16
    above: int = 4
    adapted: tuple[str, ...] = ("q_proj", "v_proj")
    ranks: tuple[int, ...] = (2, 8, 32)
    batch: int = 16
    epochs: int = 2
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """Passages as tokens.

    texts: N of them.
    labels: `[N]`.
    """

    texts: tuple[tuple[int, ...], ...]
    labels: Tensor


@dataclass
class Course:
    """How a run went so far.

    losses: of every step.
    watched: (steps done, accuracy on the watched plays), now and then.
    seconds, processor: the time that the steps took, on the clock and of all cores together.
    """

    losses: list[float] = field(default_factory=list)
    watched: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0


class Run:
    """A classifier in training, with all that its next step depends on.

    Args:
        plan: what to do.
        classification: the student's module.
        classifier: the student's TextClassifier, of which some parameters learn.
        data: what it learns from.
        padding: the id that fills short texts up.
    """

    def __init__(self, plan: Plan, classification: ModuleType, classifier: Any, data: Data, padding: int) -> None:
        self.plan, self.exercise, self.classifier, self.data = plan, classification, classifier, data
        self.padding, self.course = padding, Course()
        self.device = next(classifier.parameters()).device
        self.learning = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.learning.values(), lr=plan.learning_rate, weight_decay=0.0)
        generator = torch.Generator().manual_seed(plan.seed)
        self.order = torch.cat([torch.randperm(len(data.texts), generator=generator) for _ in range(plan.epochs)])
        self.steps = math.ceil(len(self.order) / plan.batch)
        with standing_on("classification"):
            self.weights = classification.balanced_weights(data.labels, len(KINDS)).to(self.device)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.course.losses)

    def advance(self) -> float:
        """One step; returns the batch's loss."""
        began, used = time.perf_counter(), time.process_time()
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * (1 - self.step / self.steps)
        chosen = self.order[self.step * self.plan.batch :][: self.plan.batch]
        logits = self.logits([self.data.texts[place] for place in chosen.tolist()])
        with standing_on("classification"):
            labels = self.data.labels[chosen].to(self.device)
            loss = self.exercise.weighted_cross_entropy(logits, labels, self.weights)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        number = float(loss.item())
        if not math.isfinite(number):
            raise place_to_look("classification", f"the loss of step {self.step + 1} is {number}.")
        self.course.losses.append(number)
        self.course.seconds += time.perf_counter() - began
        self.course.processor += time.process_time() - used
        return number

    def logits(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """The classifier's logits `[B, K]` of a batch of texts."""
        ids, mask = padded(texts, self.padding)
        with standing_on("classification"):
            logits: Tensor = self.classifier(ids.to(self.device), mask.to(self.device))
            if logits.shape != (len(texts), len(KINDS)):
                wanted = [len(texts), len(KINDS)]
                raise place_to_look("classification", f"the logits are {list(logits.shape)}, and should be {wanted}.")
        return logits

    @torch.no_grad()
    def judge(self, data: Data) -> Tensor:
        """The logits of all its texts, `[N, K]`."""
        parts = [data.texts[start : start + 32] for start in range(0, len(data.texts), 32)]
        return torch.cat([self.logits(part).cpu() for part in parts])

    def memory(self) -> int:
        """The bytes that learning takes beside the model: what learns, its gradients, and the optimizer's moments."""
        kept = [self.optimizer.state[p].values() for p in self.learning.values() if p in self.optimizer.state]
        moments = sum(int(value.nbytes) for state in kept for value in state if isinstance(value, Tensor))
        return moments + 2 * sum(int(p.nbytes) for p in self.learning.values())

    def save(self, path: Path) -> None:
        """Writes a checkpoint, whole or not at all."""
        state = {
            "plan": asdict(self.plan),
            "course": asdict(self.course),
            "learned": {name: p.detach() for name, p in self.learning.items()},
            "optimizer": self.optimizer.state_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save(state, part)

    def restore(self, path: Path) -> None:
        """Goes on where a checkpoint of this very run was written, if there is one."""
        try:
            state = torch.load(path, weights_only=True, map_location=self.device)
            shapes = {name: tensor.shape for name, tensor in state["learned"].items()}
            ours = asdict(self.plan) == state["plan"] and shapes == {n: p.shape for n, p in self.learning.items()}
        except Exception:  # missing, or of another program: PyTorch has many errors for it
            return
        if not ours:
            return
        with torch.no_grad():
            for name, parameter in self.learning.items():
                parameter.copy_(state["learned"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        course = dict(state["course"])
        course["watched"] = [(step, accuracy) for step, accuracy in course["watched"]]
        self.course = Course(**course)
