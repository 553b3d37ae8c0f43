"""What every system has without `make`, and what `make help` says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograder import __version__
from autograder.cli import main

ROOT = Path(__file__).resolve().parents[2]
MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")
STUDENTS = MAKE.partition("# -- For instructors")[0]


def test_every_target_of_a_student_is_a_command(monkeypatch, capsys):
    """`autograder train` is `make train`, on Windows too."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+)", capsys.readouterr().out, re.MULTILINE))
    targets = set(re.findall(r"^(\w+): \.venv/installed", STUDENTS, re.MULTILINE)) - {"setup"}
    known = {"check", "watch", "train", "alignment", "classify", "capstone", "tour", "model", "notebook"}
    assert known <= targets <= commands


def test_a_project_answers_for_itself(monkeypatch, capsys):
    """Its own options, its own help, its own exit code."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["autograder"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "projects.train", raising=False)  # as in a process of its own
    assert main(["train", "--help"]) == 0
    assert "--tokenizer" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "projects.train", raising=False)
    assert main(["train", "--tokenizer", "words"]) == 2
    assert "invalid choice: 'words'" in capsys.readouterr().err


def test_help_says_what_the_makefile_says():
    """Each target with a `##` text is listed with it."""
    said = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = re.findall(r"^(\w+):[^#\n]*## +(.+)$", MAKE, re.MULTILINE)
    assert len(texts) > 15
    for target, text in texts:
        assert re.search(rf"^  make {target} +{re.escape(text)}$", said, re.MULTILINE), target


def test_make_says_nothing_of_what_does_not_pass_yet():
    """Only trouble is an error to make: a wrong answer has been told already."""
    for program, code in (("true", 0), ("false", 0), ("sh -c 'exit 3'", 2)):
        command = ["make", "--silent", "-o", ".venv/installed", "check", f"RUN={program}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, "***" in done.stderr) == (code, code == 2), program


def test_version(capsys):
    """One version, in one place, with those that a grade depends on."""
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"autograder {__version__} (python {sys.version.split()[0]}, numpy ")
    assert "hypothesis" in said
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_threads_do_not_spin():
    """Said before PyTorch is loaded, whatever command comes, and inherited; a user's own choice stays."""
    say = "import autograder, os; print(os.environ['OMP_WAIT_POLICY'])"
    project = "import projects, os; print(os.environ['OMP_WAIT_POLICY'])"
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for code, environment, expected in [
        (say, plain, "PASSIVE"),
        (project, plain, "PASSIVE"),
        (say, {**plain, "OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected
