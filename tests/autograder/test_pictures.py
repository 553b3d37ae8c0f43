"""Pictures: what is said while something is open, and how many threads draw."""

import linecache

import matplotlib
import pytest
import torch

from autograder.pictures import show

matplotlib.use("Agg")
PICTURE = """
def draw():
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    heights = bars(3)
    axes.bar([0, 1, 2], heights)
    return figure
"""


@pytest.fixture
def run(capsys):
    """Runs a notebook's cells up to its picture, and returns what that says."""

    def run(*cells):
        notebook = {"__name__": "__main__"}
        for number, text in enumerate((*cells, PICTURE)):
            file = f"<ipython-input-{number}-{id(notebook)}>"
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            exec(compile(text, file, "exec"), notebook)
        show(notebook["draw"])
        return capsys.readouterr().out.strip()

    return run


def test_holes_are_named_by_the_students_own_functions(run):
    """Not by a function of Matplotlib's that was given the `...`; and no half of a picture is left."""
    import matplotlib.pyplot as plt

    said = run("def bars(n):\n    return ...  # FINISH ME", "def other():\n    x = ...  # FINISH ME\n    return x")
    assert said == (
        "`bars` and `other` are not finished yet. Fill the holes, run their cells, and this draws a picture."
    )
    assert run("def bars(n):\n    heights = ...  # FINISH ME\n    return heights") == (
        "`bars` is not finished yet. Fill the holes, run its cell, and this draws a picture."
    )
    assert run("def bars(n):\n    return ...") == (
        "One of your functions returned `...`: an answer is still missing. Fill it, and this draws a picture."
    )
    assert run("def bars(n):\n    heights = ...\n    return heights + 1") == (
        "`bars` is not finished yet: it still holds a `...`. Fill it, and this draws a picture."
    )
    assert plt.get_fignums() == []


def test_one_thread_draws_and_all_are_back_afterwards(run):
    """PyTorch's threads are as before, also when drawing fails."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        run("import torch\ndef bars(n):\n    assert torch.get_num_threads() == 1\n    return n * [1]")
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            run("def bars(n):\n    return n / 0")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
