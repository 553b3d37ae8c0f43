"""Where two arrays differ, as a small drawing: one square a number, in SVG that needs nothing from outside."""

from __future__ import annotations

from html import escape

import numpy as np

ROWS, COLUMNS = 16, 24  # squares at most
_SIDE = 18  # pixels
_RIGHT, _NO_NUMBER = "#d8dee4", "#6e40c9"
_LARGE, _SMALL = (207, 34, 46), (9, 105, 218)  # red and blue, which nearly everybody can tell apart


def heatmap(got: np.ndarray, expected: np.ndarray, wrong: np.ndarray) -> str:
    """Gray where a number is right, red where it is too large, blue where it is too small, purple where it is none.

    Args:
        got: what came back.
        expected: what should have, of the same shape.
        wrong: True where the two differ.

    Returns:
        A figure in HTML; nothing where there is nothing to be drawn.
    """
    if not got.shape == expected.shape == wrong.shape or not got.ndim or not wrong.any():
        return ""
    if not all(np.issubdtype(array.dtype, np.number) or array.dtype == bool for array in (got, expected)):
        return ""
    if np.iscomplexobj(got) or np.iscomplexobj(expected):
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0][:-2])  # the first matrix with something wrong in it
    actual, wanted, bad = (np.atleast_2d(array[place]) for array in (got, expected, wrong))
    top, left = (_start(axis, bad) for axis in (0, 1))
    window = np.s_[top : top + ROWS, left : left + COLUMNS]
    with np.errstate(all="ignore"):
        off = actual[window].astype(np.float64) - wanted[window].astype(np.float64)
    most = float(np.abs(off[bad[window] & np.isfinite(off)]).max(initial=0.0))
    squares = []
    for (i, j), difference in np.ndenumerate(off):
        row, column = top + i, left + j
        index = [*place, row, column] if got.ndim > 1 else [column]
        said = f"{index}: {actual[row, column]:.6g}"
        color = _RIGHT
        if bad[row, column]:
            said += f" instead of {wanted[row, column]:.6g}"
            color = _color(float(difference), most)
        corner = f'x="{j * _SIDE}" y="{i * _SIDE}"'
        square = f'<rect {corner} width="{_SIDE - 1}" height="{_SIDE - 1}" rx="2" fill="{color}">'
        squares.append(f"{square}<title>{escape(said)}</title></rect>")
    height, width = off.shape[0] * _SIDE, off.shape[1] * _SIDE
    caption = _caption(got, place, bad, off.shape)
    return (
        '<figure style="margin:4px 0">'
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(caption)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(squares)}</svg>'
        f'<figcaption style="font-size:85%">{escape(caption)}</figcaption></figure>'
    )


def _start(axis: int, bad: np.ndarray) -> int:
    """The first row or column to show: the start, unless what is wrong begins later than that reaches."""
    most, length = (ROWS, COLUMNS)[axis], bad.shape[axis]
    first = int(np.flatnonzero(bad.any(axis=1 - axis))[0])
    return 0 if first < most else min(first - most // 4, max(length - most, 0))


def _color(difference: float, most: float) -> str:
    if not np.isfinite(difference):
        return _NO_NUMBER
    strength = 0.35 + 0.65 * abs(difference) / most if most else 1.0
    full = _LARGE if difference > 0 else _SMALL
    return "#" + "".join(f"{round(255 + (channel - 255) * strength):02x}" for channel in full)


def _caption(got: np.ndarray, place: tuple[int, ...], bad: np.ndarray, shown: tuple[int, ...]) -> str:
    what = f"{bad.sum()} of {bad.size} numbers differ"
    if place:
        what += f" at {list(place)}"
    if shown != bad.shape:
        what += f"; {shown[0]} of {bad.shape[0]} rows and {shown[1]} of {bad.shape[1]} columns are shown"
    return f"{what}. Red is too large, blue too small, gray right, purple not a finite number."
