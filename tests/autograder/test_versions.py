"""The lock: what it says, for whom, and that pyproject.toml agrees with it."""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

from autograder.versions import differing, locked

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1", "3.13.0", "3.14.0"])
@pytest.mark.parametrize(("system", "name"), [("linux", "posix"), ("darwin", "posix"), ("win32", "nt")])
def test_one_lock_for_all(python, system, name):
    """Everything that pyproject.toml asks for has exactly one version, within its range, on every system and Python."""
    place = default_environment() | {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": system,
        "os_name": name,
    }
    fits = [line for line in LINES if line.marker is None or line.marker.evaluate(place)]
    versions = {line.name: str(line.specifier).removeprefix("==") for line in fits}
    assert len(versions) == len(fits)
    wishes = [
        *PROJECT["dependencies"],
        *(wish for extra in PROJECT["optional-dependencies"].values() for wish in extra),
    ]
    for wish in map(Requirement, wishes):
        if wish.name != PROJECT["name"] and (wish.marker is None or wish.marker.evaluate(place)):
            assert wish.specifier.contains(versions[wish.name.lower()]), wish


def test_the_lock_pins_no_build():
    """A CPU build of a PyTorch is that PyTorch, and NVIDIA's packages are the business of the builds that want them."""
    names = {line.name for line in LINES}
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]
    assert all("+" not in str(line.specifier) for line in LINES)
    torch = next(wish for wish in map(Requirement, PROJECT["dependencies"]) if wish.name == "torch")
    assert torch.specifier.contains("2.99.0")
    assert torch.specifier.contains("2.13.0+cpu")


def test_what_differs_is_named(tmp_path):
    """Another version is told, a build is not, and neither are comments and what is not installed."""
    from importlib.metadata import version

    torch = version("torch").partition("+")[0]
    (tmp_path / "constraints.txt").write_text(
        f"# tested\ntorch=={torch}\nnumpy==1.0\nno-such-package==1.0\nrich==1.0 ; python_version < '3'\n",
        encoding="utf-8",
    )
    assert differing(tmp_path) == {"numpy": ("1.0", version("numpy"))}
    assert locked(tmp_path / "nowhere") == {}


def test_the_lock_shows_what_moved(monkeypatch):
    """`make upgrade` says each package's old and new version, both where Pythons differ."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    from upgrade import moved

    old = "# old\na==1\nb==1 ; python_full_version < '3.12'\nb==2 ; python_full_version >= '3.12'\nc==1\n"
    new = "# new\na==1\nb==1 ; python_full_version < '3.12'\nb==3 ; python_full_version >= '3.12'\nd==1\n"
    assert moved(old, new) == ["b: 1 and 2 -> 1 and 3", "c: 1 -> gone", "d: new -> 1"]


def test_the_weekly_workflow_asks_what_there_is(monkeypatch):
    """It resolves with the same program, for the oldest and the newest versions, without what holds PyTorch back."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "newest.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["tests"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert "python tools/upgrade.py --no-proof --resolution ${{ matrix.resolution }}" in runs
    assert "sed -i '/^constraint-dependencies/d' pyproject.toml" in runs
    assert re.search(r"^constraint-dependencies", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.syspath_prepend(ROOT / "tools")
    import upgrade

    asked = []
    monkeypatch.setattr(upgrade.subprocess, "run", lambda command, **_: asked.append(command) or done)
    done = SimpleNamespace(returncode=0, stdout="torch==2.6.0\nnvidia-nccl-cu12==2.2\n")
    for resolution in job["strategy"]["matrix"]["resolution"]:
        assert upgrade.resolve(resolution=resolution) == f"{upgrade.HEADER}torch==2.6.0\n"
    assert [command[command.index("--resolution") + 1] for command in asked] == ["highest", "lowest-direct"]


def test_nothing_uses_a_name_that_goes():
    """The old name of the cache goes in transformers 5.40, inside our range: no course text or answer may teach it."""
    for folder in ("solutions", "exercises", "projects", "tests/answers", "tests/mistakes", "tests/mutants"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in (".py", ".toml"):
                assert not re.search(r"past_key_values\s*=|\.past_key_values", path.read_text(encoding="utf-8")), path
