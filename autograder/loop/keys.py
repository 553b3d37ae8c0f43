"""Single keys from the terminal, without Enter; from a pipe or a file, the first letter of every line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_ARROWS = {"C": "n", "B": "n", "D": "p", "A": "p"}  # what follows ESC [
_WINDOWS_ARROWS = {"M": "n", "P": "n", "K": "p", "H": "p"}  # what follows a zero or an à


@contextmanager
def single_keys() -> Iterator[None]:
    """While it lasts, the terminal hands over each key at once and does not show it. Afterwards it is as it was."""
    if os.name == "nt" or not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def read_keys(press: Callable[[str], None]) -> None:
    """Calls `press` for every key, until there are no more. Letters are small ones; arrows are `n` and `p`."""
    with suppress(OSError, ValueError):  # the input was closed
        if not sys.stdin.isatty():
            for line in sys.stdin:
                press(line.strip()[:1].lower())
        elif os.name == "nt":
            _read_windows(press)
        else:
            _read_posix(press)


def _read_posix(press: Callable[[str], None]) -> None:
    fd = sys.stdin.fileno()
    while data := os.read(fd, 64):
        for key in keys_in(data.decode(errors="ignore")):
            press(key)


def keys_in(text: str) -> Iterator[str]:
    """The keys of what a terminal sends in one go: arrows come as three characters, and other such keys say nothing."""
    rest = text
    while rest:
        if rest.startswith(("\x1b[", "\x1bO")):
            end = next((i for i, c in enumerate(rest[2:], 3) if "@" <= c <= "~"), len(rest))
            if arrow := _ARROWS.get(rest[2:end]):
                yield arrow
            rest = rest[end:]
        else:
            yield rest[0].lower()
            rest = rest[1:]


def _read_windows(press: Callable[[str], None]) -> None:
    import msvcrt

    while key := msvcrt.getwch():  # type: ignore[attr-defined]
        if key in "\x00\xe0":
            press(_WINDOWS_ARROWS.get(msvcrt.getwch(), ""))  # type: ignore[attr-defined]
        elif key == "\x03":
            press("q")  # Ctrl-C, which this call hands over as a key
        else:
            press(key.lower())
