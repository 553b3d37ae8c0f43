"""Every command of the README and of docs/: it is a command, a test runs it, or the page says why none can."""

import glob
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from course_copy import copy_course

from autograder.cli import _parser, main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
PROGRAMS = (
    "make", "autograder", ".venv/bin/autograder", "python", "python3", "py", ".venv/bin/python", "pytest", "pip",
    "nbgrader", "docker", "podman", "git", "cd", "source", ".venv\\Scripts\\activate",
)  # fmt: skip
NOT_RUN = re.compile(r"<!-- not run by tests: \w[^>]+ -->")

# Which test runs what each command runs. `autograder X` is also what `make X` does.
RUN_BY = {
    "check": "test_release", "watch": "test_watch", "course": "test_assignments", "read": "test_lessons",
    "compare": "test_compare", "recap": "test_compare", "debug": "test_help",
    "hint": "test_docs", "reset": "test_docs", "submit": "test_assignments", "notebook": "test_notebook",
    "model": "../projects/test_smollm2", "train": "../projects/test_train", "tour": "../projects/test_tour",
    "alignment": "../projects/test_alignment", "capstone": "../projects/test_capstone",
    "classify": "../projects/test_classify",
    "exercises": "test_docs", "verify": "test_worked_exercise", "mutants": "test_worked_exercise",
    "release": "test_release", "site": "test_site", "notebooks": "test_docs", "grade": "test_docs",
    "report": "test_docs", "gradescope": "test_docs", "mistakes": "test_docs", "similar": "test_docs",
    "collect": "test_term",
    "fill": "test_term", "doctor": "test_systems",
}  # fmt: skip
MAKE = {  # targets that are no command of the program
    "help": "test_commands", "setup": "test_setup", "nbgrader": "test_docs", "fuzz": "test_wire",
    "upgrade": "test_versions",
    "test": "", "quick": "", "lint": "", "bench": "", "pictures": "",  # what runs the tests, or makes pictures of them
}  # fmt: skip
PROJECTS = ("model", "train", "alignment", "classify", "capstone", "tour")  # whose options are their own


def commands(page):
    """Each command of a page, with its line's number and whether the page says that it is not run."""
    fence, kind, marked = "", "", False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if NOT_RUN.search(line):
            marked = True
        elif line.startswith(("#", "<!--")):
            marked = False
        if (ticks := re.match(r"(`{3,})(\w*)", line)) and (not fence or ticks[1] == fence):
            fence, kind = ("", "") if fence else (ticks[1], ticks[2] or "text")
        elif kind in ("", "console", "text", "bash") and (found := _command(line, kind)):
            yield number, found, marked
        elif not fence:
            for code in re.findall(r"`([^`]+)`", line):
                if " " in code and code.split()[0] in PROGRAMS:
                    yield number, code, marked


def _command(line, kind):
    """The command of a line of a block, without what is said beside it."""
    if not (kind or line.startswith("    ")):
        return ""
    text = re.sub(r"\s+# .*", "", line.strip()).removeprefix("$ ")
    if kind == "console" and not line.startswith("$ "):
        return ""
    return text if text.split(" ")[0] in PROGRAMS else ""


ALL = [(page.name, *found) for page in PAGES for found in commands(page)]
RUN = [(name, number, text) for name, number, text, marked in ALL if not marked]


def test_pages_are_read():
    """Blocks, consoles and words within lines are found, and what is marked is marked."""
    texts = {(name, text) for name, _, text, _ in ALL}
    assert ("README.md", "make check") in texts
    assert ("walk.md", "make watch") in texts
    assert ("worked-exercise.md", "make verify EX=layer_norm") in texts
    assert any(name == "term.md" and text.startswith("autograder collect") for name, text in texts)
    assert {name for name, _, text, marked in ALL if text.startswith("docker")} == {"containers.md"}
    assert all(marked for _, _, text, marked in ALL if text.startswith("docker"))
    assert len(ALL) > 60


@pytest.mark.parametrize(("page", "line", "text"), RUN, ids=[f"{name}:{line}" for name, line, _ in RUN])
def test_each_command_is_one_and_is_run(page, line, text):
    """The program, its command and its options exist, and the test that is said to run them is there."""
    program, *words = shlex.split(text.replace("\\", "/"))
    match Path(program).name:
        case "make":
            for target in [word for word in words if "=" not in word and not word.isupper()]:
                _make(target, [word for word in words if "=" in word])
        case "autograder":
            _ours(words)
        case "python" | "python3" | "py" | "pytest":
            _python(words, program)
        case "nbgrader":
            tests = (ROOT / "tests" / "autograder" / "nbgrader").glob("*.py")
            assert words[0] == "db" or any(f'"{words[0]}"' in path.read_text(encoding="utf-8") for path in tests), text
        case "pip":
            assert "autograder" not in text, "that name is somebody else's on PyPI"
        case "git" | "cd" | "source" | "activate":
            pass
        case _:
            pytest.fail(f"{text}: say why it is not run, above the block: <!-- not run by tests: ... -->")


def _ours(words):
    if words in ([], ["NAME"], ["--version"]):
        return
    assert words[0] in RUN_BY, words
    test = ROOT / "tests" / "autograder" / f"{RUN_BY[words[0]]}.py"
    assert test.is_file(), test
    if words[0] not in PROJECTS and len(words) > 1:
        _parser().parse_args(words)  # exits, with argparse's own words, where an option is none


def _make(target, variables):
    done = subprocess.run(
        ["make", "-n", "-s", target, *variables], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    for variable in variables:
        assert f"$({variable.partition('=')[0]})" in recipe[1], variable
    ours = re.findall(r"-m autograder (.+?)(?: \|\| .+)?$", done.stdout, re.MULTILINE)
    if target in MAKE:
        assert not MAKE[target] or (ROOT / "tests" / "autograder" / f"{MAKE[target]}.py").is_file()
        return
    assert ours, done.stdout
    for line in ours:
        words = shlex.split(line)
        if target != "release" or len(words) > 1:  # DIR is asked for
            _ours(words)


def _python(words, program):
    words = [word for word in words if word != "-P"]
    if program.endswith("pytest"):
        assert (ROOT / words[0]).exists()
    elif words[0] == "-m":
        name = words[1].replace(".", "/")
        assert (ROOT / f"{name}.py").is_file() or (ROOT / name / "__main__.py").is_file(), words
        if words[1] == "autograder":
            _ours(words[2:])
    elif words[0] == "install.py":
        extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for place in [place for place, word in enumerate(words) if word == "--extra"]:
            assert re.search(rf"^{words[place + 1]} = \[", extras, re.MULTILINE), words
    else:
        assert (ROOT / words[0]).is_file(), words


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """A small course with an assignment, and what two students handed in: one right, one wrong in a way of her own."""
    course = copy_course(tmp_path_factory.mktemp("classroom") / "course", ["softmax", "attention"])
    with (course.root / "course.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[assignment]]\nname = "week1"\nexercises = ["softmax", "attention"]\n')
    right = course.solution("softmax").read_text(encoding="utf-8")
    for name, text in (("ada", right), ("bob", right.replace("return exponentials /", "return 0.37 * exponentials /"))):
        (course.root / "submissions" / name).mkdir(parents=True)
        (course.root / "submissions" / name / "softmax.py").write_text(text, encoding="utf-8")
    return course.root


def said(page, *beginnings):
    """The commands of a page that begin so, in its order."""
    return [text for name, _, text, _ in ALL if name == page and text.startswith(beginnings)]


def run(text):
    """Runs a command as a shell would: files that match a pattern take its place."""
    words = [found for word in shlex.split(text)[1:] for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    return main(words)


def test_the_commands_of_reports_and_term_as_they_stand(classroom, monkeypatch, capsys):
    """Grading, reports, the zip, what changed, what nobody named, and what is similar: word for word."""
    monkeypatch.chdir(classroom)
    ran = said("reports.md", "autograder grade submissions", "autograder report results", "autograder gradescope")
    for text in ran:
        assert run(text) == 0, text
    for made in ("results/ada.json", "class.html", "pages/ada.html", "grades.csv", "autograder.zip"):
        assert (classroom / made).is_file(), made
    shutil.copytree("results", "results-before")
    ran += said("reports.md", "autograder report --diff")
    assert run(ran[-1]) == 0
    assert "Nothing changed." in capsys.readouterr().out
    (classroom / "results" / "week1").mkdir()
    assert run("autograder grade submissions/* --assignment week1 --out results/week1") == 0
    capsys.readouterr()
    mistakes, draft = said("term.md", "autograder mistakes")
    assert run(mistakes) == 0
    group = re.search(r"^(softmax-\w+): 1", capsys.readouterr().out, re.MULTILINE)[1]
    assert run(draft.replace("softmax-3fa2c1", group)) in (0, 1)
    assert "Added" in capsys.readouterr().out
    (similar,) = said("term.md", "autograder similar")
    assert run(similar) == 0
    assert (classroom / "similar.html").is_file()
    assert len(ran) == 4


def test_the_commands_of_a_student_as_they_stand(classroom, monkeypatch, capsys):
    """Hints and a fresh stub, as the README has them."""
    monkeypatch.chdir(classroom)
    assert main(["hint", "softmax"]) == 0
    assert "Hint 1 of" in capsys.readouterr().out
    assert main(["hint", "softmax", "--all"]) == 0
    stub = classroom / "exercises" / "softmax.py"
    stub.write_text(stub.read_text(encoding="utf-8").replace("...", "1", 1), encoding="utf-8")
    assert main(["reset", "softmax", "--level", "open"]) == 0
    assert "the whole function" in stub.read_text(encoding="utf-8")
    assert main(["exercises"]) == 0
    assert "the whole function" not in stub.read_text(encoding="utf-8")


def test_the_notebooks_of_nbgrader_as_they_stand(classroom, monkeypatch, tmp_path):
    """With `~` a home of the test's own."""
    monkeypatch.chdir(classroom)
    first, *_ = said("nbgrader.md", "autograder notebooks")
    assert run(first.replace("~", str(tmp_path))) == 0
    assert (tmp_path / "llm" / "source" / "week1" / "01-softmax.ipynb").is_file()
