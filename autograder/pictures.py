"""The picture at the end of an exercise: drawn with the student's own functions, shown or saved."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autograder.course import holes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def show(draw: Callable[[], Figure]) -> None:
    """Draws the picture and shows it (in a notebook or a window) or saves it as `pictures/NAME.png`.

    While the exercise has holes, it says in one sentence what is still to do instead.

    Args:
        draw: returns a Matplotlib figure. The picture is named after the file that defines it.
    """
    path = Path(inspect.getsourcefile(draw) or "notebook.py")
    in_notebook = not path.is_file() or "ipykernel" in path.parent.name
    if sentence := _what_is_open(draw.__globals__) if in_notebook else _open_holes(path):
        print(sentence)
        return
    import matplotlib

    headless = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if not in_notebook and headless:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    try:
        with _one_thread():
            figure = draw()
    except Exception as error:
        sentence = _unfinished(error.__traceback__)
        if not sentence:
            raise
        plt.close("all")  # a notebook would show the half of it
        print(sentence)
        return
    if in_notebook or matplotlib.get_backend().lower() != "agg":
        plt.show()
    else:
        folder = path.resolve().parent.parent / "pictures"
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{path.stem}.png", dpi=120, bbox_inches="tight")
        print(f"Saved the picture as pictures/{path.stem}.png.")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Has PyTorch draw on one thread: a picture's models are small, and threads that wait take the time of others.

    On two shared cores the picture of multi-head attention took 74 seconds (47 of processor) with two threads, and 23
    (14) with one.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _open_holes(path: Path) -> str:
    """What a script has still to be filled; nothing when it is."""
    lines = holes(path.read_text(encoding="utf-8"))
    if not lines:
        return ""
    many = len(lines) > 1
    return (
        f"{path.name} still has {len(lines)} hole{'s' if many else ''} to fill, on line{'s' if many else ''} "
        f"{', '.join(map(str, lines))}: fill {'them' if many else 'it'}, and this draws a picture."
    )


def _what_is_open(notebook: dict[str, Any]) -> str:
    """Which of a notebook's functions and classes, as last run, have holes; nothing when none has."""
    found = []
    for name, value in list(notebook.items()):
        if not (inspect.isfunction(value) or inspect.isclass(value)) or value.__module__ != notebook.get("__name__"):
            continue
        try:
            source = inspect.getsource(value)
        except (OSError, TypeError):
            continue
        if value.__name__ == name and holes(source):
            found.append(f"`{name}`")
    if not found:
        return ""
    listing = " and ".join(filter(None, (", ".join(found[:-1]), found[-1])))
    verb, rest = ("are", "their cells") if len(found) > 1 else ("is", "its cell")
    return f"{listing} {verb} not finished yet. Fill the holes, run {rest}, and this draws a picture."


def _unfinished(trace: TracebackType | None) -> str:
    """Whether an error comes from a `...` that was left: the student's own function that held it, if one did."""
    frames = [(name, any(value is ... for value in held.values()), own) for name, held, own in _frames(trace)]
    name = next((name for name, holds, own in frames if holds and own), "")
    if name and name != "draw":
        return f"`{name}` is not finished yet: it still holds a `...`. Fill it, and this draws a picture."
    if any(holds for _, holds, _ in frames):
        return "One of your functions returned `...`: an answer is still missing. Fill it, and this draws a picture."
    return ""


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """The functions on the way to an error, their variables, and whether they are the student's (no library's)."""
    while trace is not None:
        code = trace.tb_frame.f_code
        library = code.co_filename.startswith(_LIBRARIES) or "site-packages" in code.co_filename
        yield code.co_name, trace.tb_frame.f_locals, not library and code.co_filename != __file__
        trace = trace.tb_next
