"""The notebooks of a release: from their first cell to a passed check, in a Python that knows nothing of the course."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from course_copy import ROOT, copy_course

from autograder.authoring.browser import Address
from autograder.authoring.release import release
from autograder.course import CourseError, load_course
from autograder.notebook.setup import lacking
from autograder.submission import read_submission

SCHEMA = Path(__file__).parent / "formats" / "devcontainer.schema.json"


@pytest.fixture(scope="module")
def small_course(tmp_path_factory):
    """A course of two exercises, the second of which builds on the first."""
    return copy_course(tmp_path_factory.mktemp("course"), ["softmax", "attention"])


@pytest.fixture(scope="module")
def released(small_course, tmp_path_factory):
    """Its release, and the bare repository that it is pushed to, whose address the release knows."""
    folder = tmp_path_factory.mktemp("release")
    origin = folder / "the course.git"
    address = origin.as_uri()
    with pytest.MonkeyPatch.context() as patch:  # what mistakes look like takes long to find out, and is not asked here
        patch.setattr("autograder.authoring.release._fingerprints", lambda course, processes, said: {})
        release(small_course, folder / "students", processes=1, url=address)
    commit(folder / "students")
    subprocess.run(["git", "clone", "-q", "--bare", str(folder / "students"), str(origin)], check=True)
    return folder / "students"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A new environment that has the libraries, as Colab has them, and not the course; its kernel's name and path."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # A plain path: what is installed there for development, as this course is, is not followed.
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    kernel = folder / "jupyter" / "kernels" / "fresh"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "x", "language": "python"}))
    done = subprocess.run([python, "-c", "import torch, autograder"], capture_output=True, text=True, cwd=folder)
    assert "No module named 'autograder'" in done.stderr
    return folder / "jupyter"


def commit(folder):
    """Makes a repository of a folder."""
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(folder)]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)


def run(notebook, folder, jupyter):
    """A notebook's cells after all were run, and all that they showed."""
    folder.mkdir(exist_ok=True)
    (folder / "run.ipynb").write_text(json.dumps(notebook))
    command = ["nbconvert", "--to", "notebook", "--execute", "--allow-errors", "--output", "ran.ipynb", "run.ipynb"]
    environment = {**os.environ, "JUPYTER_PATH": str(jupyter), "MPLBACKEND": "agg"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        [sys.executable, "-m", "jupyter", *command, "--ExecutePreprocessor.kernel_name=fresh"],
        cwd=folder, check=True, capture_output=True, env=environment,
    )  # fmt: skip
    cells = json.loads((folder / "ran.ipynb").read_text())["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", ())]
    texts = [each.get("text") or each.get("data", {}).get("text/plain") or each.get("evalue", "") for each in shown]
    return "\n".join(map("".join, texts))


def filled(released, course, name, without_picture=True):
    """A released notebook with the solution's answers."""
    notebook = json.loads((released / "notebooks" / f"{name}.ipynb").read_text())
    solution = course.solution(name).read_text(encoding="utf-8")
    parts = re.split(r"^# %%.*\n", solution, flags=re.MULTILINE)
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if "# FINISH ME" in text:
            begin = text.partition("\n")[0]
            cell["source"] = next(part for part in parts if part.startswith(begin)).strip()
    if without_picture:
        notebook["cells"] = notebook["cells"][:-1]
    return notebook


def test_from_the_first_cell_to_a_passed_check(released, small_course, fresh, tmp_path):
    """In an empty folder: the course is fetched, `%check` is there, answers pass; an earlier answer is found or not."""
    told = run(filled(released, small_course, "softmax", without_picture=False), tmp_path / "a b", fresh)
    assert "softmax: 4 of 4 points" in told, told
    assert (tmp_path / "a b" / "the-20course" / "course.toml").is_file()
    alone = run(filled(released, small_course, "attention"), tmp_path / "a b", fresh)
    assert "There is no finished softmax of yours" in alone
    assert "attention: 4 of 4 points" in alone
    assert "Checked with a right softmax in place of yours." in alone
    shutil.copy(tmp_path / "a b" / "run.ipynb", tmp_path / "attention.ipynb")
    (tmp_path / "a b" / "softmax.ipynb").write_text(json.dumps(filled(released, small_course, "softmax")))
    together = run(filled(released, small_course, "attention"), tmp_path / "a b", fresh)
    assert "attention: 4 of 4 points" in together
    assert "stand-in" not in together
    assert "in place of yours" not in together


def test_an_address_that_gives_nothing_is_said(released, small_course, fresh, tmp_path):
    """Git's own words stand above one sentence of ours."""
    notebook = filled(released, small_course, "softmax")
    text = json.dumps(notebook).replace("the%20course.git", "nowhere.git")
    told = run(json.loads(text), tmp_path, fresh)
    assert "The course could not be fetched. What Git says about it stands above." in told


def test_a_notebook_can_be_handed_in(released, small_course, grader, tmp_path):
    """The first cell and `%check` cost nothing where the notebook is graded."""
    for name in ("softmax", "attention"):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(filled(released, small_course, name)))
    grade = grader.grade(read_submission(tmp_path, load_course(ROOT)))
    assert [exercise.status for exercise in grade.exercises] == ["passed", "passed"]


def test_addresses_are_kept_and_linked(released, small_course, tmp_path, monkeypatch):
    """A later release into the same folder knows the address; GitHub's have Colab's badge; others are links."""
    monkeypatch.setattr("autograder.authoring.release._fingerprints", lambda course, processes, said: {})
    assert "[notebook](notebooks/softmax.ipynb)" in (released / "README.md").read_text()
    folder = tmp_path / "students"
    release(small_course, folder, 1, url="https://github.com/ada/course.git")
    first = (folder / "README.md").read_text()
    badge = "(https://colab.research.google.com/github/ada/course/blob/main/notebooks/softmax.ipynb)"
    assert badge in first
    commit(folder)
    release(small_course, folder, 1)
    assert (folder / "README.md").read_text() == first
    assert Address.kept(folder) == Address("https://github.com/ada/course.git")
    assert "/blob/spring/2027/" in Address.parse("https://github.com/ada/course/tree/spring/2027").link("softmax")
    for wrong in ('https://x/"; rm -rf /; "', "somewhere", "https://a b/c", "--upload-pack=x"):
        with pytest.raises(CourseError, match="no address"):
            Address.parse(wrong)


def test_only_what_is_missing_is_missing(tmp_path):
    """Any PyTorch that is there will do; a version that will not is named, and so is what is not there."""
    listed = ["torch>=99", "numpy>=99", "nothing-of-that-name", "rich>=1", "colorama; sys_platform == 'win32'"]
    (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(listed)}\n")
    assert lacking(tmp_path) == ["numpy", "nothing-of-that-name"]


def test_the_dev_container_is_what_editors_read(released, tmp_path):
    """The file keeps to the format, in the repository and in the release; a wrong key would not."""
    files = [ROOT / ".devcontainer" / "devcontainer.json", released / ".devcontainer" / "devcontainer.json"]
    assert files[0].read_bytes() == files[1].read_bytes()
    wrong = tmp_path / "devcontainer.json"
    wrong.write_text(files[0].read_text().replace("postCreateCommand", "postCreatCommand"))
    program = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    for file, fits in ((files[0], True), (wrong, False)):
        done = subprocess.run([program, "--schemafile", SCHEMA, file], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == fits, done.stdout


def test_the_dev_container_is_read_by_its_own_program(tmp_path):
    """The reference implementation, from npm, reads it as it is meant."""
    if not shutil.which("npx"):
        pytest.skip("npm brings the program, and it is not installed")
    command = ["npx", "--yes", "@devcontainers/cli@0.80.1", "read-configuration", "--workspace-folder", str(ROOT)]
    command += ["--docker-path", "true"]  # it would ask whether such a container runs
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    if done.returncode and "npm error" in done.stderr:
        pytest.skip("the npm registry does not answer")
    read = json.loads(done.stdout)["configuration"]
    assert read["postCreateCommand"] == "make setup"
    assert read["remoteUser"] == "vscode"
