"""What students write in text cells, where an instructor opens it."""

import json
import os
import re
import sqlite3

import pytest
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook

from autograder.nbgrader_support.reading import mended
from autograder.nbgrader_support.sanitize import FILTERS
from autograder.notebooks import Cell

ASSIGNMENT, SOFTMAX, ATTENTION = "week1", "01-softmax.ipynb", "02-attention.ipynb"
ATTACKS = {
    "script": "<script>window.hacked = 1</script>",
    "handler": "<img src=x onerror='window.hacked = 1'>",
    "link": "[click](javascript:window.hacked=1)",
    "data link": "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "odd link": "<a href=' &#106;avascript:window.hacked=1'>click</a>",
    "frame": "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "form": "<form action='/formgrader'><button formaction='javascript:window.hacked=1'>x</button></form>",
    "svg": "<svg onload='window.hacked=1'><a xlink:href='javascript:window.hacked=1'><text>x</text></a></svg>",
    "math": "$\\href{javascript:window.hacked=1}{x}$",
    "fence": "```\n</code></pre><script>window.hacked = 1</script>\n```",
    "heading": "# <style onload=window.hacked=1>",
}
ACTIVE = ("<script", "<iframe", "<form", "<svg", "<style", 'href="javascript', 'href="data', "\\href")
HANDLER = re.compile(r"<[^>]*\son\w+=")


def as_html(*cells):
    """The body of a page that nbconvert makes with our filter, without its own head."""
    exporter = HTMLExporter(filters=FILTERS, template_name="basic")
    return exporter.from_notebook_node(new_notebook(cells=list(cells)))[0]


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_active_is_left(name):
    """Neither of Markdown nor of a raw cell, which nbconvert would take as HTML."""
    for cells in ([new_markdown_cell(ATTACKS[name])], mended([Cell("raw", ATTACKS[name])], {}).cells):
        html = as_html(*cells)
        assert not [mark for mark in ACTIVE if mark in html], html
        assert not HANDLER.search(html), html


def test_what_is_harmless_stays():
    """Formulas, tables, code, links and emphasis look as before."""
    text = "**bold** $a < b$ and `x < y`\n\n|a|b|\n|-|-|\n|1|2|\n\n"
    text += "[page](https://example.org)\n\n```python\nx = 1 < 2\n```"
    html = as_html(new_markdown_cell(text))
    assert "<strong>bold</strong>" in html
    assert "$a &lt; b$" in html
    assert "<code>x &lt; y</code>" in html
    assert "<table>" in html
    assert 'href="https://example.org"' in html
    assert "&amp;lt;" not in html


def test_links_and_pipes_are_not_read(classroom, tmp_path):
    """A link to the solution shows nothing of it, a pipe keeps nobody waiting; each costs its own exercise."""
    right = classroom.right()
    secret = tmp_path / "secret.txt"
    secret.write_text("the hidden tests")
    for student in ("linked", "piped", "beside"):
        classroom.hand_in(student, right)
    folders = {name: classroom.folder / "submitted" / name / ASSIGNMENT for name in ("linked", "piped", "beside")}
    for name in ("linked", "piped"):
        (folders[name] / SOFTMAX).unlink()
    (folders["linked"] / SOFTMAX).symlink_to(classroom.folder / "source" / ASSIGNMENT / SOFTMAX)
    os.mkfifo(folders["piped"] / SOFTMAX)
    (folders["beside"] / "data.txt").symlink_to(secret)
    os.mkfifo(folders["beside"] / "pipe.txt")
    log = classroom.run("autograde", ASSIGNMENT)
    classroom.run("generate_feedback", ASSIGNMENT)
    with sqlite3.connect(classroom.folder / "gradebook.db") as book:
        rows = book.execute(
            "select submitted_assignment.student_id, sum(grade.auto_score) from grade"
            " join submitted_notebook on grade.notebook_id = submitted_notebook.id"
            " join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id"
            " group by submitted_assignment.student_id"
        )
        scores = dict(rows.fetchall())
    assert scores == {"linked": 10, "piped": 10, "beside": 20}
    written = "\n".join(path.read_text() for path in (classroom.folder / "autograded" / "linked").rglob("*.ipynb"))
    assert "it is a link, and links are not followed" in written
    answers = [cell["source"] for cell in classroom.source[SOFTMAX]["cells"] if "# FINISH ME" in str(cell["source"])]
    assert answers
    assert not [answer for answer in answers if json.dumps(answer)[1:-1] in written]
    assert not list((classroom.folder / "autograded").rglob("*.txt"))
    assert not list((classroom.folder / "feedback").rglob("*.txt"))
    assert log.count("is a link or a pipe, and is not read") == 4


def test_an_old_configuration_is_told(classroom):
    """A course folder from before is graded, and its instructor is told which line is missing."""
    config = classroom.folder / "nbgrader_config.py"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if "HTMLExporter" not in line))
    classroom.hand_in("ada", classroom.right())
    assert "c.HTMLExporter.filters" in classroom.run("autograde", ASSIGNMENT)
