"""Alignment in the small: the student's losses really move a model, and the numbers that are told are measured."""

import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

from projects import alignment
from projects import little_world as world
from projects.aligning import NAMES, Workshop
from projects.alignment_parts import Scale, Way
from projects.modules import NotReady

SCALE = Scale(reading=120, tuning=300, judging=40, updates=60, batch=32, looks=3, measured=112)
TINY = Scale(reading=2, tuning=2, judging=2, updates=2, batch=8, looks=1, measured=14)
USED = {
    "language_model": {"MiniLlama", "sample_batch", "train_step"},
    "decoding": {"sample"},
    "sft_loss": {"build_labels", "sft_loss"},
    "reward_model": {"bradley_terry_loss", "kl_penalized_rewards"},
    "dpo_loss": {"sequence_log_probs", "dpo_loss"},
    "ppo_loss": {"generalized_advantage_estimate", "ppo_loss"},
    "grpo_loss": {"group_relative_advantages", "grpo_loss"},
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def story(modules, tmp_path_factory) -> tuple[dict[str, Way], str, Path]:
    """A short alignment: the ways, what was said, and the picture."""
    picture = tmp_path_factory.mktemp("pictures") / "alignment.png"
    console = Console(record=True, width=120, quiet=False, file=picture.with_suffix(".txt").open("w"))
    ways = alignment.align(modules, SCALE, picture, console)
    console.file.close()
    return ways, console.export_text(), picture


@pytest.mark.parametrize("name", ["DPO", "PPO", "GRPO"])
def test_they_learn_to_ask(story, name):
    """Sixty updates: far more questions, more reward, at some distance from the reference, which costs something."""
    way = story[0][name]
    assert way.updates == [0, 20, 40, 60]
    assert way.kl[0] == 0
    assert way.kl[-1] > 0.1
    assert way.questions[0] < 0.3
    assert way.questions[-1] > way.questions[0] + 0.25
    assert way.rewards[-1] > way.rewards[0]
    assert way.right[0] > 0.7


def test_what_is_said_is_what_was_measured(story):
    """The table holds the numbers of the run, and the picture is one."""
    ways, said, picture = story
    for way in ways.values():
        assert f"{way.questions[0]:.0%} → {way.questions[-1]:.0%}" in said
        assert f"{way.kl[-1]:.2f} nats" in said
    assert [way.written for way in ways.values()] == [512, 960, 960]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not [left for left in picture.parent.iterdir() if "part" in left.name]


def test_every_loss_is_the_students_own(modules, monkeypatch, tmp_path):
    """Each function of each alignment exercise is called, and one that fails is named as the place to look."""
    called = {name: set() for name in USED}
    for name, functions in USED.items():
        for function in functions:
            right = getattr(modules[name], function)

            def watched(*args, right=right, name=name, function=function, **kwargs):
                called[name].add(function)
                return right(*args, **kwargs)

            monkeypatch.setattr(modules[name], function, watched)
    scale = Scale(reading=60, tuning=60, judging=2, updates=2, batch=16, looks=1, measured=14)
    alignment.align(modules, scale, tmp_path / "alignment.png", Console(quiet=True))
    assert called == USED

    def broken(*args, **kwargs):
        raise TypeError("unsupported operand")

    monkeypatch.setattr(modules["reward_model"], "bradley_terry_loss", broken)
    with pytest.raises(NotReady, match=r"reward_model is the place to look(.|\n)*make check EX=reward_model"):
        alignment.align(modules, scale, tmp_path / "alignment.png", Console(quiet=True))


def test_a_loss_of_the_wrong_sign_teaches_the_opposite(modules, monkeypatch):
    """The loss decides where the model goes: turned around, GRPO's makes questions rarer."""
    torch.manual_seed(0)
    workshop = Workshop(modules, SCALE)
    reference, _ = workshop.read()
    workshop.tune(reference)
    judge = workshop.scorer(reference)
    right = modules["grpo_loss"].group_relative_advantages
    monkeypatch.setattr(modules["grpo_loss"], "group_relative_advantages", lambda rewards: -right(rewards))
    _, way = workshop.grpo(reference, judge)
    assert way.questions[-1] < way.questions[0] / 2


def test_the_same_seed_gives_the_same_story(modules):
    """Two runs, the same numbers."""
    stories = []
    for _ in range(2):
        torch.manual_seed(0)
        workshop = Workshop(modules, TINY)
        reference, losses = workshop.read()
        losses += workshop.tune(reference)
        model, way = workshop.ppo(reference, workshop.scorer(reference))
        stories.append((losses, way.kl, way.rewards, [weight.sum().item() for weight in model.parameters()]))
    assert stories[0] == stories[1]


def test_the_little_world():
    """Sentences, answers that end where a sentence ends, and what people prefer."""
    topic = ("king", "rose")
    assert " ".join(world.sentence(topic, "love", "?")) == "does the king love the rose ?"
    for text, right in {
        "how the king sees the rose !": True,
        "the king loves the rose ?": False,
        "the king loves the crown .": False,
    }.items():
        assert world.is_right(text.split(), topic) == right
    answers = world.as_answers([topic] * 3, [world.sentence(topic, "fear", end) for end in world.ENDS])
    assert " ".join(answers.words(0)) == "the king fears the rose ."
    assert answers.questions().tolist() == [False, False, True]
    assert answers.right().all()
    text = "king rose : the king . the ? rose . rose"
    ids = torch.tensor([world.as_ids(text.split())])
    assert world.answer_mask(ids).tolist() == [[False] * 3 + [True] * 3 + [False] * 5]
    assert not set(world.TRAIN) & set(world.HELD_OUT)
    assert {person for person, _ in world.TRAIN} == set(world.PEOPLE)


def test_a_reduced_run_keeps_the_proportions():
    """`--steps 24` is a tenth of everything that is trained."""
    assert Scale().reduced(24) == Scale(reading=30, tuning=50, judging=10, updates=24)


def test_an_unfinished_exercise_is_a_sentence(tmp_path, capsys):
    """A hole is named, with its line."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("x = 1\n" if name != "dpo_loss" else "\nx = ...  # FINISH ME\n")
    assert alignment.main(["--from", str(tmp_path)]) == 1
    output = re.sub(r"\s+", " ", "".join(capsys.readouterr()))
    assert "dpo_loss, which is not finished: see line 2" in output
    assert "Traceback" not in output
