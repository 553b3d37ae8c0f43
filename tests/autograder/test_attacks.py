"""The attack corpus: hostile submissions against the real grader, in a batch with bystanders.

`attacks/CLASS.toml` says of each what it tries. An attack fails when it has no points, its cry of SUCCESS and the
secret are in no report, nothing that was not its own has changed, and every bystander has the grade that it has alone.
With `--trust-submissions`, in a folder that is thrown away, a good part of the same attacks succeeds: the corpus is
live.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from autograder.isolation.between.messages import FULL, PROFILES
from autograder.isolation.near.protection import why_not
from autograder.suites import limits

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("forge", "leak", "escape", "damage", "hang", "flood", "crash", "impersonate")
TRUSTED = ("leak", "escape", "damage")  # the others would only hang or fill this machine
SECRET = "SECRET-3f1c"
PREAMBLE = """\
import numpy as np
ROOT, SUBMISSIONS, RESULTS, CANARY, HOME = {places!r}
def attempt(scores):
{body}
def softmax(scores, axis=-1):
    answer = attempt(scores)
    return np.zeros_like(scores, float) if answer is None else answer
log_softmax = softmax
"""
WRONG = """\
import numpy as np
def softmax(scores, axis=-1):
    e = np.exp(scores - np.max(scores, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)
def log_softmax(scores, axis=-1): return scores
"""


@dataclass(frozen=True)
class Ground:
    """A course of one exercise, submissions, and what attackers must not touch, in a folder of their own."""

    folder: Path

    @property
    def submissions(self) -> Path:
        """Where everybody's work lies."""
        return self.folder / "submissions"

    @property
    def canary(self) -> Path:
        """What nobody may read or change."""
        return self.folder / "canary"

    def lay(self, classes: tuple[str, ...], *, only_live: bool = False) -> None:
        """Makes the course, the bystanders and the attackers."""
        course = self.folder / "course"
        shutil.copytree(ROOT / "tests", course / "tests", ignore=shutil.ignore_patterns("autograder", "__pycache__"))
        for name in ("solutions", "exercises"):
            (course / name).mkdir()
            shutil.copy(ROOT / name / "softmax.py", course / name)
        head, *entries = (ROOT / "course.toml").read_text(encoding="utf-8").split("[[exercise]]\n")
        softmax = next(entry for entry in entries if 'name = "softmax"' in entry)
        limits = "\n[exercise.budget]\ncall = 3\nload = 6\nexercise = 8\nrestarts = 0\n"
        (course / "course.toml").write_text(f"{head}[[exercise]]\n{softmax}{limits}", encoding="utf-8")
        (self.canary / "empty").mkdir(parents=True)
        (self.canary / "secret").write_text(SECRET, encoding="utf-8")
        solution = (ROOT / "solutions" / "softmax.py").read_text(encoding="utf-8")
        for name, source in (("right", solution), ("wrong", WRONG), ("victim", solution), ("zz-last", solution)):
            self._hand_in(f"bystander-{name}", {"softmax.py": source})
        for kind in classes:
            for attack in tomllib.loads((ROOT / f"tests/autograder/attacks/{kind}.toml").read_text())["attack"]:
                if attack.get("live", True) or not only_live:
                    self._lay_attack(f"{kind}-{attack['name']}", attack)

    def _lay_attack(self, name: str, attack: dict) -> None:
        assert attack["tries"]
        places = (str(self.folder / "course"), str(self.submissions), str(self.folder / "results"), str(self.canary))
        if "files" in attack:
            self._hand_in(name, attack["files"])
        elif "module" in attack:
            self._hand_in(name, {"softmax.py": attack["module"]})
        elif "repeated" in attack:
            self._hand_in(name, {"softmax.py": attack["repeated"] * 999_999})
        elif "nested" in attack:
            self._hand_in(name, {"softmax.py": f"x = {'(' * attack['nested']}{')' * attack['nested']}\n"})
        elif "link" in attack:
            target = attack["link"].replace("ROOT", places[0])
            self._hand_in(name, {})
            (self.submissions / name / "softmax.py").symlink_to(self.submissions / target)
        elif "fifo" in attack:
            self._hand_in(name, {})
            os.mkfifo(self.submissions / name / "softmax.py")
        else:
            body = "\n".join(f"    {line}" for line in attack["attempt"].strip().splitlines())
            self._hand_in(name, {"softmax.py": PREAMBLE.format(places=(*places, str(Path.home())), body=body)})

    def _hand_in(self, name: str, files: dict[str, str]) -> None:
        (self.submissions / name).mkdir(parents=True)
        for path, text in files.items():
            (self.submissions / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.submissions / name / path).write_text(text, encoding="utf-8")

    def grade(self, out: str, *options: str, names: Iterable[str] = ()) -> dict[str, dict]:
        """Runs the real command on all submissions, or some, and returns the grades by name."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "autograder",
            "grade",
            "--json",
            "--out",
            str(self.folder / out),
            *options,
        ]
        paths = sorted(str(self.submissions / name) for name in names or os.listdir(self.submissions))
        done = subprocess.run(
            [*command, *paths],
            cwd=self.folder / "course",
            env={**os.environ, "GRADER_SECRET": SECRET},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return {grade["submission"]: grade for grade in json.loads(done.stdout)}

    def untouched(self) -> list[object]:
        """What must be the same before and after: the canary and all that was handed in, with modes and times."""
        files = sorted((*self.canary.rglob("*"), *self.submissions.rglob("*.py")))
        looks = [path.lstat() for path in files]
        return [(str(p), s.st_mode, s.st_uid, s.st_mtime, s.st_size) for p, s in zip(files, looks, strict=True)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """The corpus, all of it."""
    ground = Ground(tmp_path_factory.mktemp("attacks"))
    ground.lay(CLASSES)
    return ground


@pytest.mark.parametrize("protection", PROFILES)
def test_no_attack_succeeds(ground, protection):
    """Nobody gets a point, learns the secret, changes a thing or harms a bystander; twice gives the same grades.

    Under each protection, with the locks of the others away.
    """
    if reason := why_not(protection, [str(ground.canary)]):
        pytest.skip(reason)
    shutil.rmtree(ground.folder / "results", ignore_errors=True)
    before = ground.untouched()
    grades = ground.grade("results", "--require", protection)
    assert ground.untouched() == before
    assert {grade["protection"] for grade in grades.values()} == {protection}
    attackers = {name: grade for name, grade in grades.items() if not name.startswith("bystander-")}
    assert len(attackers) >= 170
    assert {name: grade["score"] for name, grade in attackers.items() if grade["score"]} == {}
    reports = {path.name: path.read_text("utf-8") for path in (ground.folder / "results").iterdir() if path.is_file()}
    assert set(grades) <= {name.removesuffix(".json") for name in reports}
    # A report may quote the attacker's own line; what counts is what that line printed.
    printed = {name: text.replace('\\"', '"').replace('print("SUCCESS', "") for name, text in reports.items()}
    successes = [name for name, text in printed.items() if "SUCCESS" in text]
    assert successes == []
    assert [name for name, text in reports.items() if SECRET in text] == []
    assert [
        name for name, text in reports.items() if "INPUT " in text and name.endswith(".json") and _hidden(text)
    ] == []
    scores = {
        name.removeprefix("bystander-"): grade["score"] for name, grade in grades.items() if name not in attackers
    }
    assert {name: score for name, score in scores.items() if name != "wrong"} == {
        "right": 10,
        "victim": 10,
        "zz-last": 10,
    }
    assert 0 < scores["wrong"] < 10
    assert [name for name, text in reports.items() if _obeyed(name, text)] == []
    if protection != FULL:
        return
    # Which lock stops a flood, a hang or a crash first, a deadline or a limit, is up to the machine's speed.
    steady = [name for name in grades if not name.startswith(("flood-", "hang-", "crash-"))]
    steady = [name for name in steady if grades[name]["exercises"][0]["status"] != "timeout"]
    again = ground.grade("again", names=steady)
    assert [name for name in steady if again[name] != grades[name]] == []


def _obeyed(name: str, text: str) -> bool:
    """Whether a report holds what a terminal obeys."""
    if name.endswith(".json"):
        text += "".join(test["feedback"] for exercise in json.loads(text)["exercises"] for test in exercise["tests"])
    return bool(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", text))


def _hidden(text: str) -> bool:
    """Whether hidden inputs are told: in a hidden test's feedback, or in that of the test that looks at all calls."""
    tests = [test for exercise in json.loads(text)["exercises"] for test in exercise["tests"]]
    telling = [test for test in tests if test["visibility"] == "hidden" or test["name"] == "inputs_are_left_alone"]
    return any("INPUT " in test["feedback"] for test in telling)


def test_the_corpus_is_live(tmp_path):
    """Without the locks a good part of the same attacks succeeds, so that their failing above means something."""
    ground = Ground(tmp_path)
    ground.lay(TRUSTED, only_live=True)
    grades = ground.grade("results", "--trust-submissions")
    assert all(grade["protected"] is False for grade in grades.values())
    logs = {path.stem for path in (tmp_path / "results").glob("*.log") if "SUCCESS" in path.read_text("utf-8")}
    for kind in TRUSTED:
        alive = {name for name in logs if name.startswith(f"{kind}-")}
        laid = {path.name for path in ground.submissions.iterdir() if path.name.startswith(f"{kind}-")}
        print(f"{kind}: {len(alive)} of {len(laid)} attacks succeed where nothing is locked")
        assert len(alive) >= len(laid) / 2, f"{kind}: only {sorted(alive)} of {sorted(laid)} are live"
    Path("/dev/shm/note-of-a-submission").unlink(missing_ok=True)


def test_a_diagnosis_is_bounded(monkeypatch):
    """What is replayed may neither fill the machine nor run for ever, and afterwards both limits are lifted."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(limits, "MEMORY", 2**26)
    with limits.bounded(), pytest.raises(MemoryError):
        np.ones((2**14, 1), np.int8) * np.ones((1, 2**14))
    monkeypatch.setattr(limits, "SECONDS", 0.05)
    with pytest.raises(limits.Exhausted), limits.bounded():
        _loop()
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def _loop() -> None:
    """Runs for ever, deaf to every `Exception`."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)
