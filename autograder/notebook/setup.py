"""What a notebook's first cell does when it has found the course: installs what this Python lacks, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement


def set_up(root: Path) -> None:
    """Installs what is missing, with the course's tested versions, into the Python that runs the notebook.

    Raises:
        RuntimeError: it could not be installed.
    """
    missing = lacking(root)
    if not missing:
        return
    print(f"Installing what the course needs and this Python lacks, once: {', '.join(missing)}.", flush=True)
    command = [sys.executable, str(root / "install.py"), "--here"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:  # line by line: a cell that is silent for minutes looks as if it hung
            print(line, end="", flush=True)
    if process.returncode:
        raise RuntimeError("The course could not be set up; the reason stands above. Run this cell again to go on.")


def lacking(root: Path) -> list[str]:
    """What the course depends on and this Python has not, or not in a version that will do.

    Whatever PyTorch is there will do: Colab and Kaggle bring one that fits their cards.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    return [each.name for each in requirements if not (each.marker and not each.marker.evaluate()) and _lacks(each)]


def _lacks(requirement: Requirement) -> bool:
    if requirement.name == "torch":
        return find_spec("torch") is None
    try:
        return not requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return True
