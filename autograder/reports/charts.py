"""Charts as SVG text, to stand in a page as they are."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it loads slowly, and only pages of a class draw
    from matplotlib.figure import Figure

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, and in the page's own font
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}
_BLUE, _GRAY = "#1f5fa8", "#8a8f98"


def distribution(percents: Sequence[float]) -> str:
    """How many students have which score."""
    from matplotlib.ticker import MaxNLocator

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hist(percents, bins=range(0, 101, 10), color=_BLUE, edgecolor="white")
        axes.set(xlabel="score (percent)", ylabel="students", xlim=(0, 100))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))

    counts = [sum(low <= min(p, 99.9) < low + 10 for p in percents) for low in range(0, 100, 10)]
    told = ", ".join(f"{low} to {low + 10} %: {count}" for low, count in zip(range(0, 100, 10), counts, strict=True))
    return _svg("distribution", f"How many students have which score. {told}.", 3.0, draw)


def bars(labels: Sequence[str], values: Sequence[float], name: str, unit: str) -> str:
    """A horizontal bar a label, from 0 to 100 percent."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(len(labels)), values, color=_BLUE)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set(xlabel=unit, xlim=(0, 100))

    told = ", ".join(f"{label} {value:.0f}" for label, value in zip(labels, values, strict=True))
    return _svg(name, f"{unit}: {told}.", 0.9 + 0.3 * len(labels), draw)


def attempts(scores: Sequence[Sequence[float]]) -> str:
    """How each student's score moved from attempt to attempt, and the mean of those who have one."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for line in scores:
            axes.plot(range(1, len(line) + 1), line, color=_GRAY, alpha=0.35, linewidth=1)
        most = max(map(len, scores))
        columns = [[line[i] for line in scores if len(line) > i] for i in range(most)]
        means = [sum(column) / len(column) for column in columns]
        axes.plot(range(1, most + 1), means, color=_BLUE, linewidth=2.5, marker="o")
        axes.set_xticks(range(1, most + 1))
        axes.set(xlabel="attempt", ylabel="score (percent)", ylim=(0, 105))

    means = [sum(c) / len(c) for i in range(max(map(len, scores))) if (c := [s[i] for s in scores if len(s) > i])]
    told = ", ".join(f"{number}: {value:.0f} %" for number, value in enumerate(means, 1))
    return _svg("attempts", f"The mean score by attempt. {told}.", 3.0, draw)


def _svg(name: str, label: str, height: float, draw: Callable[[Figure], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    out = io.StringIO()
    # Ids in the picture come from the salt: the same each time, and no two charts of a page share one.
    with mpl.rc_context():
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})  # type: ignore[dict-item]
        figure = Figure(figsize=(5.4, height), layout="constrained")
        draw(figure)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue()
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text[text.index("<svg") :])
    head = rf'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="\1">'
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', lambda match: match.expand(head), text, count=1)
