"""What the tests of the projects share: one thread, and the solutions as modules."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from autograder.course import find_course
from projects.modules import load_exercises


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For matrices as small as these, a second thread would only be waited for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def modules(request: pytest.FixtureRequest) -> Iterator[dict[str, ModuleType]]:
    """The solutions that a test file names in `NAMES`, imported for that file alone."""
    path, names = list(sys.path), request.module.NAMES
    yield dict(zip(names, load_exercises(find_course().root / "solutions", names), strict=True))
    sys.path[:] = path
    for name in names:
        sys.modules.pop(name, None)
