"""The gates that every text of a submission passes on its way out, one for each format.

Names, feedback, source lines and messages are somebody else's text. A gate makes of it what the format shows as text:
nothing that moves a cursor, turns a line round, opens a tag, starts a formula or is taken for a command.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from rich.markup import escape

_COMMAND = re.compile(r"(^|\n)([^\S\n]*):(?=:)")  # GitHub and Azure read such lines as commands, indented or not
_FORMULA = re.compile(r"^[\s'\"]*[=+\-−@]")
_SEPARATED = re.compile(r"[;,\t|]\s*[=+\-−@]")  # a spreadsheet that splits there begins a new cell
_KEPT = "\t\n"
_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def visible(text: str) -> str:
    """Text whose every character is shown: controls, marks that turn lines round and half characters are spelled."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def uncommanded(text: str) -> str:
    """Text for a standard output that a CI system reads along: no line of it is a command."""
    return _COMMAND.sub("\\1\\2:\u200b", text).replace("##[", "#\u200b#[").replace("##vso", "#\u200b#vso")


def terminal(text: str) -> str:
    """For a terminal, as plain text."""
    return uncommanded(visible(text))


def markup(text: str) -> str:
    """For a terminal, within Rich's markup."""
    return escape(terminal(text))


def name(text: str) -> str:
    """A name for a terminal, within Rich's markup: on one line, whatever it holds."""
    return markup(" ".join(text.split()))


def markdown(text: str) -> str:
    """One line that Markdown and HTML leave alone."""
    return re.sub(r"([\\`*_\[\]<>|#&~:])", lambda m: f"&#{ord(m[1])};", visible(" ".join(text.split())))


def fenced(text: str) -> str:
    """A Markdown block that shows the text as it is."""
    shown = terminal(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def command_data(text: str) -> str:
    """What a workflow command says: escaped, no line of it can be a command of its own."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """A workflow command's property."""
    return command_data(text).replace(":", "%3A").replace(",", "%2C")


def html(value: Any) -> Any:
    """A value of a page's template; that tags are escaped is the template engine's own work."""
    return visible(value) if type(value) is str else value


def cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, whatever separator it believes in."""
    shown = visible(text)
    # A sign that is as good as another, such as a full-width one, counts as the other.
    plain = unicodedata.normalize("NFKC", shown)
    return f"'{shown}" if _FORMULA.match(plain) or _SEPARATED.search(plain) else shown


def xml(text: str) -> str:
    """For XML, printed where a CI system may read along."""
    return re.sub("[\ufffe\uffff]", "\ufffd", uncommanded(visible(text)))


def _shown(character: str) -> str:
    if character in _KEPT or character.isprintable():
        return "\ufffd" if character in _TURNING else character
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "\ufffd"
    if kind == "Zs":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
