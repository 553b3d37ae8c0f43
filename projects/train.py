"""Trains the student's own MiniLlama on Shakespeare: `make train`, or `python -m projects.train`.

Four plays are held out (`HELD_OUT` in projects/shakespeare.py). The picture pictures/train.png grows while it learns, a
run that was stopped goes on where it was, and at the end the model writes a page with the student's own cache and
sampler.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from autograder.course import find_course
from projects import loss_curve, torch_optimizer
from projects.cached_llama import CachedLlama, write
from projects.corpus import Corpus, in_byte_pairs, in_characters
from projects.modules import NotReady, add_folder_option, load_exercises, standing_on
from projects.sentences import run
from projects.shakespeare import read_plays
from projects.training import Plan, Run, best_device, read_checkpoint
from projects.vocabulary import Vocabulary

EVERY = 50  # steps between two checkpoints
LOOK = 100  # steps between two looks at the held-out plays
WINDOWS = 128  # windows of the held-out plays that a look takes; the end takes all
PAGE = 900  # characters that the model writes at the end
UNKEPT = "Your AdamW remembers more than tensors and numbers: a run that is stopped begins anew."
PROMPT = "ACT I\n\nSCENE I. "


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, or goes on training, and lets the model write. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="train", description="Trains your own MiniLlama on Shakespeare.")
    add_folder_option(parser)
    parser.add_argument("--tokenizer", choices=["characters", "bpe"], default="characters", help="bpe: your own")
    parser.add_argument("--steps", type=int, default=Plan.steps, help=f"{Plan.steps} by default")
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever there is")
    parser.add_argument("--prompt", default=PROMPT, help="what the model goes on from")
    options = parser.parse_args(arguments)
    options.prompt = options.prompt.replace("\\n", "\n")
    return run(lambda console: _train(options, console))


def _train(options: argparse.Namespace, console: Console) -> None:
    names = ["llama_block", "language_model", *(["tokenization"] if options.tokenizer == "bpe" else [])]
    llama_block, language_model, *tokenization = load_exercises(options.folder, names)
    root = find_course().root
    cache, picture = root / ".cache" / "train", root / "pictures" / "train.png"
    plan = Plan(steps=options.steps)
    plays = read_plays(console)
    with _bars(console) as bars:
        corpus = in_byte_pairs(plays, tokenization[0], cache, bars) if tokenization else in_characters(plays)
    device = best_device()
    optimizer = _unless_finished(options.folder, "optimizer", "PyTorch's AdamW, clipping and accumulation", console)
    training = Run(plan, language_model, optimizer or torch_optimizer, corpus.vocabulary.size, device)
    path = cache / f"{options.tokenizer}-{_digest(plan, corpus.vocabulary, training.tools)}.pt"
    if not options.fresh and (state := read_checkpoint(path, plan, device)):
        training.restore(state)
    _introduce(training, corpus, console)
    train(training, corpus, path, picture, console)
    _conclude(training, corpus, picture, console)
    if evaluation := _unless_finished(options.folder, "evaluation", "no bits per byte", console):
        _judge(training, corpus, evaluation, console)
    kv_cache, decoding = load_exercises(options.folder, ["kv_cache", "decoding"])
    console.rule("[dim]your model writes")
    page = pages(training, corpus.vocabulary, options.prompt, llama_block, kv_cache, decoding)
    console.print(options.prompt, end="", markup=False, style="dim")
    for text in islice(page, PAGE):
        console.print(text, end="", markup=False)
    console.print()


def train(training: Run, corpus: Corpus, path: Path, picture: Path, console: Console) -> None:
    """All steps that are left, with checkpoints, a bar, and a picture that grows.

    Args:
        training: a new run, or one that goes on.
        corpus: what it learns from.
        path: where its checkpoints go.
        picture: where the picture goes.
        console: what people see; a line for each look at the held-out plays where it is no terminal.
    """
    plan, course, scale = training.plan, training.course, corpus.per_character
    simple = loss_curve.simple_losses(corpus.train[:1_000_000].tolist())
    with _bars(console) as bars:
        warned = False
        task = bars.add_task("", total=plan.steps, completed=training.step)
        while training.step < plan.steps:
            began = time.monotonic()
            loss = training.advance(corpus.train)
            course.seconds += time.monotonic() - began
            last = training.step == plan.steps
            if training.step % LOOK == 0 or last:
                look = training.loss_on(corpus.held_out, None if last else WINDOWS)
                course.held_out.append((training.step, look))
                figure = loss_curve.draw(course, plan.steps, corpus.vocabulary.size, simple, scale)
                loss_curve.save(figure, picture)
                if not console.is_terminal:
                    console.print(f"step {training.step}: {loss * scale:.3f}, held out {look * scale:.3f}")
            if training.step % EVERY == 0 or last:
                kept = training.save(path, {"vocabulary": corpus.vocabulary.state()})
                if not kept and not warned:
                    console.print(UNKEPT)
                warned = warned or not kept
            held_out = f", held out {course.held_out[-1][1] * scale:.2f}" if course.held_out else ""
            words = f"step {training.step} of {plan.steps}: loss {loss * scale:.2f}{held_out}"
            bars.update(task, completed=training.step, description=words)


def pages(
    training: Run,
    vocabulary: Vocabulary,
    prompt: str,
    llama_block: ModuleType,
    kv_cache: ModuleType,
    decoding: ModuleType,
    seed: int = 0,
) -> Iterator[str]:
    """What the model writes after a prompt, piece by piece and without end, with the student's own cache and sampler.

    A model has learned positions up to its context alone. When a page is full, the newer half of what stands there
    begins the next one, in a new cache.
    """
    plan, generator = training.plan, torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> int:
        with standing_on("decoding"):
            warm = decoding.apply_temperature(logits.cpu(), 0.8)
            return int(decoding.sample(decoding.top_p_filter(decoding.top_k_filter(warm, 50), 0.95), generator))

    ids = vocabulary.encode(prompt)
    before = len(ids)
    shown = ""
    while True:
        seen = ids[-plan.context // 2 :]
        llama = CachedLlama(training.model, plan.num_heads, 10000.0, llama_block.rotate, kv_cache.KVCache)
        with standing_on("kv_cache"):
            for token in islice(write(llama, seen, choose), plan.context - len(seen)):
                ids.append(token)
                text = vocabulary.decode(ids[before:])
                if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # else a character is not whole yet
                    yield text[len(shown) :]
                    shown = text


def _unless_finished(folder: Path, name: str, instead: str, console: Console) -> ModuleType | None:
    """An exercise that training can do without; what there is instead of it is said."""
    try:
        return load_exercises(folder, [name])[0]
    except NotReady as error:
        console.print(f"{error}\nUntil it is finished: {instead}.", markup=False)
        return None


def _judge(training: Run, corpus: Corpus, evaluation: ModuleType, console: Console) -> None:
    """Bits per byte, the measure that does not depend on what a token is."""
    text = corpus.vocabulary.decode(corpus.held_out[1:].tolist())
    bits = training.bits_per_byte(corpus.held_out, text, evaluation)
    console.print(f"By your own evaluation, the model needs {bits:.3f} bits for a byte of them; uncompressed it is 8.")


def _introduce(training: Run, corpus: Corpus, console: Console) -> None:
    weights = sum(weight.numel() for weight in training.model.parameters())
    where = (
        f"{training.device} ({torch.get_num_threads()} threads)" if training.device.type == "cpu" else training.device
    )
    console.print(
        f"Your MiniLlama has {weights:,} weights and reads {corpus.vocabulary.size} tokens. It learns on {where} from "
        f"{len(corpus.train):,} tokens; {len(corpus.held_out):,} are held out."
    )
    if training.step:
        done = (
            "All steps are done" if training.step == training.plan.steps else f"It goes on after step {training.step}"
        )
        console.print(f"{done}; --fresh would begin anew.")


def _conclude(training: Run, corpus: Corpus, picture: Path, console: Console) -> None:
    course = training.course
    console.print(
        f"Loss on all of the held-out plays: {course.held_out[-1][1] * corpus.per_character:.3f} nats a character, "
        f"after {training.step} steps in {course.seconds / 60:.1f} minutes. The picture is {picture}.",
    )


def _bars(console: Console) -> Progress:
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
    columns += [TimeElapsedColumn(), TextColumn("[dim]left"), TimeRemainingColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _digest(plan: Plan, vocabulary: Vocabulary, optimizer: ModuleType) -> str:
    """A name that changes with what a checkpoint belongs to: another optimizer remembers other things."""
    code = Path(str(optimizer.__file__)).read_bytes()
    return hashlib.sha256(repr((asdict(plan), vocabulary.state(), code)).encode()).hexdigest()[:8]


if __name__ == "__main__":
    sys.exit(main())
