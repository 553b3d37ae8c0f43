"""Comedy, history or tragedy, on a tiny checkpoint: top to bottom, stopped and started, beside what it must equal."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from tiny_checkpoint import tiny_checkpoint

from autograder.course import find_course
from autograder.diagnosis.catalogue import known_mistakes
from projects import classify
from projects.adapters import Workshop, compare_losses, lora_name, peft_name, round_trip
from projects.classifying import Data, Plan, Run
from projects.frozen_blocks import Above, Below, padded
from projects.modules import NotReady, load_exercises
from projects.passages import HELD_OUT, KINDS, WATCHED, cut, evenly, split
from projects.twins import load_original

COURSE = find_course()
QUIET = Console(quiet=True)
PLAN = Plan(above=1, ranks=(2, 3, 8), batch=4, epochs=2, learning_rate=0.05)
ARGUMENTS = ["--model", tiny_checkpoint(), "--passages", "2", "--epochs", "1"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_exercise_stays() -> Iterator[None]:
    """Exercises are imported by their plain names; another test takes them from elsewhere."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in COURSE.names:
        sys.modules.pop(name, None)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A folder in whose .cache and pictures the command writes."""
    monkeypatch.setattr(classify, "find_course", lambda: SimpleNamespace(root=tmp_path))
    return tmp_path


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    """The solutions on the tiny checkpoint."""
    return _workshop(tmp_path, COURSE.root / "solutions")


def _workshop(folder: Path, exercises: Path) -> Workshop:
    original, _ = load_original(Path(tiny_checkpoint()))
    lora, classification = load_exercises(exercises, ["lora", "classification"])
    return classify.open_workshop(PLAN, lora, classification, original, folder / "states")


def _wrong(folder: Path, mistake: str) -> Path:
    """The solutions with a known mistake in lora."""
    shutil.copytree(COURSE.root / "solutions", folder / "wrong")
    source = {each.id: each.source for each in known_mistakes(COURSE, "lora")}[mistake]
    (folder / "wrong" / "lora.py").write_text(source, encoding="utf-8")
    return folder / "wrong"


def _texts(number: int) -> Data:
    """Texts of 3 to 9 tokens that can be told apart: each kind has tokens of its own."""
    generator = torch.Generator().manual_seed(number)
    labels = torch.arange(number) % len(KINDS)
    lengths = torch.randint(3, 10, (number,), generator=generator).tolist()
    texts = [(7 + 9 * k + torch.randint(9, (n,), generator=generator)) for k, n in zip(labels, lengths, strict=True)]
    return Data(tuple(tuple(text.tolist()) for text in texts), labels)


def _trained(workshop: Workshop, make: object, data: Data) -> Run:
    run = Run(workshop.plan, workshop.classification, make, data, workshop.below.padding)
    while run.step < run.steps:
        run.advance()
    return run


# --- Top to bottom ---------------------------------------------------------------------------------------------------


def test_top_to_bottom(elsewhere, capsys):
    """A table of all ways, peft beside the student's, the adapter's round trip, a picture; asked again, it knows."""
    assert classify.main(["--from", str(COURSE.root / "solutions"), *ARGUMENTS]) == 0
    said = capsys.readouterr().out
    assert "40 passages of 40 words to learn from (10 comedy, 16 history, 14 tragedy), 6 of other plays" in said
    for name in ("head alone", *map(lora_name, (2, 8, 32)), peft_name(8)):
        assert f"{name}, step 3 of 3" in said
    table = [line for line in said.splitlines() if "%" in line and "step" not in line]
    assert [line.split("  ")[0] for line in table[:3]] == [
        "bag of words, 40 read",
        "bag of words, 12,206 read",
        "head alone",
    ]
    assert "the losses of your LoRA and peft's differ by" in said
    assert "no logit differs by more than 0.0e+00; merged, by" in said
    assert (elsewhere / "pictures" / "classify.png").read_bytes().startswith(b"\x89PNG")
    assert classify.main(["--from", str(COURSE.root / "solutions"), *ARGUMENTS]) == 0
    again = capsys.readouterr().out
    assert "step 3 of 3" not in again
    assert [line[:50] for line in again.splitlines() if "%" in line][2:8] == [line[:50] for line in table][2:8]


def test_stopped_and_started_again_is_the_same_to_the_last_bit(elsewhere, workshop, monkeypatch, capsys):
    """Ctrl-C after 7 of 12 steps: losses and numbers end as those of a run without it."""
    monkeypatch.setattr(classify, "EVERY", 3)
    data, path = _texts(24), elsewhere / "run.pt"

    def new() -> Run:
        return Run(PLAN, workshop.classification, workshop.with_lora(2), data, workshop.below.padding)

    whole = new()
    classify.train(whole, data, "whole", elsewhere / "whole.pt", QUIET)
    stopped, steps = new(), []

    def advance() -> float:
        if len(steps) == 7:
            raise KeyboardInterrupt
        steps.append(0)
        return Run.advance(stopped)

    monkeypatch.setattr(stopped, "advance", advance)
    with pytest.raises(KeyboardInterrupt):
        classify.train(stopped, data, "stopped", path, QUIET)
    (elsewhere / ".run.part.pt").write_bytes(b"half of one")
    rest = new()
    rest.restore(path)
    assert rest.step == 6  # the last checkpoint
    classify.train(rest, data, "rest", path, QUIET)
    assert rest.course.losses == whole.course.losses
    assert rest.course.watched == whole.course.watched
    assert len(rest.course.watched) == classify.LOOKS
    for name, parameter in whole.learning.items():
        assert torch.equal(parameter, rest.learning[name]), name
    other = Run(replace(PLAN, seed=1), workshop.classification, workshop.with_lora(2), data, 0)
    other.restore(path)
    assert other.step == 0  # another plan's checkpoint is not taken
    path.write_bytes(path.read_bytes()[:500])
    broken = new()
    broken.restore(path)
    assert broken.step == 0


def test_what_is_missing_is_a_sentence(elsewhere, tmp_path, monkeypatch, capsys):
    """An exercise with holes, and no model."""
    assert classify.main(["--from", str(COURSE.root / "exercises"), *ARGUMENTS]) == 1
    assert "lora, which is not finished" in capsys.readouterr().out
    monkeypatch.setattr(classify, "model_folder", lambda: None)
    assert classify.main(["--from", str(COURSE.root / "solutions")]) == 1
    assert "make model" in capsys.readouterr().out


# --- Beside what it must equal ---------------------------------------------------------------------------------------


def test_the_two_parts_are_the_whole(workshop):
    """States of real tokens are the original model's own, whatever stands beside them in the batch."""
    original, _ = load_original(Path(tiny_checkpoint()))
    ids, mask = padded(_texts(5).texts, workshop.below.padding)
    backbone = workshop.classifier().backbone
    with torch.no_grad():
        expected = original.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        got = backbone(ids)
    torch.testing.assert_close(got[mask], expected[mask], rtol=1e-4, atol=1e-4)


def test_what_was_read_is_kept(workshop, tmp_path, monkeypatch):
    """The frozen blocks read each text once, and a damaged file is read anew."""
    texts = _texts(30).texts
    with classify.bars(QUIET) as bars:
        workshop.below.read(texts, bars)
        other = _workshop(tmp_path, COURSE.root / "solutions").below
        computed = []
        compute = other._compute
        monkeypatch.setattr(other, "_compute", lambda part: computed.append(len(part)) or compute(part))
        other.read(texts, bars)
        assert computed == []
        ids, _ = padded(texts, other.padding)
        assert torch.equal(other(ids), workshop.below(ids))
        file = sorted((tmp_path / "states").glob("*.pt"))[0]
        file.write_bytes(b"half")
        other.read(texts, bars)
    assert sum(computed) in (20, 10)  # that file's texts


def test_peft_learns_the_same_step_by_step(workshop):
    """From the same numbers on the same texts: the same losses, up to rounding, and they fall."""
    data = _texts(24)
    ours, theirs = (_trained(workshop, make(3), data) for make in (workshop.with_lora, workshop.with_peft))
    assert len(ours.course.losses) == 12
    assert compare_losses(ours, theirs) < 1e-5
    assert sum(ours.course.losses[-3:]) < 0.9 * sum(ours.course.losses[:3])
    assert sum("lora" in name for name in ours.learning) == 4
    assert sum(p.numel() for p in ours.learning.values()) == sum(p.numel() for p in theirs.learning.values())
    alone = _trained(workshop, workshop.head_alone(), data)
    assert alone.course.losses[0] == ours.course.losses[0]  # B is zero at first
    assert alone.course.losses != ours.course.losses


@pytest.mark.parametrize("mistake", ["scaled-by-alpha-alone", "base-forgotten", "adapters-are-cut-off"])
def test_a_wrong_adapter_is_named(mistake, tmp_path):
    """Where the losses are not peft's, lora is the place to look, and the step is told."""
    workshop, data = _workshop(tmp_path, _wrong(tmp_path, mistake)), _texts(24)
    ours, theirs = (_trained(workshop, make(3), data) for make in (workshop.with_lora, workshop.with_peft))
    with pytest.raises(NotReady, match=r"lora is the place to look: at step \d+ the loss"):
        compare_losses(ours, theirs)


def test_saved_loaded_and_merged(workshop, tmp_path):
    """The same answers each time; the file has the adapter and the head, and little else."""
    data = _texts(24)
    run = _trained(workshop, workshop.with_lora(8), data)
    trip = round_trip(workshop, run, 8, data, tmp_path / "adapter.pt")
    assert trip.loaded == 0
    assert 0 < trip.merged < 1e-4
    numbers = sum(p.numel() for p in run.learning.values())
    assert 4 * numbers < trip.size < 4 * numbers + 5000


@pytest.mark.parametrize(("mistake", "says"), [("merge-not-scaled", "merged"), ("state-of-b-alone", "loaded again")])
def test_an_adapter_that_comes_back_wrong_is_named(mistake, says, tmp_path):
    """Merged without its scale, or saved without A."""
    workshop, data = _workshop(tmp_path, _wrong(tmp_path, mistake)), _texts(24)
    run = _trained(workshop, workshop.with_lora(8), data)
    with torch.no_grad():
        for name, parameter in run.learning.items():  # A has gone far from where it began
            parameter.mul_(-1 if name.endswith("lora_A") else 1)
    with pytest.raises(NotReady, match=f"lora is the place to look: {says}, the adapter gives other answers"):
        round_trip(workshop, run, 8, data, tmp_path / "adapter.pt")


def test_memory_is_counted(workshop):
    """Of each number that learns: itself, its gradient and two moments, and a count for each tensor; 4 bytes each."""
    run = _trained(workshop, workshop.head_alone(), _texts(6))
    assert run.memory() == 4 * (4 * (3 * 32 + 3) + 2)


# --- Passages --------------------------------------------------------------------------------------------------------


def test_passages():
    """From the first act on, in so many words each, with their lines; spread evenly."""
    play = "The Tragedy of Nobody\n\nACT I\n\nSCENE I.\n\nA:\none two\nthree four\n\nB:\nfive six seven"
    assert cut(play, 4) == ["ACT I\n\nSCENE I.", "A:\none two\nthree", "four\n\nB:\nfive six"]
    assert evenly(list("abcdefgh"), 4) == list("aceg")
    assert evenly(list("ab"), 4) == list("ab")


def test_whole_plays_are_held_out():
    """Labels come from the folders, a play is in one part alone, and what has no kind is left out."""
    kinds = {**dict.fromkeys(WATCHED, "histories"), **dict.fromkeys(HELD_OUT, "comedies")}
    kinds |= {"hamlet": "tragedies", "titus": "roman", "pericles": "romances", "henry-v": "histories"}
    plays = {name: "\nACT I\n" + f"{name} " * 30 for name in kinds}
    parts = split(plays, kinds, words=3, per_play=2)
    assert {text.split()[-1] for text in parts.train.texts} == {"hamlet", "titus", "henry-v"}
    assert {text.split()[-1] for text in parts.watched.texts} == set(WATCHED)
    assert {text.split()[-1] for text in parts.held_out.texts} == set(HELD_OUT)
    assert parts.train.labels.tolist() == [2, 2, 1, 1, 2, 2]
    assert (len(parts.watched), len(parts.held_out), len(parts.everything)) == (6, 24, 30)


def test_above_and_below_do_not_share(tmp_path):
    """Training the upper blocks leaves the original's weights alone."""
    original, _ = load_original(Path(tiny_checkpoint()))
    weight = original.model.layers[-1].self_attn.q_proj.weight
    above = Above(original.model, 1)
    Below(original.model, 1, 0, tmp_path)
    before = weight.clone()
    above.blocks.layers[0].self_attn.q_proj.weight.data.zero_()
    assert torch.equal(weight, before)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_with_make():
    """It installs what it compares with, and hands FROM on."""
    command = ["make", "-n", "--no-print-directory", "classify", "FROM=solutions"]
    said = subprocess.run(command, cwd=COURSE.root, capture_output=True, text=True, check=True).stdout
    assert "--extra classify" in said
    assert said.splitlines()[-1].endswith("-m autograder classify --from 'solutions'")


def test_without_peft(elsewhere, monkeypatch, capsys):
    """It is an extra: without it, its row is left out, and that is said."""
    for module in ("adapters", "classify"):
        monkeypatch.setattr(f"projects.{module}.has_peft", lambda: False)
    assert classify.main(["--from", str(COURSE.root / "solutions"), *ARGUMENTS]) == 0
    said = capsys.readouterr().out
    assert peft_name(8) not in said
    assert "pip install peft" in said
