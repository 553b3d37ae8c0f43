"""What in a file is built on what, and so what a change of one part of it can change."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from functools import lru_cache

from autograder.diagnosis.traced import Key, bare
from autograder.isolation.between.steps import points_of

_NAMES = re.compile(r"(?<![\w.])[^\W\d]\w*")  # `text.encode` is another `encode`


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


def changed_lines(before: str, after: str) -> set[int]:
    """The lines of the second text that differ from the first, and the first lines of the statements they are in."""
    old, new = before.split("\n"), after.split("\n")
    changed: set[int] = set()
    for tag, _, _, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            changed.update(range(first + 1, max(last, first + 1) + 1), [first] if tag == "delete" else [])
            if tag == "delete":  # and it takes effect in the statement after it
                changed.add(
                    next(
                        (n for n in range(first, len(new)) if bare(new[n]) and not new[n].lstrip().startswith("#")),
                        first,
                    )
                    + 1
                )
    for node in ast.walk(ast.parse(after)):
        if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if not changed.isdisjoint(range(node.lineno, end + 1)):
                changed.add(node.lineno)
    return changed


def changed_steps(before: str, after: str) -> frozenset[Key]:
    """The steps that happen in what was changed."""
    changed = changed_lines(before, after)
    return frozenset(Key(p.function, p.name, p.kind) for p in points_of(after) if p.line in changed)


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
    words = {name: set(_NAMES.findall(text)) for name, text in texts.items()}
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
