"""The ways to make a classifier of one backbone: its head alone, the student's LoRA, and peft's beside it."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from projects.classifying import Data, Plan, Run
from projects.downloads import replacing
from projects.frozen_blocks import Above, Below
from projects.modules import place_to_look, standing_on
from projects.passages import KINDS

ALIKE = 1e-2  # losses of two LoRAs that differ by more do not come from rounding
CLOSE = 1e-3  # so much may merging move a logit, times the largest of them


@dataclass(frozen=True)
class Workshop:
    """What every classifier is made of.

    Attributes:
        plan: what to do.
        lora, classification: the student's modules.
        above: the blocks that may learn, as they came.
        below: the frozen ones.
        width: C, the length of a state.
    """

    plan: Plan
    lora: ModuleType
    classification: ModuleType
    above: Above
    below: Below
    width: int

    def classifier(self) -> Any:
        """A new one with nothing frozen. Its head always begins with the same numbers."""
        backbone = copy.deepcopy(self.above)
        backbone.below = self.below
        torch.manual_seed(self.plan.seed)
        with standing_on("classification"):
            return self.classification.TextClassifier(backbone, self.width, len(KINDS)).to(self.below.device)

    def head_alone(self) -> Any:
        """The head learns, and nothing else."""
        classifier = self.classifier()
        with standing_on("classification"):
            self.classification.freeze_backbone(classifier)
        return classifier

    def with_lora(self, rank: int) -> Any:
        """The student's adapters in every block that may learn, and the head."""
        classifier = self.classifier()
        with standing_on("lora"):
            self.lora.add_lora(classifier.backbone, set(self.plan.adapted), rank, 2 * rank)
        return classifier

    def with_peft(self, rank: int) -> Any:
        """The same with peft's adapters. They begin with the numbers that the student's begin with.

        (With one seed alone they would not: peft draws more numbers than it keeps.)
        """
        from peft import LoraConfig, inject_adapter_in_model

        theirs, ours = self.classifier(), self.with_lora(rank)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=list(self.plan.adapted))
        inject_adapter_in_model(config, theirs.backbone)
        with standing_on("lora"), torch.no_grad():
            for name, tensor in self.lora.lora_state_dict(ours.backbone).items():
                path, _, part = name.rpartition(".")
                getattr(theirs.backbone.get_submodule(path), part)["default"].weight.copy_(tensor)
        return theirs

    def ways(self) -> dict[str, Callable[[], Any]]:
        """All of them by name; peft's where it is installed, with the middle rank."""
        ways: dict[str, Callable[[], Any]] = {"head alone": self.head_alone}
        for rank in self.plan.ranks:
            ways[lora_name(rank)] = lambda rank=rank: self.with_lora(rank)  # type: ignore[misc]
        if has_peft():
            ways[peft_name(middle(self.plan))] = lambda: self.with_peft(middle(self.plan))
        return ways


def has_peft() -> bool:
    """Whether it is installed: it is an extra."""
    return importlib.util.find_spec("peft") is not None


def middle(plan: Plan) -> int:
    """The rank that peft gets, too."""
    return sorted(plan.ranks)[len(plan.ranks) // 2]


def lora_name(rank: int) -> str:
    """How a run of the student's is called."""
    return f"your LoRA, rank {rank}"


def peft_name(rank: int) -> str:
    """How peft's run is called."""
    return f"peft's LoRA, rank {rank}"


def compare_losses(ours: Run, theirs: Run) -> float:
    """The largest difference between the losses of two runs, step by step.

    Raises:
        NotReady: it is no rounding.
    """
    pairs = enumerate(zip(ours.course.losses, theirs.course.losses, strict=True), start=1)
    differences = {step: abs(one - other) for step, (one, other) in pairs}
    if apart := [step for step, difference in differences.items() if not difference <= ALIKE]:
        losses = f"{ours.course.losses[apart[0] - 1]:.4f}, and peft's {theirs.course.losses[apart[0] - 1]:.4f}"
        raise place_to_look("lora", f"at step {apart[0]} the loss with your adapters is {losses}.")
    return max(differences.values())


@dataclass(frozen=True)
class RoundTrip:
    """What became of an adapter that was saved, loaded and merged.

    size: of its file, in bytes.
    loaded, merged: the largest difference between two logits of the same passage, before and after.
    """

    size: int
    loaded: float
    merged: float


def round_trip(workshop: Workshop, run: Run, rank: int, data: Data, path: Path) -> RoundTrip:
    """Saves the adapter and the head, loads them into a new classifier, merges them, and asks each time.

    Raises:
        NotReady: the answers are not the same.
    """
    before = run.judge(data)
    with standing_on("lora"):
        head = {f"head.{name}": tensor for name, tensor in run.classifier.head.state_dict().items()}
        state = {name: tensor.detach() for name, tensor in workshop.lora.lora_state_dict(run.classifier).items()} | head
    with replacing(path) as new:
        torch.save(state, new)
    fresh = workshop.with_lora(rank)
    with standing_on("lora"):
        found = fresh.load_state_dict(torch.load(path, weights_only=True), strict=False)
        if found.unexpected_keys:
            raise place_to_look("lora", f"a new model has no place for {found.unexpected_keys[0]}, which was saved.")
    reader = Run(workshop.plan, workshop.classification, fresh, run.data, run.padding)
    loaded = reader.judge(data)
    with standing_on("lora"):
        workshop.lora.merge_lora(fresh)
    merged = reader.judge(data)
    trip = RoundTrip(path.stat().st_size, *((after - before).abs().max().item() for after in (loaded, merged)))
    largest = before.abs().max().item()
    for name, difference in (("loaded again", trip.loaded), ("merged", trip.merged)):
        if not difference <= CLOSE * largest:
            numbers = f"a logit moves by {difference:.2g}, where the largest is {largest:.2g}"
            raise place_to_look("lora", f"{name}, the adapter gives other answers: {numbers}.")
    return trip
