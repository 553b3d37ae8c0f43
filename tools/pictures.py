"""`make pictures`: the README's pictures, from what they show.

A terminal from the walk in docs/walk.md, what `softmax` draws at its end, and where a softmax that forgets to divide
differs. Small enough for git.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autograder.course import load_course
from autograder.files import write_whole
from autograder.notebook.heatmap import heatmap
from autograder.site.figures import picture
from autograder.site.terminal import walk_svg

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Writes them all."""
    write_whole(PICTURES / "session.svg", walk_svg((ROOT / "docs" / "walk.md").read_text(encoding="utf-8")))
    if drawn := picture(load_course(ROOT), "softmax"):
        write_whole(PICTURES / "softmax.png", drawn.png)
    write_whole(PICTURES / "heatmap.svg", _heatmap())


def _heatmap() -> str:
    scores = np.random.default_rng(4).normal(size=(6, 12)) * 1.5
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    wanted = exponentials / exponentials.sum(axis=-1, keepdims=True)
    got = exponentials / exponentials.sum(axis=0, keepdims=True)
    html = heatmap(got, wanted, ~np.isclose(got, wanted, rtol=0.15))
    return html[html.index("<svg") : html.index("</svg>") + len("</svg>")] + "\n"


if __name__ == "__main__":
    main()
