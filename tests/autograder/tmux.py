"""A real terminal for tests: a program in tmux, driven by keys, and what its screen shows."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CAPTURES = Path(__file__).resolve().parents[2] / "build" / "captures"
PATIENCE = 60.0  # seconds: for a machine that is busy; nothing waits longer than it must
HAS_TMUX = shutil.which("tmux") is not None


class Terminal:
    """One program in one window of a tmux server of its own."""

    def __init__(self, server: str) -> None:
        self._server = server

    def press(self, *keys: str) -> None:
        """Presses keys: letters, or names such as `Right` and `C-c`."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What stands in the window now."""
        lines = self._tmux("capture-pane", "-p").split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"

    def everything(self) -> str:
        """What stands in the window and above it, with lines that the window broke in one piece."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-")

    def resize(self, columns: int, rows: int) -> None:
        """Makes the window wider or narrower."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, *texts: str, gone: str = "") -> str:
        """The screen as soon as it shows all texts, wherever lines break, and not `gone`."""
        return self.wait_until(
            lambda shown: all(_flat(text) in shown for text in texts) and not (gone and _flat(gone) in shown),
            f"{texts} without {gone!r}",
        )

    def wait_until(self, test: Callable[[str], bool], what: str) -> str:
        """The screen as soon as its text, in one line, passes a test."""
        deadline = time.monotonic() + PATIENCE
        while not test(_flat(screen := self.screen())):
            assert time.monotonic() < deadline, f"waited for {what}; the screen shows:\n{screen}"
            time.sleep(0.02)
        return screen

    def keep(self, name: str) -> str:
        """Keeps a capture of the screen for people to look at, and returns it."""
        CAPTURES.mkdir(parents=True, exist_ok=True)
        (CAPTURES / f"{name}.txt").write_text(screen := self.screen(), encoding="utf-8")
        return screen

    def _tmux(self, *arguments: str) -> str:
        return _tmux(self._server, *arguments)


@contextmanager
def terminal(command: str, folder: Path, columns: int = 80, rows: int = 24, **environment: str) -> Iterator[Terminal]:
    """Runs a command line in a terminal of a certain size, and ends both."""
    variables = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
    size = ["-x", str(columns), "-y", str(rows)]
    line = f'{command}; echo "[ended: $?]"; exec sleep 1000'
    with tempfile.TemporaryDirectory(prefix="tmux-") as socket_folder:
        server = str(Path(socket_folder, "socket"))
        _tmux(server, "-f", os.devnull, "new-session", "-d", *size, "-c", str(folder), *variables, line)
        try:
            yield Terminal(server)
        finally:
            _tmux(server, "kill-server")


def _tmux(server: str, *arguments: str) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    for name in ("TMUX", "COLUMNS", "LINES"):  # a terminal asks itself how wide it is
        environment.pop(name, None)
    done = subprocess.run(
        ["tmux", "-u", "-S", server, *arguments],
        env=environment, capture_output=True, encoding="utf-8", check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


def _flat(text: str) -> str:
    return " ".join(text.split())
