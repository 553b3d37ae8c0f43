"""The `.venv` beside the course: made, found fit, or made anew, which it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.setup.trouble import SetupError, explain, of_the_system

_WHO = "import json, sys; print(json.dumps([list(sys.version_info[:2]), sys.prefix]))"


@dataclass
class State:
    """What was installed last.

    Attributes:
        root: the course's folder then: a `.venv` that was moved or copied still points there.
        digest: of what said which versions.
        extras: what was asked for beside the course itself.
    """

    root: str = ""
    digest: str = ""
    extras: list[str] = field(default_factory=list)


class Environment:
    """A course's `.venv`."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / ".venv"
        self.python = self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        self.marker = self.folder / "unpacking"
        self._stamp = self.folder / "installed"

    @property
    def linked(self) -> bool:
        """Whether it is a link to an environment elsewhere, which is not this course's to change."""
        return self.folder.is_symlink()

    def state(self) -> State:
        """What was installed last; nothing when that cannot be read."""
        try:
            return State(**json.loads(self._stamp.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return State()

    def keep(self, state: State) -> None:
        """Notes what is installed now."""
        (self.folder / "here").write_text(state.root, encoding="utf-8")
        self._stamp.write_text(json.dumps(vars(state)), encoding="utf-8")

    def prepare(self, this_python: bool) -> None:
        """Makes it, unless there is one that is fit.

        Args:
            this_python: it has to be of the Python that runs this.

        Raises:
            SetupError: it cannot be made.
        """
        reason = self._unfit(this_python)
        if reason is None:
            return
        if reason:
            print(f"{reason} Making it anew.", flush=True)
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
        except OSError as error:
            raise SetupError(f"{of_the_system(error, self.folder)} (Or delete {self.folder} yourself.)") from None
        done = subprocess.run(
            [sys.executable, "-m", "venv", str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SetupError(
                explain(done.stdout + done.stderr, self.folder, f"{sys.version_info[0]}.{sys.version_info[1]}")
            )

    def _unfit(self, this_python: bool) -> str | None:
        """Why it cannot stay: nothing said when there is none, None when it can."""
        if not self.folder.exists():
            return ""
        if self.marker.exists():
            return "The last set-up was stopped while packages were being unpacked."
        who = self._who()
        if who is None:
            return "The .venv here does not start: it is of another system, or its Python is gone."
        (major, minor), prefix = who
        if (major, minor) < (3, 11):
            return f"The .venv here has Python {major}.{minor}, and 3.11 or later is needed."
        if this_python and (major, minor) != sys.version_info[:2]:
            return f"The .venv here has Python {major}.{minor}, and you asked for %d.%d." % sys.version_info[:2]
        before = self.state().root
        if Path(prefix).resolve() != self.folder.resolve() or (before and before != str(self.root)):
            return f"The .venv here was made for another folder ({before or prefix})."
        return None

    def _who(self) -> Any:
        try:
            done = subprocess.run([str(self.python), "-c", _WHO], capture_output=True, text=True, check=True)
            done_again = subprocess.run([str(self.python), "-m", "pip", "--version"], capture_output=True, check=False)
            return json.loads(done.stdout) if done_again.returncode == 0 else None
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None
