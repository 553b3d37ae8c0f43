"""In Jupyter: `%load_ext autograder.notebook`, then `%check softmax` or `%%check softmax` on top of a cell."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Registers `%check`. Called by IPython."""
    from autograder.notebook.magic import register

    register(shell)
