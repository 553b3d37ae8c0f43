"""A terminal's screens as an SVG picture, with its colors and without a font of another host."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

COLUMNS = 84
_STYLES = {
    r"^\$ .*": "bold white",
    r"✓[^\n]*": "green",
    r"^\s+✗[^\n]*": "bold red",
    r"^\s+Hint:(?:.|\n(?=  \S))*": "yellow",
    r"█+": "green",
    r"░+": "bright_black",
    r"^n next .*$": "bright_black",
}
_SCREEN = re.compile(r"```console\n(.*?)\n```", re.DOTALL)
_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def walk_svg(page: str) -> str:
    """The two screens of a walk that say most: a mistake that is named, and the exercise passed."""
    screens = [screen for screen in _SCREEN.findall(page) if "✗" in screen or "passes:" in screen]
    return transcript_svg("make watch", screens[:2]) if screens else ""


def transcript_svg(title: str, screens: list[str]) -> str:
    """Screens, one below the other, as one picture.

    Args:
        title: what stands in the window's bar.
        screens: plain texts, at most `COLUMNS` wide.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for screen in screens:
        text = Text(screen + "\n")
        for pattern, style in _STYLES.items():
            text.highlight_regex(re.compile(pattern, re.MULTILINE), style)
        console.print(text, highlight=False)
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id="terminal")
    svg = _FACE.sub("", svg).replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    described = f"{title}: " + " ".join(" ".join(screens).split())[:400]
    described = described.replace("&", "and").replace("<", "").replace(">", "").replace('"', "'")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{described}" ', 1)
