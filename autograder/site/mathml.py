"""A Sphinx extension: formulas as MathML, which browsers set by themselves, in a font that the site brings with it.

No script runs in the reader's browser for it, and screen readers read the formulas.
"""

from __future__ import annotations

import logging
import re
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.osutil import ensuredir

FONT = "STIXTwoMath.woff"
# What a browser draws and no page writes: the root's sign, and the italics of single letters, Latin and Greek.
_UNWRITTEN = {0x221A, 0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)}
# The converter leaves no space after the name of a function, as in "log p".
_FUNCTION = re.compile(r"(<mi>(?:log|exp|min|max|sin|cos)</mi>)(?!</m|<mo stretchy|<mo>&#x0*28;)")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer and the font. Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.connect("build-finished", _write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def as_mathml(formula: str, *, block: bool) -> str:
    """A LaTeX formula as MathML."""
    markup = convert(formula.strip(), display="block" if block else "inline")
    markup = _FUNCTION.sub(r'\1<mspace width="0.17em"/>', markup)
    return markup.replace("<math ", '<math tabindex="0" ', 1) if block else markup


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(as_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{as_mathml(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def _write_font(app: Sphinx, exception: Exception | None) -> None:
    """STIX Two Math, cut to the characters that the pages' formulas use (and what grows out of them)."""
    if exception is not None:
        return
    pages = Path(app.outdir).rglob("*.html")
    formulas = (match for page in pages for match in re.findall(r"<math.*?</math>", page.read_text("utf-8"), re.DOTALL))
    used = {ord(character) for formula in formulas for character in re.sub(r"<[^>]*>|&#x[0-9A-Fa-f]+;", "", formula)}
    for page in Path(app.outdir).rglob("*.html"):
        used |= {int(code, 16) for code in re.findall(r"&#x([0-9A-Fa-f]{2,6});", page.read_text("utf-8"))}
    target = Path(app.outdir, "_static", FONT)
    ensuredir(target.parent)
    target.write_bytes(_subset(used | set(range(0x20, 0x7F)) | _UNWRITTEN))


def _subset(characters: set[int]) -> bytes:
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    with as_file(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf") as path:
        font = TTFont(path)
    options = Options(layout_features=["*"], notdef_outline=True, glyph_names=False, hinting=False)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    font.flavor = "woff"
    font["head"].modified = font["head"].created  # the same course gives the same bytes
    font.recalcTimestamp = False
    out = BytesIO()
    font.save(out)
    return out.getvalue()
