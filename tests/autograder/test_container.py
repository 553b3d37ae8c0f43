"""The container without an engine: what the Dockerfile copies can grade, and the page's Kubernetes job is one."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def steps(word):
    """What stands behind an instruction, for each of its lines."""
    return [shlex.split(line.removeprefix(word)) for line in DOCKERFILE.splitlines() if line.startswith(f"{word} ")]


def ignored():
    """What never reaches the engine."""
    return [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if "*" not in line]


def test_what_is_copied_can_grade(tmp_path):
    """A folder of exactly the copied files grades as the course does, and `solutions` among them are not ignored."""
    course = tmp_path / "course"
    for *sources, target in steps("COPY"):
        for source in sources:
            assert source not in ignored()
            place = course / target if len(sources) == 1 and not target.endswith("/") else course / target / source
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    command = [sys.executable, *json.loads(DOCKERFILE.partition("ENTRYPOINT ")[2].partition("\n")[0])[1:]]
    assert command[1:] == ["-P", "-m", "autograder"]
    answer = next((ROOT / "tests" / "answers" / "softmax").glob("*.py"))
    shutil.copy(answer, tmp_path / "softmax.py")
    done = subprocess.run(
        [*command, "grade", str(tmp_path / "softmax.py"), "--exercise", "softmax", "--json"],
        cwd=course, env={**os.environ, "PYTHONPATH": str(course)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["score"] == 10


def test_who_runs_it_and_with_what():
    """Not root; the CPU build; the versions of the lock, through install.py."""
    assert steps("USER")[-1] == ["grader"]
    assert DOCKERFILE.index("USER grader") > DOCKERFILE.index("RUN useradd")
    assert re.search(r"TORCH_INDEX=cpu .*python install\.py --here --extra dask", DOCKERFILE)


def test_the_job_for_kubernetes():
    """Read as YAML, it asks for no privilege, and mounts what its arguments name."""
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    block = re.search(r"^    apiVersion: batch/v1\n(?:    .*\n)+", page, re.MULTILINE)[0]
    job = yaml.safe_load("".join(line[4:] for line in block.splitlines(keepends=True)))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {word for word in container["args"] if word.startswith("/")} == set(mounts)
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}
    assert not mounts["/results"].get("readOnly")
