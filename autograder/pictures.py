"""The picture at the end of an exercise: drawn with the student's own functions, shown or saved."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autograder.course import holes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(draw: Callable[[], Figure]) -> None:
    """Draws the picture and shows it (in a notebook or a window) or saves it as `pictures/NAME.png`.

    While the exercise has holes, it says in one sentence what is still to do instead.

    Args:
        draw: returns a Matplotlib figure. The picture is named after the file that defines it.
    """
    path = Path(inspect.getsourcefile(draw) or "notebook.py")
    name, open_holes = path.stem, holes(path.read_text(encoding="utf-8")) if path.is_file() else []
    in_notebook = not path.is_file() or "ipykernel" in path.parent.name
    if open_holes and not in_notebook:
        lines = ", ".join(map(str, open_holes))
        many = len(open_holes) > 1
        print(
            f"{path.name} still has {len(open_holes)} hole{'s' if many else ''} to fill, on line{'s' if many else ''} "
            f"{lines}: fill {'them' if many else 'it'}, and this draws a picture."
        )
        return
    import matplotlib

    headless = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if not in_notebook and headless:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    try:
        figure = draw()
    except Exception as error:
        where = _first_unfinished(error.__traceback__)
        if where is None:
            raise
        print(f"`{where}` is not finished yet: it still holds a `...`. Fill it, and this draws a picture.")
        return
    if in_notebook or matplotlib.get_backend().lower() != "agg":
        plt.show()
    else:
        folder = path.resolve().parent.parent / "pictures"
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
        print(f"Saved the picture as pictures/{name}.png.")


def _first_unfinished(trace: TracebackType | None) -> str | None:
    """The function on the way to an error that held a `...` in one of its variables."""
    for function, variables in _frames(trace):
        if any(value is ... for value in variables.values()):
            return function
    return None


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, dict[str, Any]]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_name, trace.tb_frame.f_locals
        trace = trace.tb_next
