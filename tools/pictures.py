"""`make pictures`: the pictures of the README and the docs, from what they show.

A terminal from the walk in docs/walk.md, what `softmax` draws at its end, and where a softmax that forgets to divide
differs. Of the projects, what `make tour` and `make alignment` left in `pictures/`, where they have run. Small enough
for git.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from autograder.course import load_course
from autograder.files import write_whole
from autograder.notebook.heatmap import heatmap
from autograder.site.figures import picture
from autograder.site.terminal import walk_svg

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
OF_PROJECTS = ("tour-3-single-words.png", "alignment.png")


def main() -> None:
    """Writes them all."""
    write_whole(PICTURES / "session.svg", walk_svg((ROOT / "docs" / "walk.md").read_text(encoding="utf-8")))
    if drawn := picture(load_course(ROOT), "softmax"):
        write_whole(PICTURES / "softmax.png", drawn.png)
    write_whole(PICTURES / "heatmap.svg", _heatmap())
    for name in OF_PROJECTS:
        if (ROOT / "pictures" / name).is_file():
            write_whole(PICTURES / name, _smaller(ROOT / "pictures" / name))


def _smaller(picture: Path) -> bytes:
    """A picture in few colors, no wider than a page."""
    out = io.BytesIO()
    image = Image.open(picture).convert("RGB")
    image.thumbnail((1200, 1200))
    image.quantize(64).save(out, "png", optimize=True)
    return out.getvalue()


def _heatmap() -> str:
    scores = np.random.default_rng(4).normal(size=(6, 12)) * 1.5
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    wanted = exponentials / exponentials.sum(axis=-1, keepdims=True)
    got = exponentials / exponentials.sum(axis=0, keepdims=True)
    html = heatmap(got, wanted, ~np.isclose(got, wanted, rtol=0.15))
    return html[html.index("<svg") : html.index("</svg>") + len("</svg>")] + "\n"


if __name__ == "__main__":
    main()
