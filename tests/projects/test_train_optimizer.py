"""Training with the student's optimizer and evaluation: step by step like PyTorch's, and on from any checkpoint."""

import importlib.util
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from autograder.course import find_course
from projects import torch_optimizer, train
from projects.corpus import in_characters
from projects.shakespeare import HELD_OUT
from projects.training import Plan, Run, read_checkpoint

NAMES = ("llama_block", "language_model", "optimizer", "evaluation")
CPU = torch.device("cpu")
TINY = Plan(dim=16, num_heads=2, num_layers=1, hidden_dim=24, context=16, batch=4, steps=40, warmup=4)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_rate_rises_and_falls(modules):
    """Linear up to the highest, half a cosine down to a tenth; a run shorter than the rise only rises."""
    plan = replace(TINY, steps=1100, warmup=100, learning_rate=1.0)
    for optimizer in (modules["optimizer"], torch_optimizer):
        run = Run(plan, modules["language_model"], optimizer, 10, CPU)
        assert [run.rate(step) for step in (0, 49, 99)] == pytest.approx([0.01, 0.5, 1.0])
        assert [run.rate(step) for step in (100, 600, 1100)] == pytest.approx([1.0, 0.55, 0.1])
        short = Run(replace(plan, steps=2), modules["language_model"], optimizer, 10, CPU)
        assert [short.rate(step) for step in (0, 1)] == pytest.approx([1.0, 1.0])


def test_pytorchs_optimizer_learns_the_same_step_by_step(modules):
    """The student's AdamW, schedule, clipping and accumulation beside torch.optim and torch.nn.utils: the same losses.

    In float64, for 30 steps: rounding of 1e-16, and what these steps make of it.
    """
    plan, losses = replace(TINY, micro_batch=3, clip=0.5), []
    data = torch.randint(0, 10, (400,), generator=torch.Generator().manual_seed(1))
    for optimizer in (modules["optimizer"], torch_optimizer):
        run = Run(plan, modules["language_model"], optimizer, 10, CPU)
        run.model.double()
        losses.append([run.advance(data) for _ in range(30)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert losses[0][-1] < losses[0][0] - 0.02
    unlike = Run(replace(plan, clip=5.0), modules["language_model"], torch_optimizer, 10, CPU)
    unlike.model.double()
    assert [unlike.advance(data) for _ in range(30)] != pytest.approx(losses[1], rel=1e-4)  # the clipping matters


def test_a_batch_in_parts_is_the_batch(modules):
    """Gradients that are added give the losses that the whole batch gives at once."""
    data, losses = torch.arange(100) % 10, []
    for micro_batch in (1, 3, 4):
        run = Run(replace(TINY, micro_batch=micro_batch), modules["language_model"], modules["optimizer"], 10, CPU)
        run.model.double()
        losses.append([run.advance(data) for _ in range(5)])
    assert losses[0] == pytest.approx(losses[2], rel=1e-10)
    assert losses[1] == pytest.approx(losses[2], rel=1e-10)


OPTIMIZERS = sorted(path.stem for path in (find_course().root / "tests" / "answers" / "optimizer").glob("*.py"))


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # the style `loops` does that
@pytest.mark.parametrize("style", ["solution", "library", *OPTIMIZERS])
def test_any_right_optimizer_goes_on_from_a_checkpoint(modules, style, tmp_path):
    """Whatever it keeps its moments in: after six steps, a checkpoint and five more, the losses are those of eleven."""
    given = {"solution": modules["optimizer"], "library": torch_optimizer}.get(style)
    if given is None:
        path = find_course().root / "tests" / "answers" / "optimizer" / f"{style}.py"
        spec = importlib.util.spec_from_file_location("optimizer_in_another_style", path)
        given = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(given)
    data = torch.arange(100) % 10

    def new() -> Run:
        return Run(TINY, modules["language_model"], given, 10, CPU)

    whole, first, rest = new(), new(), new()
    losses = [whole.advance(data) for _ in range(11)]
    assert [first.advance(data) for _ in range(6)] == losses[:6]
    assert first.save(tmp_path / "run.pt", {})
    rest.restore(read_checkpoint(tmp_path / "run.pt", TINY))
    assert [rest.advance(data) for _ in range(5)] == losses[6:]


def test_an_optimizer_that_no_checkpoint_holds(modules, tmp_path):
    """It is said, once, and training goes on."""
    run = Run(TINY, modules["language_model"], modules["optimizer"], 10, CPU)
    for secret in (lambda: 0, Path("here")):
        run.optimizers[0].secret = secret
        assert not run.save(tmp_path / "run.pt", {})
    text = "To be, or not to be: that is the question.\n" * 40
    said = StringIO()
    corpus = in_characters(dict.fromkeys(("hamlet", *HELD_OUT), text))
    run = Run(replace(TINY, steps=110, batch=1), modules["language_model"], modules["optimizer"], 80, CPU)
    run.optimizers[1].secret = Path("here")
    train.train(run, corpus, tmp_path / "run.pt", tmp_path / "train.png", Console(file=said, width=200))
    assert said.getvalue().count(train.UNKEPT) == 1


def test_bits_per_byte(modules):
    """By the student's evaluation: every token but the first is predicted once, whatever the length."""
    run = Run(TINY, modules["language_model"], modules["optimizer"], 80, CPU)
    for length in (2, 15, 16, 17, 31, 32, 100):
        data = torch.arange(length) % 80
        text = "é" * (length - 1)
        got = run.bits_per_byte(data, text, modules["evaluation"])
        nats, new = 0.0, TINY.context - 1
        with torch.no_grad():
            for start in range(0, length - 1, new):
                ids = data[start : start + new + 1]
                log_p = run.model(ids[None])[0, :-1].log_softmax(dim=-1)
                nats -= float(log_p.gather(1, ids[1:, None]).sum())
        assert got == pytest.approx(nats / math.log(2) / (2 * (length - 1)), rel=1e-5)
