"""The glossary's terms, linked from the first place in each lesson where one stands: a Sphinx extension."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGE = "glossary"
LESSONS = "lessons/"
_CLOSED = (nodes.literal, nodes.math, nodes.reference, nodes.title, nodes.literal_block, nodes.caption, nodes.raw)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the transform. Called by Sphinx."""
    app.add_post_transform(_LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _LinkTerms(SphinxPostTransform):
    """Links each term once a lesson."""

    default_priority = 800

    def run(self, **kwargs: Any) -> None:
        """See `SphinxPostTransform`."""
        if not self.env.docname.startswith(LESSONS) or PAGE not in self.env.all_docs:
            return
        terms = terms_of(self.env.get_doctree(PAGE))
        page = self.app.builder.get_relative_uri(self.env.docname, PAGE)
        left = dict(terms)
        for text in list(self.document.findall(nodes.Text)):
            if left and not _is_closed(text):
                _link(text, left, page)


def terms_of(glossary: nodes.document) -> dict[str, str]:
    """Each term in lower case with its anchor; `residual stream (skip connection)` is two names of one thing."""
    terms = {}
    for section in glossary.findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is not None and section.parent is not glossary:
            for name in re.split(r"[(),]", title.astext()):
                if name.strip():
                    terms[name.strip().lower()] = section["ids"][0]
    return terms


def _is_closed(text: nodes.Text) -> bool:
    return any(isinstance(parent, _CLOSED) for parent in _parents(text))


def _parents(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _link(text: nodes.Text, left: dict[str, str], page: str) -> None:
    """Replaces the first term in a text by a link; what follows it is looked through as well."""
    words = sorted(left, key=len, reverse=True)
    match = re.search(rf"\b({'|'.join(map(re.escape, words))})s?\b", text.astext(), re.IGNORECASE)
    if match is None:
        return
    anchor = left[match[1].lower()]
    for name in [name for name, other in left.items() if other == anchor]:
        del left[name]
    rest = nodes.Text(text.astext()[match.end() :])
    link = nodes.reference("", match[0], refuri=f"{page}#{anchor}", internal=True, classes=["term"])
    text.parent.replace(text, [nodes.Text(text.astext()[: match.start()]), link, rest])
    if left:
        _link(rest, left, page)
