"""Training a MiniLlama: the plan, the run and its checkpoints.

A checkpoint holds all that the next step depends on, so that a run that was killed goes on as if nothing had happened:
on the CPU to the last bit.
"""

from __future__ import annotations

import math
import pickle
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
    micro_batch: how many of them go through the model at once; the gradients of the others are added.
    steps: how many steps there are.
    learning_rate: the highest; it rises for `warmup` steps and then falls along half a cosine to a tenth.
    weight_decay: AdamW's, for matrices; gains of norms do not decay.
    clip: the longest gradient that is taken as it is.
    seed: where all randomness comes from.
    """

    dim: int = 160
    num_heads: int = 5
    num_layers: int = 4
    hidden_dim: int = 432
    context: int = 128
    batch: int = 32
    micro_batch: int = 16
    steps: int = 2400
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0


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
        optimizer: the student's module, or `projects.torch_optimizer`.
        vocab_size: how many tokens there are.
        device: where to compute.
    """

    def __init__(
        self, plan: Plan, language_model: ModuleType, optimizer: ModuleType, vocab_size: int, device: torch.device
    ) -> None:
        self.plan, self.exercise, self.tools, self.device = plan, language_model, optimizer, device
        self.course, self._readable = Course(), False
        torch.manual_seed(plan.seed)
        with standing_on("language_model"):
            shape = (vocab_size, plan.dim, plan.num_heads, plan.num_layers, plan.hidden_dim)
            self.model: Any = language_model.MiniLlama(*shape).to(device)
            matrices = [weight for weight in self.model.parameters() if weight.dim() == 2]
            vectors = [weight for weight in self.model.parameters() if weight.dim() != 2]
        with standing_on("optimizer"):
            self.optimizers: list[Any] = [
                optimizer.AdamW(weights, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=decay)
                for weights, decay in ((matrices, plan.weight_decay), (vectors, 0.0))
            ]
        self.generator = torch.Generator().manual_seed(plan.seed)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.course.losses)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0, by the optimizer's `warmup_cosine`."""
        plan = self.plan
        warmup = min(plan.warmup, plan.steps - 1)
        with standing_on("optimizer"):
            peak, floor = plan.learning_rate, plan.learning_rate / 10
            return float(self.tools.warmup_cosine(step, peak, warmup, plan.steps, floor=floor))

    def advance(self, data: Tensor) -> float:
        """One step on a batch of `data` `[N]`; returns the batch's loss."""
        with standing_on("language_model"):
            ids = self.exercise.sample_batch(data, self.plan.batch, self.plan.context, self.generator)
        parts = ids.to(self.device).split(self.plan.micro_batch)
        rate = self.rate(self.step)
        with standing_on("optimizer"):
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss = float(self.tools.accumulate_gradients(self._losses(parts), [part[:, 1:].numel() for part in parts]))
            trained = [weight for weight in self.model.parameters() if weight.grad is not None]
            clipped, _ = self.tools.clip_gradient_norm([weight.grad for weight in trained], self.plan.clip)
            for weight, gradient in zip(trained, clipped, strict=True):
                weight.grad = gradient
            for optimizer in self.optimizers:
                optimizer.lr = rate
                optimizer.step()
        if not math.isfinite(loss):
            raise NotReady(f"The loss of step {self.step + 1} is {loss}.\nTry: make check EX=language_model")
        self.course.losses.append(loss)
        return loss

    def _losses(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """The loss of each part of a batch, made when it is asked for."""
        for ids in parts:
            with standing_on("language_model"):
                loss: Tensor = self.exercise.next_token_loss(self.model(ids), ids)
            yield loss

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

    @torch.no_grad()
    def bits_per_byte(self, data: Tensor, text: str, evaluation: ModuleType) -> float:
        """How many bits the model needs for a byte, by the student's own `perplexity` and `bits_per_byte`.

        Args:
            data: `[N]`, the ids of the text; windows overlap by a token, so that each but the first is predicted once.
            text: what stands there after the first token.
            evaluation: the student's module.
        """
        context, new = self.plan.context, self.plan.context - 1
        total, covered = 0.0, (len(data) - 1) // new * new
        windows = list(data.unfold(0, context, new).split(64)) if covered else []  # type: ignore[no-untyped-call]
        if covered < len(data) - 1:
            windows.append(data[None, covered:])
        for part in windows:
            ids = part.to(self.device)
            with standing_on("language_model"):
                logits = self.model(ids)
            with standing_on("evaluation"):
                total += math.log(evaluation.perplexity(logits, ids)) * ids[:, 1:].numel()
        with standing_on("evaluation"):
            return float(evaluation.bits_per_byte(total, text))

    def save(self, path: Path, extra: dict[str, Any]) -> bool:
        """Writes a checkpoint, whole or not at all, and returns whether it can be gone on from.

        What an optimizer remembers is its own business. Where it has no `state_dict`, its attributes are kept, in one
        file with the weights, so that what was one tensor is one tensor again. Anything but tensors, numbers, texts and
        what Python collects them in is more than a checkpoint holds.
        """
        state = {
            "plan": asdict(self.plan),
            "course": asdict(self.course),
            "weights": dict(self.model.named_parameters()),
            "optimizers": [_remembered(optimizer) for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
            **extra,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path) as part:
                torch.save(state, part)
        except (pickle.PicklingError, AttributeError, TypeError):  # an open file, say, or a function without a name
            return False
        except RuntimeError as error:  # PyTorch's own for a full disk
            if says_full(error) or "write" in str(error):
                raise disk_full(path) from None
            raise
        self._readable = self._readable or read_checkpoint(path, self.plan) is not None
        return self._readable

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where a checkpoint was written.

        Optimizers that were kept as attributes hold the tensors that were read, so the model takes these too.
        """
        weights = dict(self.model.named_parameters())
        for optimizer, remembered in zip(self.optimizers, state["optimizers"], strict=True):
            if _has_state(optimizer):
                optimizer.load_state_dict(remembered)
            else:
                vars(optimizer).update(remembered)
        if all(map(_has_state, self.optimizers)):
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(state["weights"][name])
        else:
            read = {id(weight): state["weights"][name] for name, weight in weights.items()}
            for module in self.model.modules():
                for name, weight in module.named_parameters(recurse=False, remove_duplicate=False):
                    setattr(module, name, read[id(weight)])
        self.generator.set_state(state["generator"].cpu())
        course = state["course"]
        held_out = [(step, loss) for step, loss in course["held_out"]]
        self.course = Course(list(course["losses"]), held_out, course["seconds"])


def _has_state(optimizer: Any) -> bool:
    return hasattr(optimizer, "state_dict") and hasattr(optimizer, "load_state_dict")


def _remembered(optimizer: Any) -> dict[str, Any]:
    return dict(optimizer.state_dict() if _has_state(optimizer) else vars(optimizer))


def read_checkpoint(path: Path, plan: Plan, device: torch.device | None = None) -> dict[str, Any] | None:
    """The checkpoint of this very plan, if there is one that can be read; only numbers and texts are loaded from it."""
    try:
        with torch.serialization.safe_globals([defaultdict, dict]):  # what somebody may keep moments in
            state = torch.load(path, weights_only=True, map_location=device or "cpu")
        return dict(state) if state["plan"] == asdict(plan) else None
    except Exception:  # missing, or of another program: PyTorch has many errors for it
        return None


def best_device() -> torch.device:
    """The accelerator that PyTorch finds, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
