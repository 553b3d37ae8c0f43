"""Every screen on every kind of terminal: narrow, without colors, without Unicode, and as plain lines."""

import io
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from course_copy import copy_course
from rich.console import Console

from autograder.loop.state import Memory
from autograder.loop.watch import Watch
from autograder.notebook.heatmap import COLUMNS, ROWS, heatmap
from autograder.reports import console as consoles
from autograder.reports.console import spelled
from autograder.reports.terminal import print_failures
from autograder.submission import read_submission

NAMES = ["softmax", "attention"]
AUTOGRADER = [sys.executable, "-P", "-m", "autograder"]
WRONG = ("exponentials, axis=axis", "exponentials, axis=0")
BOXES = re.compile(r"[─-▟■-◿✓✗]|\x1b")


@pytest.fixture(scope="module")
def small(tmp_path_factory, course):
    """A course of two exercises: a wrong softmax, and an attention that does not parse."""
    small = copy_course(tmp_path_factory.mktemp("screens") / "course", NAMES)
    text = course.solution("softmax").read_text(encoding="utf-8")
    assert WRONG[0] in text
    small.stub("softmax").write_text(text.replace(*WRONG), encoding="utf-8")
    text = course.solution("attention").read_text(encoding="utf-8")
    small.stub("attention").write_text(text.replace("bool", "bool)", 1), encoding="utf-8")
    return small


def run(course, *command, width=80, **environment):
    """What a command prints, as bytes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "NO_COLOR"))}
    environment = {**clean, "LC_ALL": "C.UTF-8", "COLUMNS": str(width), "LINES": "24", **environment}
    done = subprocess.run([*AUTOGRADER, *command], cwd=course.root, env=environment, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.stdout


def words(text):
    """The words of a text, wherever its lines break."""
    return " ".join(text.replace("\u00a0", " ").split())


def test_a_narrow_terminal_loses_nothing(small):
    """At 40 columns no line is longer, and every sentence of the wide screen is there, but for bars."""
    wide, narrow = (run(small, "check", width=width).decode() for width in (200, 40))
    assert max(map(len, narrow.splitlines())) <= 40
    carets = re.compile(r"^ *\^ *$", re.MULTILINE)  # they stand elsewhere when lines are broken elsewhere
    wide, pressed = carets.sub("", wide), "".join(carets.sub("", narrow).split())
    for line in wide.splitlines():
        for phrase in re.split(r"[█░]+", line):
            assert "".join(phrase.split()) in pressed, phrase


@pytest.mark.parametrize("command", [["check"], ["course"], ["submit"]])
def test_plain_lines_need_no_eyes(small, command):
    """Neither colors nor bars, boxes or marks, even in a color terminal; and all that matters is said in words."""
    text = run(small, *command, "--plain", TERM="xterm-256color", FORCE_COLOR="1").decode()
    assert not BOXES.search(text)
    if command == ["check"]:
        assert "Fails: The worked example" in text or "Fails: Every slice" in text
        assert re.search(r"softmax: failed, [\d.]+ of 4 points\.", text)
        assert re.search(r"It stopped at character \d+ of this line\.", text)
    if command == ["course"]:
        assert "1. Softmax, to be fixed" in text
        assert "builds on softmax" in text


def test_without_unicode_everything_is_spelled(small):
    """ASCII alone, as LC_ALL=C asks for, or an encoding of a Western Windows console: no error and nothing lost."""
    for environment, encoding in (({"LC_ALL": "C"}, "ascii"), ({"PYTHONIOENCODING": "cp1252"}, "cp1252")):
        for command in (["check"], ["course"], ["check", "--plain"]):
            text = run(small, *command, **environment).decode(encoding)
            assert "?" not in text.replace("?\n", "")
            assert "not valid Python" in text or command == ["course"]
    assert spelled("√") == "sqrt"
    assert spelled("β") == "beta"
    assert spelled("é") == "e"
    assert spelled("⊙") == "(circled dot operator)"


def test_no_color(small):
    """`NO_COLOR` takes the colors away and leaves the rest as it is."""
    with_colors = run(small, "course", FORCE_COLOR="1", TERM="xterm-256color").decode()
    without = run(small, "course", FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").decode()
    colors = re.compile(r"\x1b\[[\d;]*(?:3[0-7]|9[0-7])m")
    assert colors.search(with_colors)
    assert not colors.search(without)
    bare = re.compile(r"\x1b\[[\d;]*m")
    assert bare.sub("", with_colors) == bare.sub("", without)


def test_the_caret_stands_below_its_character(small):
    """However narrow the terminal, the caret stands right below the character that it points at."""
    from autograder.grades import ExerciseGrade, TestResult

    code, column = "    result = first_function(one, two) + second_function(three)) * 4", 60
    feedback = f"softmax.py line 3 is not valid Python: unmatched ')'.\n    {code}\n    {' ' * column}^"
    test = TestResult("one", "One", "visible", "not_run", 0, 1, feedback)
    for width in (100, 40, 25):
        out = io.StringIO()
        print_failures(Console(file=out, width=width), ExerciseGrade("softmax", "error", (test,)), whole=True)
        lines = out.getvalue().splitlines()
        (below,) = [number for number, line in enumerate(lines) if line.strip() == "^"]
        place = len(lines[below].rstrip()) - 1
        assert lines[below - 1][place] == code[column]
        assert max(len(line.rstrip()) for line in lines) <= width


def test_a_plain_session_says_each_thing_once(small):
    """`watch --plain` from a pipe: the keys first, then the verdict in words, and no redrawing."""
    process = subprocess.Popen(
        [*AUTOGRADER, "watch", "softmax", "--plain"],
        cwd=small.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    late = threading.Timer(60, process.kill)
    late.start()
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("  Fails: "):
            break
    late.cancel()
    rest = process.communicate("h\nq\n", timeout=60)[0]
    text = "\n".join(said) + rest
    assert process.returncode == 0
    assert said[0].startswith("Keys: n next, p previous, l list")
    assert not BOXES.search(text)
    assert "Fails: " in text
    assert "Hint 1 of 2 for softmax: " in rest


def test_paths_are_written_as_the_system_writes_them(small, monkeypatch):
    """On Windows with backslashes."""
    import ntpath

    from autograder.loop import screen

    monkeypatch.setattr("autograder.reports.terminal.os", SimpleNamespace(path=ntpath))
    out = io.StringIO()
    watch = Watch(small, Memory(), read_submission(small.root / "exercises", small))
    watch.begin("softmax")
    screen.draw(Console(file=out, width=80), watch)
    assert "exercises\\softmax.py" in out.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    """TERM=dumb, as editors' shells say, has no place to redraw."""
    monkeypatch.setenv("TERM", "dumb")
    assert consoles.is_plain(consoles.open_console())
    monkeypatch.setenv("TERM", "xterm")
    assert not consoles.is_plain(consoles.open_console())
    assert consoles.is_plain(consoles.open_console(plain=True))


def test_the_heatmap_marks_what_is_wrong():
    """One square a number: gray where right, red where too large, blue where too small, purple where no number."""
    expected = np.arange(6.0).reshape(2, 3)
    got = expected + np.array([[0, 0.5, -1], [0, np.nan, 0]])
    wrong = ~np.isclose(got, expected)
    drawn = heatmap(got, expected, wrong)
    squares = re.findall(r'fill="(#\w+)"><title>(.*?)</title>', drawn)
    assert len(squares) == 6
    assert [title for _, title in squares][:2] == ["[0, 0]: 0", "[0, 1]: 1.5 instead of 1"]
    gray, red, blue, purple = squares[0][0], squares[1][0], squares[2][0], squares[4][0]
    assert int(red[1:3], 16) > int(red[5:7], 16)
    assert int(blue[5:7], 16) > int(blue[1:3], 16)
    assert len({gray, red, blue, purple}) == 4
    assert "3 of 6 numbers differ." in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_a_large_heatmap_shows_where_it_begins():
    """Of a large array a window is shown that holds something wrong; of many matrices the first that is wrong."""
    expected = np.zeros((3, 100, 200))
    wrong = np.zeros_like(expected, bool)
    wrong[1, 90, 150] = True
    drawn = heatmap(expected + wrong, expected, wrong)
    assert drawn.count("<rect") == ROWS * COLUMNS
    assert "[1, 90, 150]: 1 instead of 0" in drawn
    assert "16 of 100 rows and 24 of 200 columns are shown" in drawn
    assert heatmap(expected, expected, np.zeros_like(wrong)) == ""
    assert heatmap(np.zeros(3), np.zeros((1, 3)), np.ones(3, bool)) == ""
    assert heatmap(np.array(2.0), np.array(1.0), np.array(True)) == ""
