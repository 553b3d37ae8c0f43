"""Notebooks as sources, as Jupyter reads them, and the picture at a notebook's end."""

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from autograder.notebooks import _without_magics

CELLS = [
    "np.exp?\nx = 1",
    "np.exp??\n?np.exp\nx = 1",
    "files = !ls 'it''s\nx = 1",
    "files = !echo it's\nx = 1",
    "  %matplotlib inline\n  x = 1",
    "if True:\n    %matplotlib inline\n    x = 1",
    "for i in range(2):\n    !ls\nx = 1",
    's = """\n%d percent\n!bang\nwhy?\n"""\nx = 1',
    "s = '''it's\n%d\n'''\nx = 1",
    "x = (5\n% 3)",
    "x = {\n'a': 1,\n}\n%who",
    "x = 'a' \\\n% ()",
    "!pip install \\\n   nothing\nx = 1",
    "out = %pwd\nx = 1",
    "%time x = 1",
    "# why?\nx = 1  # why?",
    "x = 1 if 1 != 2 else 2",
    'def f():\n    """Why?\n    %s\n    """\n    return "%d" % 3\n',
    "%%time\nx = 1\n!ls",
    "%%capture out\ndef f():\n    return 1",
    "%%bash\nx=1",
    "%%html\n<b>",
    "\n\n%matplotlib inline\nx = 1",
    "",
]


def defined(source):
    """The names that a module binds at its top, also below `if`, `for` and the magics that run Python."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("run_cell_magic", "run_line_magic"):
            kind, *_, text = (argument.value for argument in node.args)
            if kind in ("time", "capture", "prun"):
                names |= defined(TransformerManager().transform_cell(text))
    return names


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_defines_what_it_defines_in_jupyter(cell):
    """IPython's own reading and ours bind the same names, and ours has each line where the student has it."""
    ours = _without_magics(cell)
    assert defined(ours) == defined(TransformerManager().transform_cell(cell))
    assert ours.count("\n") == cell.count("\n")


LONG = {
    "quotes": '"' * 300_000,
    "brackets": "(" * 300_000 + "%",
    "a string without an end": '"""' + "\\a" * 300_000,
    "continued": "%\\\n" * 200_000,
    "spaces": " " * 300_000 + "%",
    "dots": "a." * 200_000 + "?x",
    "backslashes": "!" + "\\" * 300_001,
    "equals": "a = b" * 100_000,
    "targets": "[ " * 200_000 + "= %",
}


@pytest.mark.parametrize("name", LONG)
def test_hostile_texts_come_to_an_end(name):
    """What would keep a careless pattern busy for hours is read, and keeps its lines."""
    assert _without_magics(LONG[name]).count("\n") == LONG[name].count("\n")


@pytest.mark.parametrize("cell", ["np.exp?", "files = !ls", "  %matplotlib inline", "print('''\n%d\n''')"])
def test_a_right_notebook_keeps_its_points(cell, solution, grade_softmax):
    """What Jupyter alone understands costs nothing."""
    assert grade_softmax(f"{_without_magics(cell)}\n\n{solution('softmax')}").status == "passed"
