"""`notebook`: the exercises as notebooks in JupyterLab.

Jupytext pairs a notebook with its script so closely that the script is all there is: JupyterLab opens
`exercises/softmax.py` as a notebook and saves it as the script that it was. What else Jupyter must know lies in a
folder that is gone afterwards, so nothing of the student's own set-up changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from autograder.course import Course, CourseError

_VIEWERS = {"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}}}
_QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
_KERNEL = {
    # `%check` is known in every notebook without a word about it.
    "argv": [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--ext",
        "autograder.notebook",
    ],
    "display_name": "The course",
    "language": "python",
    "metadata": {"debugger": True},
    "env": {"OMP_WAIT_POLICY": "PASSIVE"},  # also where PyTorch is loaded before the program (see `autograder`)
}


def open_lab(course: Course, name: str, *, browser: bool, port: int) -> int:
    """Runs JupyterLab until somebody ends it, and returns its exit code.

    Raises:
        CourseError: JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise CourseError("JupyterLab is not installed. `make notebook` installs it.")
    start = f"exercises/{name or course.names[0]}.py"
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course.root}", f"--port={port}"]
    command += [f"--LabApp.default_url=/lab/tree/{start}", *([] if browser else ["--no-browser"])]
    command += ["--JupytextConfiguration.notebook_metadata_filter=-all"]  # no header on top of the scripts
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container most are, and Jupyter would refuse
        command.append("--allow-root")
        print("You are root here, so whatever runs in Jupyter may do all that root may.", flush=True)
    print("In a notebook, %check says how your functions stand. Ctrl-C, twice, ends Jupyter.", flush=True)
    with tempfile.TemporaryDirectory(prefix="jupyter-") as folder:
        try:
            return subprocess.run(command, cwd=course.root, env=_environment(Path(folder))).returncode
        except KeyboardInterrupt:
            return 0


def _environment(folder: Path) -> dict[str, str]:
    """The environment with our settings before all others."""
    for path, content in (
        ("labconfig/default_setting_overrides.json", {**_VIEWERS, **_QUIET}),
        ("kernels/python3/kernel.json", _KERNEL),
    ):
        target = folder / path
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(content), encoding="utf-8")
    added = {
        variable: os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))
        for variable in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    }
    return {**os.environ, **added}
