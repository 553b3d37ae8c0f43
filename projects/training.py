"""Training a MiniLlama: the plan, the run and its checkpoints.

A checkpoint holds all that the next step depends on, so that a run that was killed goes on as if nothing had happened:
on the CPU to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from projects.downloads import replacing
from projects.modules import NotReady, standing_on
from projects.sentences import disk_full, says_full


@dataclass(frozen=True)
class Plan:
    """What decides a run, from the first weight to the last; the defaults are for two CPU cores.

    dim, num_heads, num_layers, hidden_dim: the shape of the model.
    context: how many tokens it reads at once.
    batch: how many windows a step learns from.
    steps: how many steps there are.
    learning_rate: the highest; it rises for `warmup` steps and then falls along half a cosine to a tenth.
    weight_decay: AdamW's.
    clip: the longest gradient that is taken as it is.
    seed: where all randomness comes from.
    """

    dim: int = 160
    num_heads: int = 5
    num_layers: int = 4
    hidden_dim: int = 432
    context: int = 128
    batch: int = 32
    steps: int = 2400
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


@dataclass
class Course:
    """The history of a run.

    losses: of every step, on its batch, in nats per token.
    held_out: (steps done, loss on a part of the held-out text in nats per token), now and then.
    seconds: the time that the steps took.
    """

    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0


class Run:
    """A model in training, with all that its next step depends on.

    Args:
        plan: what to do.
        language_model: the student's module.
        vocab_size: how many tokens there are.
        device: where to compute.
    """

    def __init__(self, plan: Plan, language_model: ModuleType, vocab_size: int, device: torch.device) -> None:
        self.plan, self.exercise, self.device, self.course = plan, language_model, device, Course()
        torch.manual_seed(plan.seed)
        with standing_on("language_model"):
            shape = (vocab_size, plan.dim, plan.num_heads, plan.num_layers, plan.hidden_dim)
            self.model: Any = language_model.MiniLlama(*shape).to(device)
            matrices = [weight for weight in self.model.parameters() if weight.dim() == 2]
            vectors = [weight for weight in self.model.parameters() if weight.dim() != 2]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=plan.weight_decay)
        self.optimizer.register_step_pre_hook(self._clip)  # the student's train_step does not know of it
        self.generator = torch.Generator().manual_seed(plan.seed)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.course.losses)

    def advance(self, data: Tensor) -> float:
        """One step on a batch of `data` `[N]`; returns the batch's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step)
        with standing_on("language_model"):
            ids = self.exercise.sample_batch(data, self.plan.batch, self.plan.context, self.generator)
            loss = float(self.exercise.train_step(self.model, self.optimizer, ids.to(self.device)))
        if not math.isfinite(loss):
            raise NotReady(f"The loss of step {self.step + 1} is {loss}.\nTry: make check EX=language_model")
        self.course.losses.append(loss)
        return loss

    @torch.no_grad()
    def loss_on(self, data: Tensor, windows: int | None = None) -> float:
        """The mean loss on `windows` windows spread evenly over `data`, or on all that lie side by side."""
        length = self.plan.context
        every = len(data) // length
        starts = torch.arange(every) * length
        if windows is not None and windows < every:
            starts = starts[torch.arange(windows) * every // windows]
        total = 0.0
        for part in torch.split(starts, 64):
            ids = data[part[:, None] + torch.arange(length)].to(self.device)
            with standing_on("language_model"):
                total += float(self.exercise.next_token_loss(self.model(ids), ids)) * len(part)
        return total / len(starts)

    def save(self, path: Path, extra: dict[str, Any]) -> None:
        """Writes a checkpoint, whole or not at all."""
        state = {
            "plan": asdict(self.plan),
            "course": asdict(self.course),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            **extra,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path) as part:
                torch.save(state, part)
        except RuntimeError as error:  # PyTorch's own for a full disk
            if says_full(error) or "write" in str(error):
                raise disk_full(path) from None
            raise

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a checkpoint was written."""
        with standing_on("language_model"):
            self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        course = state["course"]
        held_out = [(step, loss) for step, loss in course["held_out"]]
        self.course = Course(list(course["losses"]), held_out, course["seconds"])

    def _clip(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)


def read_checkpoint(path: Path, plan: Plan) -> dict[str, Any] | None:
    """The checkpoint of this very plan, if there is one that can be read; only numbers and texts are loaded from it."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        return dict(state) if state["plan"] == asdict(plan) else None
    except Exception:  # missing, or of another program: PyTorch has many errors for it
        return None


def best_device() -> torch.device:
    """The accelerator that PyTorch finds, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
