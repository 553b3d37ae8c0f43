"""The set-up, with a real pip and real environments: a small course whose PyTorch is made here, in two builds."""

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autograder.setup import pytorch
from autograder.setup.environment import Environment
from autograder.setup.main import main
from autograder.setup.trouble import SetupError, explain, require_room

ROOT = Path(__file__).resolve().parents[2]
OLDER = "3.10"

# What `pip install --editable` asks for, without setuptools, which would have to be fetched.
BACKEND = """
import base64, hashlib, pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "course", "1", {"course.pth": str(pathlib.Path.cwd())}, ["torch>=2.6"])

def wheel(folder, name, version, files, needs=()):
    info = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {need}\\n" for need in needs)
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, file), "w") as archive:
        record = ""
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\\n")
    return file
"""
TORCH = """
__version__ = "{version}"
def zeros(n): return type("T", (), {{"sum": lambda self: type("N", (), {{"item": lambda self: 0}})()}})()
"""


def torch_wheel(folder, version):
    """A PyTorch of a few bytes, which says which build it is."""
    folder.mkdir(parents=True, exist_ok=True)
    space = {}
    exec(compile(BACKEND, "backend", "exec"), space)
    return space["wheel"](folder, "torch", version, {"torch/__init__.py": TORCH.format(version=version)})


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An environment as it is at first; copied, because making one takes seconds."""
    root = tmp_path_factory.mktemp("fresh")
    Environment(root).prepare(this_python=False)
    return root / ".venv"


@pytest.fixture
def home(tmp_path, monkeypatch, fresh):
    """A course in a folder with a space and an umlaut, on a machine whose pip finds one PyTorch, a large one."""
    home = tmp_path / "Mein Kurs für Ä"
    home.mkdir()
    shutil.copytree(fresh, home / ".venv", symlinks=True)
    (home / "backend.py").write_text(BACKEND, encoding="utf-8")
    (home / "constraints.txt").write_text("# tested\ntorch==2.13.0\n", encoding="utf-8")
    (home / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "course"\nversion = "1"\ndependencies = ["torch>=2.6"]\n',
        encoding="utf-8",
    )
    torch_wheel(tmp_path / "pypi", "2.13.0")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "pypi").as_uri())
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    return home


def torch_of(home):
    """The build that the course's environment has."""
    return pytorch.works(Environment(home).python)


@pytest.fixture
def builds(tmp_path):
    """A folder as PyTorch's index is one, with two builds."""
    for build in ("2.13.0+cpu", "2.13.0+cu130"):
        torch_wheel(tmp_path / "index" / "torch", build)
    return tmp_path / "index"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyPI's build is the right one")
def test_the_build_for_this_machine(home, builds, fresh, monkeypatch):
    """Of two builds in a folder it takes the CPU's where there is no card, and what pip prefers where there is one."""
    monkeypatch.setattr(pytorch, "has_card", lambda: False)
    assert main(["--torch-index", str(builds)], home) == 0
    assert torch_of(home) == "2.13.0+cpu"
    shutil.rmtree(home / ".venv")
    shutil.copytree(fresh, home / ".venv", symlinks=True)
    monkeypatch.setattr(pytorch, "has_card", lambda: True)
    assert main(["--torch-index", str(builds)], home) == 0
    assert torch_of(home) == "2.13.0+cu130"


def test_cuda_is_what_pip_finds(home, monkeypatch):
    """TORCH_INDEX=cuda asks no other index."""
    monkeypatch.setenv("TORCH_INDEX", "cuda")
    monkeypatch.setattr(pytorch, "answers", lambda address: pytest.fail(f"{address} was asked"))
    assert main([], home) == 0
    assert torch_of(home) == "2.13.0"


def test_a_dead_index(home, capsys):
    """An index that refuses, one that never answers and one that is no index: a line each, and pip's own PyTorch."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not pytorch.answers(address)
        assert not pytorch.answers("http://127.0.0.1:9")
        assert not pytorch.answers("no index")
        assert main(["--torch-index", address], home) == 0
    assert f"{address} does not answer: taking the PyTorch that pip finds" in capsys.readouterr().out
    assert torch_of(home) == "2.13.0"


def test_an_index_over_http_gives_pytorch_and_nothing_else(home, tmp_path, monkeypatch):
    """What PyTorch depends on is not asked for there: its owner could give anybody's name to anything."""
    asked = []
    torch_wheel(tmp_path / "served" / "torch", "2.13.0+cpu")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/pip")
    monkeypatch.setattr(pytorch, "has_card", lambda: False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert main(["--torch-index", f"http://127.0.0.1:{server.server_port}"], home) == 0
        server.shutdown()
    assert torch_of(home).startswith("2.13.0")
    assert asked
    assert all(path.startswith("/torch") for path in asked)


def test_a_pytorch_that_works_is_kept(home, tmp_path):
    """Newer than any that the course was tested with, and in no index: nothing replaces it. One that is broken is."""
    newer = tmp_path / "newer"
    file = torch_wheel(newer, "3.1.0+mine")
    python = Environment(home).python
    subprocess.run([python, "-m", "pip", "install", "--quiet", newer / file], check=True)
    assert main([], home) == 0
    assert torch_of(home) == "3.1.0+mine"
    package = next((home / ".venv").rglob("torch/__init__.py"))
    package.write_text("raise OSError('libcudart.so.12: cannot open shared object file')", encoding="utf-8")
    (home / "constraints.txt").write_text("torch==2.13.0\n# moved\n", encoding="utf-8")
    assert main([], home) == 0
    assert torch_of(home) == "2.13.0"


def test_again_is_nothing_and_a_new_lock_is_something(home, capsys):
    """It does what has to be done, and no more."""
    assert main([], home) == 0
    assert "Setting up" in capsys.readouterr().out
    assert main([], home) == 0
    assert capsys.readouterr().out == ""
    (home / "constraints.txt").write_text("torch==2.13.0\n# moved\n", encoding="utf-8")
    assert main([], home) == 0
    assert "Setting up" in capsys.readouterr().out


def test_stopped_in_the_middle(home, capsys):
    """Stopped while pip runs: the next run goes on; while packages are unpacked, it begins anew and says why."""
    assert main([], home) == 0
    capsys.readouterr()
    (home / ".venv" / "unpacking").touch()
    assert main([], home) == 0
    assert "stopped while packages were being unpacked" in capsys.readouterr().out
    assert not (home / ".venv" / "unpacking").exists()
    shutil.rmtree(home / ".venv" / ("Lib" if sys.platform == "win32" else "lib"))  # half an environment
    assert main([], home) == 0
    assert "does not start" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_control_c(home, tmp_path):
    """A real Ctrl-C in the middle of a download: a sentence and no traceback; the same command then ends well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment |= {"PIP_FIND_LINKS": f"http://127.0.0.1:{silent.getsockname()[1]}/", "PIP_RETRIES": "0"}
        code = (
            "import sys; from pathlib import Path; from autograder.setup.main import main; "
            f"sys.exit(main(['--torch-index', 'cuda'], Path({str(home)!r})))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
        )  # fmt: skip
        connection, _ = silent.accept()  # pip asks, and waits
        os.killpg(process.pid, 2)
        _, error = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 130
    assert error.strip().endswith("Stopped. The same command goes on from here.")
    assert "Traceback" not in error.replace("ERROR: Operation cancelled by user", "")
    assert main([], home) == 0
    assert torch_of(home) == "2.13.0"


def test_moved_or_copied(home, tmp_path, capsys):
    """A folder that was moved brings an environment that points to where it was."""
    assert main([], home) == 0
    moved = tmp_path / "elsewhere"
    shutil.copytree(home, moved, symlinks=True)
    capsys.readouterr()
    assert main([], moved) == 0
    assert f"was made for another folder ({home})" in capsys.readouterr().out
    assert json.loads((moved / ".venv" / "installed").read_text())["root"] == str(moved)


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_linked_environment_is_left_alone(home, tmp_path):
    """Whoever links one arranged it."""
    (tmp_path / "shared").mkdir()
    shutil.rmtree(home / ".venv")
    (home / ".venv").symlink_to(tmp_path / "shared")
    assert main([], home) == 0
    assert not list((tmp_path / "shared").iterdir())


def test_no_pytorch_anywhere(home, monkeypatch, capsys):
    """An index without it, and one that cannot be reached: a sentence each, exit code 1, and no traceback."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    assert main([], home) == 1
    assert "There is no torch==2.13.0 for Python" in capsys.readouterr().err
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "1")  # with none, pip does not say what was wrong
    assert main(["--torch-index", "cuda"], home) == 1
    error = capsys.readouterr().err
    assert "cannot be reached" in error
    assert "the same command again" in error


def test_the_disk_is_full(tmp_path):
    """Before the download, and in the middle of it, as pip puts it."""
    with pytest.raises(SetupError, match=r"takes about 1e\+09 GB, and the disk .* GB left"):
        require_room(tmp_path, 1e9)
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    assert "is full. Make room" in explain(said, tmp_path, "3.12")


def test_no_environment_is_begun_where_it_will_not_fit(home, monkeypatch, capsys):
    """Said before `.venv` is made: what fails in the middle of that says nothing of the disk."""
    shutil.rmtree(home / ".venv")
    monkeypatch.setattr("autograder.setup.main.GIGABYTES", 1e9)
    assert main([], home) == 1
    assert "Make room there" in capsys.readouterr().err
    assert not (home / ".venv").exists()


def older_python():
    """A Python that is too old, where there is one."""
    found = [shutil.which(f"python{OLDER}"), *sorted(Path.home().glob(f".pyenv/versions/{OLDER}.*/bin/python"))]
    starts = [str(path) for path in found if path and not subprocess.run([path, "-V"], capture_output=True).returncode]
    return starts[0] if starts else None


@pytest.mark.skipif(not older_python(), reason=f"no Python {OLDER} here")
def test_a_python_that_is_too_old():
    """It reads far enough to say so."""
    done = subprocess.run([older_python(), ROOT / "install.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Python 3.11 or later is needed, and this is {OLDER}")


@pytest.mark.skipif(not older_python(), reason=f"no Python {OLDER} here")
def test_an_environment_of_another_python(home, capsys):
    """Too old: made anew."""
    shutil.rmtree(home / ".venv")
    subprocess.run([older_python(), "-m", "venv", home / ".venv"], check=True)
    assert main([], home) == 0
    assert f"has Python {OLDER}, and 3.11 or later is needed" in capsys.readouterr().out
