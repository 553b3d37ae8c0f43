"""The terminal that there is: wide or narrow, with colors or without, with Unicode or ASCII alone, seen or heard."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata

from rich.console import Console

NARROW = 60  # columns: below it, what is only nice to see gives way
# Characters whose name says less than what people write where a keyboard lacks them.
_SPELLED = {
    "√": "sqrt", "≈": "~", "≤": "<=", "≥": ">=", "≠": "!=", "±": "+-", "×": "x", "·": "*", "−": "-", "∞": "inf",
    "–": "-", "—": "-", "…": "...", "→": "->", "“": '"', "”": '"', "‘": "'", "’": "'", "∈": "in", "Σ": "sum",
}  # fmt: skip


class Plain(Console):
    """For a screen reader: lines of text one after the other, without colors, bars, boxes, marks or redrawing."""


def open_console(plain: bool = False) -> Console:
    """The console on standard output. Whatever its encoding lacks is spelled, so that nothing is lost.

    Args:
        plain: whether somebody asked for plain lines. A terminal that can do no more gets them too.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # LC_ALL=C asks for ASCII, though Python itself would not take it at its word.
        ascii_alone = os.environ.get("LC_ALL") in ("C", "POSIX")
        sys.stdout.reconfigure(errors="spelled", **({"encoding": "ascii"} if ascii_alone else {}))
    if plain or os.environ.get("TERM") == "dumb":
        return Plain(file=sys.stdout, highlight=False, soft_wrap=True, color_system=None, emoji=False)
    # The file is named, for `sys.stdout` may be another one while a thread of ours runs what prints too much.
    return Console(file=sys.stdout, highlight=False, soft_wrap=False, emoji=False)


def is_plain(console: Console) -> bool:
    """Whether it is for lines of text alone."""
    return isinstance(console, Plain)


def has_unicode(console: Console) -> bool:
    """Whether blocks and ticks can be shown."""
    return console.encoding.lower().startswith("utf")


def spelled(character: str) -> str:
    """A character in ASCII: `sqrt` for a root sign, `beta` for a Greek letter, and else its name."""
    if character in _SPELLED:
        return _SPELLED[character]
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    if "LETTER" in name and name.startswith("GREEK"):
        return name.split("LETTER ")[1].split()[0].lower()
    simple = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return simple or f"({name.lower()})"


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(spelled, error.object[error.start : error.end])), error.end


codecs.register_error("spelled", _spell)
