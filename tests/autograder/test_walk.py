"""The walk in docs/walk.md is true: walked again, it comes by the same places."""

import shutil

import pytest
from tmux import HAS_TMUX
from walk import milestones, walk, written

needed = pytest.mark.skipif(not (HAS_TMUX and shutil.which("make")), reason="a walk needs tmux and make")


@needed
def test_the_walk_is_true(tmp_path):
    """From a clone to the third exercise passed: the same commands, exercises and outcomes in the same order."""
    walked = walk(tmp_path)
    assert milestones(walked) == milestones(written()), "write it anew: python tests/autograder/walk.py"
    assert "Positional encoding passes" in walked
    assert str(tmp_path) not in walked
