"""What in a file is built on what, and so what a change of one part of it can change."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache


def foundations_within(source: str, definitions: Mapping[str, tuple[int, int]]) -> dict[str, set[str]]:
    """For each function and class of a file the others that its text names, and those that these name, and so on.

    Args:
        source: of anybody: it is not parsed.
        definitions: the first and last line of each.
    """
    lines = source.splitlines()
    return _foundations(
        {name: "\n".join(lines[max(first - 1, 0) : last]) for name, (first, last) in definitions.items()}
    )


def affected(before: str, after: str) -> frozenset[str] | None:
    """The functions and classes that may behave differently in one of two versions of a file; None when all may."""
    (old, old_rest), (new, new_rest) = _parts(before), _parts(after)
    if old_rest != new_rest:
        return None
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    foundations = [*_foundations(old).items(), *_foundations(new).items()]
    return frozenset(changed.union(name for name, below in foundations if below & changed))


@lru_cache(maxsize=16)  # every known mistake is compared with the one solution
def _parts(source: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """A file's functions and classes by name, and the rest of it."""
    lines = source.splitlines()
    parts, rest = dict[str, str](), list[str]()
    for node in ast.parse(source).body:
        decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            parts[node.name] = text
        else:
            rest.append(text)
    return parts, tuple(rest)


def _foundations(texts: Mapping[str, str]) -> dict[str, set[str]]:
    words = {name: set(re.findall(r"\w+", text)) for name, text in texts.items()}
    found: dict[str, set[str]] = {}
    for name in words:
        reached: set[str] = set()
        queue = [name]
        while queue:
            new = words.keys() & words[queue.pop()] - reached - {name}
            reached |= new
            queue += new
        found[name] = reached
    return found
