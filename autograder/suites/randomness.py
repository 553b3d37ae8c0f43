"""The random numbers of Python, NumPy and PyTorch, seeded at little cost, and put back as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Afterwards all random numbers are as they would have been."""
    torch = _torch()
    of_python, of_numpy = random.getstate(), np.random.get_state()
    of_torch = torch.default_generator.get_state() if torch else None
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if torch:
            torch.default_generator.set_state(of_torch)


def seed(number: int) -> None:
    """Seeds them all."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if torch := _torch():
        torch.default_generator.manual_seed(number % 2**63)  # `torch.manual_seed` looks for every kind of device


def _torch() -> Any:
    """PyTorch if it is loaded: who did not load it does not ask it for random numbers."""
    return sys.modules.get("torch")
