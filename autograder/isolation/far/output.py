"""What student code prints: kept, and bounded."""

from __future__ import annotations

import io


class BoundedOutput(io.TextIOBase):
    """A text stream that keeps the first characters written since it was last taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._text = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Keeps what still fits."""
        if len(self._text) < self.limit:
            self._text += str(text)[: self.limit - len(self._text)]
        return len(text)

    def take(self) -> str:
        """Returns what was written and starts anew."""
        text, self._text = self._text, ""
        return text
