"""Nothing that was handed in is overlooked: what people and systems make of names, and what is said."""

import io
import json
import zipfile

import pytest

from autograder.batch.reading import names, read_all
from autograder.batch.results import file_name
from autograder.cli import main
from autograder.submission import SubmissionError, read_submission

CODE = "def softmax(scores, axis=-1):\n    return scores\n"


def packed(files):
    """A zip's bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def laid(folder, files):
    """A folder with these files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


HANDED_IN = packed({"exercises/softmax.py": CODE, "exercises/attention.py": CODE, "manifest.json": "{}"})


@pytest.mark.parametrize(
    "files",
    [
        {"submission.zip": HANDED_IN},
        {"hw.ZIP": HANDED_IN},
        {"a/b/c/d/e/softmax.py": CODE, "a/b/c/d/e/attention.py": CODE},
        {"softmax.py": CODE, "submission.zip": HANDED_IN},
        {"softmax.py": CODE, "week2/attention.py": CODE},
        {"softmax.py": CODE, "week2.zip": packed({"attention.py": CODE})},
    ],
)
def test_zips_and_folders_inside(tmp_path, course, files):
    """A zip in a folder, a folder in a folder, work in two places: all of it is found, also in a zip of it all."""
    folder = laid(tmp_path / "ada", files)
    assert set(read_submission(folder, course).sources) == {"softmax", "attention"}
    (tmp_path / "all.Zip").write_bytes(
        packed({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    )
    assert set(read_submission(tmp_path / "all.Zip", course).sources) == {"softmax", "attention"}


@pytest.mark.parametrize(
    "name",
    [
        "softmax (1).py",
        "Softmax.py",
        "softmax.PY",
        "softmax_final.py",
        "hw1-softmax-v2.py",
        "Copy of softmax.py",
        "softmax-1.ipynb",
    ],
)
def test_names_that_people_and_browsers_make(tmp_path, course, name):
    """The only file that can be meant is taken, in a folder as by itself, and that is said."""
    data = json.dumps({"cells": [{"cell_type": "code", "source": CODE}]}) if name.endswith("ipynb") else CODE
    submission = read_submission(laid(tmp_path / "ada", {name: data, "attention.py": CODE}), course)
    assert submission.sources["softmax"].strip() == CODE.strip()
    assert any(f"{name} was taken for softmax" in note for note in submission.notes)
    assert read_submission(tmp_path / "ada" / name, course).sources["softmax"].strip() == CODE.strip()


def test_two_that_can_be_meant_are_a_question(tmp_path, course):
    """Nobody guesses which one counts; two copies of one file are one."""
    submission = read_submission(laid(tmp_path / "a", {"softmax (1).py": CODE, "softmax (2).py": CODE + "#\n"}), course)
    assert "softmax" not in submission.sources
    assert any(note.startswith("Which one is softmax.py: softmax (1).py, softmax (2).py?") for note in submission.notes)
    same = read_submission(laid(tmp_path / "b", {"softmax (1).py": CODE, "softmax (2).py": CODE}), course)
    assert same.sources["softmax"] == CODE


def test_what_was_found_and_not_used_is_said(tmp_path, course):
    """An older version, an archive that nobody looks into, a link."""
    folder = laid(
        tmp_path / "a",
        {
            "softmax.py": CODE,
            "softmax_old.py": "x = 1\n",
            "rest.tar.gz": b"x",
            "deep.zip": packed({"in.zip": HANDED_IN}),
        },
    )
    (folder / "attention.py").symlink_to("/etc/passwd")
    submission = read_submission(folder, course)
    said = " ".join(submission.notes)
    assert submission.sources["softmax"] == CODE
    assert "rest.tar.gz" in said
    assert "in.zip" in said
    assert "attention.py is a link" in said
    assert "attention" not in submission.sources


def test_right_stand_ins_are_nobodys_answer(tmp_path, course):
    """A whole repository without exercises/softmax.py has no softmax, though tests/standins holds a right one."""
    right = course.stand_in("softmax").read_text(encoding="utf-8")
    files = {"exercises/attention.py": CODE, "tests/standins/softmax.py": right, "tests/visible/test_softmax.py": CODE}
    submission = read_submission(laid(tmp_path / "repo", files), course)
    assert set(submission.sources) == {"attention"}
    assert "softmax" not in submission.problems
    old = laid(tmp_path / "old", {"exercises/attention.py": CODE, "build/submission.zip": HANDED_IN})
    assert set(read_submission(old, course).sources) == {"attention"}


@pytest.mark.parametrize("files", [{}, {"report.pdf": b"%PDF"}, {"damaged.zip": b"PK no"}, {"essay.py": "x = 1\n"}])
def test_unreadable_is_not_idle(tmp_path, course, files):
    """Where nothing can be used the submission says so, with what it holds; untouched stubs are somebody's work."""
    (tmp_path / "a").mkdir()
    submission = read_submission(laid(tmp_path / "a", files), course)
    assert submission.unreadable
    assert all(name in submission.unreadable for name in files)
    stub = course.stub("softmax").read_text(encoding="utf-8")
    assert not read_submission(laid(tmp_path / "b", {"softmax.py": stub}), course).unreadable


def test_bombs_in_zips_are_not_unpacked(tmp_path, course):
    """A zip in a zip that says it is huge, many of them, and one that holds itself ten thousand times."""
    bomb = packed({"softmax.py": b" " * 5_000_000})
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.zip", b"\0" * 100_000_000)
        for number in range(50):
            archive.writestr(f"{number}.zip", bomb)
    (tmp_path / "a.zip").write_bytes(inner.getvalue())
    submission = read_submission(tmp_path / "a.zip", course)
    assert submission.problems.get("softmax", submission.notes)
    (tmp_path / "b.zip").write_bytes(packed({f"{number}.txt": b"" for number in range(6000)}))
    assert "more than 5,000 files" in " ".join(read_submission(tmp_path / "b.zip", course).notes)


def test_names_stay_when_files_are_added(tmp_path):
    """Results remember whose name is whose; a folder moved as a whole keeps its names."""
    results, first = tmp_path / "results", tmp_path / "first"
    laid(first, {"ada.zip": HANDED_IN, "bob/softmax.py": CODE})
    assert names([first / "ada.zip", first / "bob"], results) == ["ada", "bob"]
    laid(first, {"ada/softmax.py": CODE, "bob.py": CODE})
    added = [first / "ada", first / "ada.zip", first / "bob", first / "bob.py"]
    assert names(added, results) == ["ada (2)", "ada", "bob", "bob (2)"]
    assert names(list(reversed(added)), results) == ["bob (2)", "bob", "ada", "ada (2)"]
    moved = first.rename(tmp_path / "second")
    assert names([moved / path.name for path in added], results) == ["ada (2)", "ada", "bob", "bob (2)"]
    (results / ".names").write_text("{")
    assert names([moved / "ada.zip"], results) == ["ada"]


def test_file_names_are_one_for_one():
    """A name that looks like a replaced one is no way to another's grade."""
    crafted = file_name("Ada: Lovelace?")
    assert file_name(crafted) != crafted
    assert len({file_name(name) for name in ("Ada: Lovelace?", "Ada_ Lovelace_", crafted, "Ada/ Lovelace?")}) == 4


def test_the_batch_says_it(tmp_path, monkeypatch, capsys, course):
    """`grade` lists apart what could not be read, says what it wondered about, and with --strict-read fails for it."""
    laid(
        tmp_path / "s",
        {
            "ada/submission.zip": packed({"softmax.py": course.solution("softmax").read_bytes()}),
            "bob/Softmax.py": CODE,
            "no.zip": b"x",
            "cy/x.pdf": b"x",
        },
    )
    command = ["grade", *(str(path) for path in sorted((tmp_path / "s").iterdir())), "--exercise", "softmax"]
    command += [
        "--out",
        str(tmp_path / "r"),
        "--processes",
        "1",
        "--plain",
        "--report",
        f"csv={tmp_path}/a.csv",
        "--report",
        f"class={tmp_path}/c.html",
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "ada: 10 of 10 points." in out
    assert "no: could not be read." in out
    assert "2 submissions could not be read" in out
    assert "cy: It holds no exercise, but x.pdf." in out
    assert "bob: Softmax.py was taken for softmax.py." in out
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert sum("unreadable" in row for row in rows) == 2
    page = (tmp_path / "c.html").read_text()
    assert "2 could not be read" in page
    assert "2 students, mean" in page
    assert main([*command, "--strict-read"]) == 1
    capsys.readouterr()
    stored = json.loads((tmp_path / "r" / "bob.json").read_text())
    assert stored["notes"] == ["Softmax.py was taken for softmax.py."]
    assert main([*command[:2], *command[5:], "--prune"]) == 0
    assert "Moved the grades of 3 other submissions" in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "r").glob("[!.]*.json"))] == ["ada.json"]


def test_one_that_cannot_be_read_has_its_reason(tmp_path, course):
    """The reason goes with the submission, and the name is the file's."""
    (tmp_path / "no.zip").write_bytes(b"no")
    (submission,) = read_all([tmp_path / "no.zip"], course)
    assert "no.zip cannot be read" in submission.unreadable
    assert submission.name == "no"
    with pytest.raises(SubmissionError):
        read_submission(tmp_path / "none", course)
