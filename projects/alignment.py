"""Alignment in the small: `make alignment`, or `python -m projects.alignment`.

In a little world of its own (projects/little_world.py) a model learns to speak, then what a prompt is, then what people
prefer: by DPO, by PPO and by GRPO, side by side, each with the student's own loss (projects/aligning.py).
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from autograder.course import find_course
from projects import alignment_picture, loss_curve
from projects import little_world as world
from projects.aligning import NAMES, Workshop
from projects.alignment_parts import Scale, Way
from projects.modules import add_folder_option, load_exercises
from projects.sentences import run

FACTS = {
    "data": ("pairs of answers, judged once", "its own answers, new each time", "its own, several to a topic"),
    "reward": (
        "none: the pairs say it",
        "the reward model, and a value model",
        "the rule itself, and the group's mean",
    ),
    "reference": ("inside the loss", "inside the reward, per token", "inside the loss, per token"),
    "clipping": ("none", "ratio in 1 ± 0.2", "ratio in 1 ± 0.2"),
    "networks": ("2: policy, reference", "4: and reward, value", "2: policy, reference"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Aligns a little model in three ways and compares them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="alignment", description="Your own losses align a little model.")
    add_folder_option(parser)
    parser.add_argument("--steps", type=int, default=Scale.updates, help=f"updates of each, {Scale.updates} by default")
    options = parser.parse_args(arguments)

    def work(console: Console) -> None:
        modules = dict(zip(NAMES, load_exercises(options.folder, NAMES), strict=True))
        scale = Scale().reduced(max(1, options.steps))
        align(modules, scale, find_course().root / "pictures" / "alignment.png", console)

    return run(work)


def align(modules: dict[str, ModuleType], scale: Scale, picture: Path, console: Console) -> dict[str, Way]:
    """The whole story, with its numbers and its picture; returns the ways of the three methods."""
    began, models = time.monotonic(), {}
    torch.manual_seed(0)
    workshop = Workshop(modules, scale)
    topic = " ".join(world.HELD_OUT[0])
    console.print(
        f"An answer that asks is better than one that does not. Topic: {topic}. No training has this prompt.\n"
    )

    def show(name: str, model: Any, said: str) -> None:
        models[name] = model
        answers = workshop.write(model, [world.HELD_OUT[0]] * 3)
        examples = "   ".join(" ".join(answers.words(row)) for row in range(3))
        console.print(f"[bold]{name:<5}[/] {said}\n      [dim]{examples}[/]")

    base, reading = workshop.read()
    show("base", base, f"has read {scale.reading} batches: loss {reading[0]:.2f} → {reading[-1]:.2f}. It only goes on.")
    reference = copy.deepcopy(base)
    tuning = workshop.tune(reference)
    show("SFT", reference, f"has seen topics and answers: loss {tuning[0]:.2f} → {tuning[-1]:.2f}. It answers.")
    chosen, rejected = workshop.compare(reference, 8 * scale.batch)
    judge, judging = workshop.judge(reference, chosen, rejected)
    learned = f"loss {judging[0]:.2f} → {judging[-1]:.2f}"
    console.print(
        f"      A reward model has compared {len(chosen)} pairs of its answers: {learned}. "
        f"It puts {_accuracy(workshop, reference, judge):.1%} of unseen pairs in the right order."
    )
    ways: dict[str, Way] = {}
    models["DPO"], ways["DPO"] = workshop.dpo(reference, judge, chosen, rejected)
    models["PPO"], ways["PPO"] = workshop.ppo(reference, judge)
    models["GRPO"], ways["GRPO"] = workshop.grpo(reference, judge)
    _, alone = workshop.dpo(reference, judge, chosen, rejected, anchor=0.0)
    ways["DPO"].written = 2 * len(chosen)
    for name, way in ways.items():
        show(name, models[name], f"{way.questions[0]:.0%} questions before, {way.questions[-1]:.0%} after.")
    console.print(_table(ways, scale))
    console.print(
        f"DPO's loss alone, without a little SFT loss beside it: {alone.questions[-1]:.0%} questions, "
        f"{alone.right[-1]:.0%} right sentences, {alone.kl[-1]:.1f} nats from the reference. It makes the rejected "
        "answers improbable, and does not say what becomes probable instead."
    )
    endings = {name: _endings(workshop, model) for name, model in models.items()}
    loss_curve.save(alignment_picture.draw(endings, _taste(workshop, judge), ways, alone), picture)
    console.print(f"{time.monotonic() - began:.0f} seconds. The picture is {picture}.", markup=False)
    return ways


def _table(ways: dict[str, Way], scale: Scale) -> Table:
    """How the three methods differ: what is true of each, and what this run measured."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ways:
        table.add_column(name, style=alignment_picture.COLORS[name])
    for fact, cells in FACTS.items():
        table.add_row(fact, *cells)
    table.add_section()
    measured = {
        f"{scale.updates} updates took": [f"{way.seconds:.1f} s" for way in ways.values()],
        "answers written": [f"{way.written:,}" for way in ways.values()],
        "questions": [f"{way.questions[0]:.0%} → {way.questions[-1]:.0%}" for way in ways.values()],
        "right sentences": [f"{way.right[0]:.0%} → {way.right[-1]:.0%}" for way in ways.values()],
        "reward": [f"{way.rewards[0]:+.2f} → {way.rewards[-1]:+.2f}" for way in ways.values()],
        "KL from the reference": [f"{way.kl[-1]:.2f} nats" for way in ways.values()],
    }
    for name, numbers in measured.items():
        table.add_row(name, *numbers)
    return table


def _endings(workshop: Workshop, model: Any) -> dict[str, float]:
    """The share of a model's answers that end in each mark."""
    answers = workshop.write(model, (world.HELD_OUT * workshop.scale.measured)[: workshop.scale.measured])
    last = [answers.words(row)[-1] for row in range(len(answers))]
    return {end: last.count(end) / len(last) for end in world.ENDS}


@torch.no_grad()
def _accuracy(workshop: Workshop, reference: Any, judge: Any) -> float:
    """How many pairs of a question and another answer, about unseen topics, the reward model orders right."""
    answers = workshop.write(reference, world.HELD_OUT * 60)
    rewards, questions = workshop.judged(judge, answers), answers.questions()
    return (rewards[questions][:, None] > rewards[~questions]).float().mean().item()


@torch.no_grad()
def _taste(workshop: Workshop, judge: Any) -> dict[str, float]:
    """The mean reward of sentences of five forms, two of which nobody has ever said."""
    said: dict[str, list[float]] = {}
    for verb in world.VERBS:
        for form, end in ((".", "."), ("!", "!"), ("?", "?"), (".", "?"), ("?", ".")):
            sentences = [[*world.sentence(topic, verb, form)[:-1], end] for topic in world.HELD_OUT]
            example = " ".join([*world.sentence(world.HELD_OUT[0], world.VERBS[0], form)[:-1], end])
            said.setdefault(example, []).extend(
                workshop.judged(judge, world.as_answers(world.HELD_OUT, sentences)).tolist()
            )
    return {example: sum(rewards) / len(rewards) for example, rewards in said.items()}


if __name__ == "__main__":
    sys.exit(main())
