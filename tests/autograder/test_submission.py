"""Reading submissions: every form gives the same sources, every bad file one sentence, and nothing is written."""

import contextlib
import json
import random
import stat
import warnings
import zipfile

import pytest

from autograder.batch.reading import read_all
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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_zips_say_so(tmp_path, course, method):
    """Whatever byte is wrong: a submission, a problem of one file, or one sentence, and never another exception."""
    path, chance = tmp_path / "a.zip", random.Random(0)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("softmax.py", CODE * 50)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(SubmissionError), warnings.catch_warnings(action="ignore"):
            read_submission(path, course)
    path.write_bytes(whole.replace(b"softmax.py", b"softm\xffx.py"))
    with contextlib.suppress(SubmissionError):
        assert read_submission(path, course).sources == {}


def test_a_small_zip_of_many_large_files_is_not_read_whole(tmp_path, course):
    """The course's exercises are read first, others while they fit, and the rest is said to be left out."""
    files = {f"a{number}.py": b"#" * 900_000 for number in range(40)}
    submission = read_submission(zipped(tmp_path / "many.zip", {**files, "softmax.py": CODE}), course)
    assert submission.sources["softmax"] == CODE
    assert len(submission.sources) < 20
    assert "ten million" in submission.notes[-1]


def test_a_notebook_of_millions_of_values_is_not_read(tmp_path, course):
    """A list takes three characters in a file and thirty times as much when it is read."""
    (tmp_path / "softmax.ipynb").write_bytes(b'{"cells": [' + b"[]," * 4_000_001 + b"[]]}")
    assert "millions of values" in read_submission(tmp_path, course).problems["softmax"]


@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b'{"cells": 3}', b"[" * 100_000, b'{"worksheets": []}'])
def test_damaged_notebooks_say_so(data):
    """Whatever is no notebook is one sentence."""
    with pytest.raises(NotebookError, match="not a notebook"):
        source_of(data)


def test_notebook_magics_are_no_code():
    """Magics and shell lines do nothing; a cell in another language is none of ours."""
    source = source_of(notebook("!pip install x\ny = 1", "%%bash\nrm -rf /", ["a = 1\n", "b = 2"]))
    assert "\n# rm -rf /" in source
    assert source.startswith("pass  # !pip install x\ny = 1")
    assert source.endswith("a = 1\nb = 2\n")


def test_everybody_is_read(tmp_path, course):
    """Equal names are numbered, and what cannot be read is a submission all the same."""
    for folder in ("a/ada", "b/ada", "c/ada (2)"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "no.zip").write_bytes(b"no")
    paths = [tmp_path / "a/ada", tmp_path / "b/ada", tmp_path / "c/ada (2)", tmp_path / "no.zip"]
    submissions = list(read_all(paths, course))
    assert [submission.name for submission in submissions] == ["ada", "ada (2)", "ada (2) (2)", "no"]
    assert set(submissions[3].problems) == set(course.names)


def test_half_a_character_can_be_saved():
    """JSON can name one, and what is read is written and hashed later."""
    cell = {"cell_type": "code", "source": "x = '\ud800'"}
    assert source_of(json.dumps({"cells": [cell]}).encode()) == "x = '?'\n"
