"""Figures of the student's loop, `make bench`: from a save to the verdict on the screen, beside a plain pytest run."""

import fcntl
import os
import pty
import select
import shutil
import statistics
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAVES = 20
AIMS = {"softmax": 0.3, "tokenization": 0.5, "transformer_block": 0.5, "llama_block": 0.5, "pretrained_model": 1.0}  # s
WRONG = {  # a small mistake in each, which the verdict explains
    "softmax": ("np.sum(exponentials", "np.mean(exponentials"),
    "tokenization": ("(counts[pair], pair)", "counts[pair]"),
    "llama_block": ("wide.pow(2).mean(", "wide.pow(2).sum("),
    "transformer_block": ("self.norm2(", "self.norm1("),
    "pretrained_model": ("model.get_output_embeddings()(hidden)", "-model.get_output_embeddings()(hidden)"),
}
PATIENCE = 120.0


class Screen:
    """A program in a terminal of its own, and what it writes there."""

    def __init__(self, fd):
        self.fd = fd

    def seconds_until(self, text, begun):
        """How long it took from `begun` until the program wrote a text. What it wrote before counts as read."""
        seen = b""
        while text.encode() not in seen:
            left = begun + PATIENCE - time.perf_counter()
            assert select.select([self.fd], [], [], max(left, 0))[0], f"no {text!r} in {seen.decode()[-2000:]}"
            seen += os.read(self.fd, 1 << 16)
        return time.perf_counter() - begun

    def drain(self, seconds=0.15):
        """Reads on until nothing has come for a while."""
        while select.select([self.fd], [], [], seconds)[0]:
            os.read(self.fd, 1 << 16)


@contextmanager
def running(folder, *arguments):
    """The program in a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    command = [sys.executable, "-P", "-m", "autograder", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Screen(ours)
    finally:
        os.write(ours, b"q")
        process.wait(30)
        os.close(ours)


@pytest.fixture
def course(tmp_path):
    """A course in which nothing is started, and whose state is its own."""
    for name in ("solutions", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "exercises", tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "course.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", AIMS)
def test_from_the_save_to_the_verdict(name, course, capsys):
    """The median over 20 saves of a right and of a wrong answer, and a plain pytest run of the same visible suite."""
    file, solution = course / "exercises" / f"{name}.py", (ROOT / "solutions" / f"{name}.py").read_text("utf-8")
    wrong = solution.replace(*WRONG[name])
    assert wrong != solution
    seconds = {"right": [], "wrong": []}
    with running(course, "watch", name) as screen:
        screen.seconds_until("Not started", time.perf_counter())
        screen.drain(8.0)  # what is warmed is warm
        for kind, text in (("wrong", wrong), ("right", solution)):
            for save in range(SAVES + 1):
                said = f" points, {save + 1} attempt" if kind == "wrong" else " passes: "
                begun = time.perf_counter()
                file.write_text(f"{text}# save {save}\n", "utf-8")
                seconds[kind].append(screen.seconds_until(said, begun))
                screen.drain()
            seconds[kind].pop(0)  # before it some things were never needed
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/visible/test_{name}.py"]
    plain = min(_seconds([sys.executable, "-P", *suite], ROOT) for _ in range(3))
    right, wrong_ones = (statistics.median(seconds[kind]) for kind in ("right", "wrong"))
    with capsys.disabled():
        print(f"\n{name}: {right:.3f} s from the save to the verdict on a right answer, {wrong_ones:.3f} s on a wrong")
        print(f"one, medians of {SAVES} (aim: {AIMS[name]} s); pytest takes {plain:.2f} s: {plain / right:.0f} times")


def test_the_first_screen(course, capsys):
    """From the command to the first screen, beside `python -c "import torch"`: the aim is at most 1.5 times."""
    screens, imports = [], []
    for _ in range(5):
        begun = time.perf_counter()
        with running(course, "watch") as screen:
            screens.append(screen.seconds_until("(1 of ", begun))
        imports.append(_seconds([sys.executable, "-c", "import torch"], course))
    screen, torch = statistics.median(screens), statistics.median(imports)
    with capsys.disabled():
        print(f"\nfirst screen: {screen:.2f} s, import torch: {torch:.2f} s: {screen / torch:.2f} times (aim: 1.5)")


def _seconds(command, folder):
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begun
