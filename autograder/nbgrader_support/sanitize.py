"""What students write in text cells, as HTML that can do nothing: instructors open it beside their own gradebook.

nbgrader's pages and feedback show Markdown as it comes, and a script in it would act as whoever reads it: it could give
itself points. Our settings put this filter in the place of nbconvert's own.
"""

from __future__ import annotations

import re

from bleach import clean
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

FILTERS = {"markdown2html": f"{__name__}.markdown2html"}  # as HTMLExporter wants it
_TAGS = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre"
        " q s span strong sub summary sup table tbody td th thead tr tt u ul",
    )
)
_ATTRIBUTES = {"*": ["class", "id", "title"], "a": ["href"], "img": ["src", "alt", "width", "height"]}
_PROTOCOLS = frozenset(("http", "https", "mailto"))
# What MathJax makes links, styles and scripts of, and what could spell such a name.
_ACTIVE_MATH = re.compile(r"\\(?=(?:href|style|class|cssId|require|csname|data|mmlToken)(?![A-Za-z]))")


@pass_context
def markdown2html(context: Context, source: str) -> str:
    """Markdown as HTML without scripts, handlers, styles, frames, forms or links to anything but pages and mail."""
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    html = MarkdownWithMath(renderer=renderer).render(_ACTIVE_MATH.sub("", source))
    return clean(html, tags=_TAGS, attributes=_ATTRIBUTES, protocols=_PROTOCOLS)
