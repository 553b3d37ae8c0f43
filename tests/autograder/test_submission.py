"""Reading submissions: every form gives the same sources, every bad file one sentence, and nothing is written."""

import json
import stat
import zipfile

import pytest

from autograder.batch import read_all
from autograder.notebooks import NotebookError, source_of
from autograder.submission import SubmissionError, read_submission

CODE = "def softmax(scores, axis=-1):\n    return scores\n"


def notebook(*cells, kind="code"):
    """A notebook's bytes."""
    return json.dumps({"cells": [{"cell_type": kind, "source": cell} for cell in cells], "nbformat": 4}).encode()


def zipped(path, files):
    """A zip of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_every_form_gives_the_same_source(tmp_path, course):
    """A folder, a repository's folder, a zip with a folder in it, a script and a notebook."""
    flat, repository = tmp_path / "ada", tmp_path / "bob"
    (repository / "exercises").mkdir(parents=True)
    flat.mkdir()
    for folder in (flat, repository / "exercises"):
        (folder / "softmax.py").write_text(CODE)
    (tmp_path / "softmax (1).py").write_bytes(CODE.replace("\n", "\r\n").encode("utf-8-sig"))
    (tmp_path / "eve-softmax.ipynb").write_bytes(notebook("%matplotlib inline", CODE.rstrip()))
    zipped(tmp_path / "zoë.zip", {"home work/exercises/softmax.py": CODE, "__MACOSX/softmax.py": "x"})
    for path in (flat, repository, tmp_path / "zoë.zip", tmp_path / "softmax (1).py"):
        assert read_submission(path, course).sources == {"softmax": CODE}
    assert CODE.strip() in read_submission(tmp_path / "eve-softmax.ipynb", course).sources["softmax"]
    assert read_submission(tmp_path / "zoë.zip", course).name == "zoë"


def test_helpers_are_taken_and_library_names_are_not(tmp_path, course):
    """A module beside the exercises comes along; one named like a library is left out, and that is said."""
    for name in ("softmax", "helper", "random", "numpy"):
        (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / "notes.ipynb").write_text("{}")
    submission = read_submission(tmp_path, course)
    assert set(submission.sources) == {"softmax", "helper"}
    assert len(submission.notes) == 2
    assert "random.py has the name of a Python library" in submission.notes[1]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"x = '\xff\xfe'\n", "is not UTF-8 text (line 1)"),
        (b"x = 1\0", "holds zero bytes"),
        (b"#" * 50_000_000, "is 50 MB large"),
    ],
)
def test_a_bad_file_costs_its_exercise_alone(tmp_path, course, data, sentence):
    """One sentence, and the other exercise is there."""
    (tmp_path / "softmax.py").write_bytes(data)
    (tmp_path / "attention.py").write_text(CODE)
    submission = read_submission(tmp_path, course)
    assert sentence in submission.problems["softmax"]
    assert set(submission.sources) == {"attention"}


def test_links_and_pipes_are_not_followed(tmp_path, course):
    """A link to somebody else's file, or a pipe, is no file of this submission."""
    (tmp_path / "real.txt").write_text(CODE)
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "softmax.py").symlink_to(tmp_path / "real.txt")
    assert read_submission(tmp_path / "ada", course).sources == {}


def test_zips_that_lie(tmp_path, course):
    """Absolute paths, paths that climb, links, bombs and damage: left out and said, and nothing is unpacked."""
    link = zipfile.ZipInfo("link/softmax.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zipped(tmp_path / "a.zip", {"/etc/softmax.py": CODE, "../softmax.py": CODE, "attention.py": CODE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    submission = read_submission(path, course)
    assert set(submission.sources) == {"attention"}
    assert len(submission.notes) == 3
    bomb = zipped(tmp_path / "bomb.zip", {"softmax.py": b" " * 200_000_000})
    assert "200 MB large" in read_submission(bomb, course).problems["softmax"]
    for name, data in (("no.zip", b"no zip"), ("cut.zip", bomb.read_bytes()[:1000]), ("x.tar", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SubmissionError, match=name):
            read_submission(tmp_path / name, course)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "bomb.zip", "cut.zip", "no.zip", "x.tar"]


def test_a_lying_size_in_a_zip_is_not_believed(tmp_path, course):
    """An entry that claims to be small and is not is never read whole."""
    path = zipped(tmp_path / "liar.zip", {"softmax.py": b" " * 5_000_000})
    data = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    assert "softmax" in read_submission(path, course).problems


@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b'{"cells": 3}', b"[" * 100_000, b'{"worksheets": []}'])
def test_damaged_notebooks_say_so(data):
    """Whatever is no notebook is one sentence."""
    with pytest.raises(NotebookError, match="not a notebook"):
        source_of(data)


def test_notebook_magics_are_no_code():
    """Magics and shell lines become comments; a cell in another language is none of ours."""
    source = source_of(notebook("!pip install x\ny = 1", "%%bash\nrm -rf /", ["a = 1\n", "b = 2"]))
    assert "\n# rm -rf /" in source
    assert source.startswith("# !pip install x\ny = 1")
    assert source.endswith("a = 1\nb = 2\n")


def test_everybody_is_read(tmp_path, course):
    """Equal names are numbered, and what cannot be read is a submission all the same."""
    for folder in ("a/ada", "b/ada"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "no.zip").write_bytes(b"no")
    submissions = list(read_all([tmp_path / "a/ada", tmp_path / "b/ada", tmp_path / "no.zip"], course))
    assert [submission.name for submission in submissions] == ["ada", "ada (2)", "no"]
    assert set(submissions[2].problems) == set(course.names)
