"""A real model learns to tell comedies, histories and tragedies apart: `python -m projects.classify`.

SmolLM2-135M with the student's classifier and adapters, beside peft's adapters and a bag of words. A run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from autograder.course import find_course
from projects import classify_picture
from projects.adapters import Workshop, compare_losses, has_peft, lora_name, middle, peft_name, round_trip
from projects.bag_of_words import bag_of_words
from projects.classifying import Data, Plan, Run
from projects.frozen_blocks import Above, Below
from projects.modules import add_folder_option, load_exercises, standing_on
from projects.passages import KINDS, Passages, Split, split
from projects.sentences import ProjectError, run
from projects.shakespeare import read_folders, read_plays
from projects.smollm2 import model_folder
from projects.training import best_device
from projects.twins import load_original

EVERY = 5  # steps between two checkpoints
LOOKS = 3  # how often a run is judged on the watched plays


@dataclass(frozen=True)
class Row:
    """A line of the table; what does not apply is None."""

    name: str
    matrix: Tensor
    f1: float
    learned: int
    memory: int | None
    seconds: float
    processor: float | None

    @property
    def accuracy(self) -> float:
        """The diagonal's part of all."""
        return float(self.matrix.diagonal().sum() / self.matrix.sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains all classifiers, or goes on, and compares them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="classify", description="Comedy, history or tragedy? A real model learns it.")
    add_folder_option(parser)
    parser.add_argument("--model", type=Path, metavar="DIR", help="another Llama checkpoint")
    parser.add_argument("--passages", type=int, default=Plan.per_play, help=f"of each play, {Plan.per_play} by default")
    parser.add_argument("--epochs", type=int, default=Plan.epochs, help=f"{Plan.epochs} by default")
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever there is")
    options = parser.parse_args(arguments)
    if options.passages < 1 or options.epochs < 1:
        parser.error("at least one passage, and one epoch")
    return run(lambda console: _classify(options, console))


def _classify(options: argparse.Namespace, console: Console) -> None:
    lora, classification = load_exercises(options.folder, ["lora", "classification"])
    model = options.model or model_folder()
    if model is None:
        raise ProjectError("The real model is not here yet. To fetch it: make model")
    root = find_course().root
    cache = root / ".cache" / "classify"
    if options.fresh:
        shutil.rmtree(cache, ignore_errors=True)
    plan = Plan(per_play=options.passages, epochs=options.epochs)
    passages = split(read_plays(console), read_folders(console), plan.words, plan.per_play)
    original, tokenizer = load_original(model)
    plan = replace(plan, above=min(plan.above, len(original.model.layers) - 1))
    workshop = open_workshop(plan, lora, classification, original, cache / "states")
    padding = workshop.below.padding
    data = {part: encoded(tokenizer, getattr(passages, part), plan) for part in ("train", "watched", "held_out")}
    _introduce(passages, plan, len(original.model.layers) + plan.above, console)
    with bars(console) as progress:
        workshop.below.read([text for part in data.values() for text in part.texts], progress)
    folder = cache / _digest(plan, workshop, data["train"])
    runs = {}
    for name, make in workshop.ways().items():
        runs[name] = Run(plan, classification, make(), data["train"], padding)
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.pt"
        runs[name].restore(path)
        train(runs[name], data["watched"], name, path, console)
    _report(workshop, runs, passages, data["held_out"], folder, root / "pictures" / "classify.png", console)


def open_workshop(plan: Plan, lora: ModuleType, classification: ModuleType, original: Any, states: Path) -> Workshop:
    """Takes the original apart: the uppermost blocks, and the frozen ones below. It is not whole any more after this.

    Args:
        plan: what to do.
        lora: the student's module.
        classification: the student's module.
        original: transformers' LlamaForCausalLM.
        states: the folder for what the frozen blocks make of texts.
    """
    llama = original.model.to(best_device())
    above = Above(llama, plan.above)
    below = Below(llama, plan.above, llama.config.pad_token_id or 0, states)
    return Workshop(plan, lora, classification, above, below, llama.config.hidden_size)


def encoded(tokenizer: Any, passages: Passages, plan: Plan) -> Data:
    """The passages as the model's tokens, so many of each as the plan allows."""
    ids = tokenizer(list(passages.texts)).input_ids
    return Data(tuple(tuple(text[: plan.tokens]) for text in ids), passages.labels)


def train(run: Run, watched: Data, name: str, path: Path, console: Console) -> None:
    """All steps that are left, with checkpoints and a bar."""
    looks = {run.steps * look // LOOKS for look in range(1, LOOKS + 1)}
    with bars(console) as progress:
        task = progress.add_task(name, total=run.steps, completed=run.step)
        while run.step < run.steps:
            loss = run.advance()
            if run.step in looks:
                accuracy = (run.judge(watched).argmax(dim=1) == watched.labels).float().mean().item()
                run.course.watched.append((run.step, accuracy))
                if not console.is_terminal:
                    console.print(f"{name}, step {run.step} of {run.steps}: loss {loss:.3f}, watched {accuracy:.0%}")
            if run.step % EVERY == 0 or run.step == run.steps:
                run.save(path)
            shown = f", watched {run.course.watched[-1][1]:.0%}" if run.course.watched else ""
            words = f"{name}: step {run.step} of {run.steps}, loss {loss:.2f}{shown}"
            progress.update(task, completed=run.step, description=words)


def _report(
    workshop: Workshop,
    runs: dict[str, Run],
    passages: Split,
    held_out: Data,
    folder: Path,
    picture: Path,
    console: Console,
) -> None:
    """The table, what peft says, what became of the adapter, and the picture."""
    plan, labels = workshop.plan, held_out.labels

    def row(name: str, predictions: Tensor, *rest: Any) -> Row:
        with standing_on("classification"):
            matrix = workshop.classification.confusion_matrix(predictions, labels, len(KINDS))
            return Row(name, matrix, workshop.classification.macro_f1(predictions, labels, len(KINDS)), *rest)

    rows = []
    for known in (passages.train, passages.everything):
        counted = bag_of_words(known, passages.held_out)
        rows.append(
            row(f"bag of words, {len(known):,} read", counted.predictions, counted.learned, None, counted.seconds, None)
        )
    for name, each in runs.items():
        with standing_on("lora"):
            learned = workshop.lora.trainable_parameters(each.classifier)[0]
        predictions = each.judge(held_out).argmax(dim=1)
        rows.append(row(name, predictions, learned, each.memory(), each.course.seconds, each.course.processor))
    console.print(_table(rows))
    console.print(
        f"Always the same answer would be right for {1 / len(KINDS):.0%}; ±{_chance(len(labels)):.0%} is chance."
    )
    rank = middle(plan)
    if has_peft():
        apart = compare_losses(runs[lora_name(rank)], runs[peft_name(rank)])
        console.print(f"Step by step, the losses of your LoRA and peft's differ by {apart:.1e} at most.")
    else:
        console.print("peft is not installed, and is left out: pip install peft")
    best = max(plan.ranks, key=lambda rank: (runs[lora_name(rank)].course.watched[-1][1], -rank))
    trip = round_trip(workshop, runs[lora_name(best)], best, held_out, folder / "adapter.pt")
    console.print(
        f"The adapter of rank {best}, the best on the watched plays, and its head are a file of {_size(trip.size)}. "
        f"Loaded into a new model, no logit differs by more than {trip.loaded:.1e}; merged, by {trip.merged:.1e}."
    )
    by_name = {each.name: each.matrix for each in rows}
    shown = [rows[0].name, "head alone", lora_name(best)]
    figure = classify_picture.draw({name: run.course for name, run in runs.items()}, {n: by_name[n] for n in shown})
    classify_picture.save(figure, picture)
    console.print(f"The picture is {picture}.", markup=False)


def _introduce(passages: Split, plan: Plan, blocks: int, console: Console) -> None:
    counts = ", ".join(f"{int((passages.train.labels == k).sum())} {kind}" for k, kind in enumerate(KINDS))
    console.print(
        f"{len(passages.train)} passages of {plan.words} words to learn from ({counts}), {len(passages.watched)} of "
        f"other plays to watch by, {len(passages.held_out)} of still others for the end. The model has {blocks} "
        f"blocks; the last {plan.above} may learn."
    )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("accuracy", "macro F1", "learn", "memory", "time", "processor"):
        table.add_column(name, justify="right")
    for row in rows:
        memory = "" if row.memory is None else _size(row.memory)
        processor = "" if row.processor is None else f"{row.processor:.1f} s"
        numbers = [f"{row.accuracy:.1%}", f"{row.f1:.3f}", f"{row.learned:,}", memory, f"{row.seconds:.1f} s"]
        table.add_row(row.name, *numbers, processor)
    return table


def _size(number: int) -> str:
    return f"{number / 1000:,.0f} kB"


def _chance(number: int) -> float:
    """Two standard deviations of an accuracy of a half, measured on so many independent passages."""
    return float(number**-0.5)


def bars(console: Console) -> Progress:
    """Progress bars on a terminal."""
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
    columns += [TimeElapsedColumn(), TextColumn("[dim]left"), TimeRemainingColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _digest(plan: Plan, workshop: Workshop, train: Data) -> str:
    """Of all that a run depends on, the student's code too."""
    code = [Path(str(module.__file__)).read_bytes() for module in (workshop.lora, workshop.classification)]
    return hashlib.sha256(repr((asdict(plan), workshop.below.name, train.texts, code)).encode()).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
