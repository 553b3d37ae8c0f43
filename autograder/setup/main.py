"""`python install.py`: the course and the versions that it is tested with, in `.venv` or in this Python."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import distributions
from pathlib import Path

from autograder.setup import pytorch
from autograder.setup.environment import Environment, State
from autograder.setup.pip import Pip
from autograder.setup.trouble import SetupError, of_the_system, require_room

ROOT = Path(__file__).resolve().parents[2]
GIGABYTES = 3.0  # the CPU build, unpacked, and room to unpack it
_PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)", re.MULTILINE)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Sets up; returns an exit code: 0 done, 1 not done and said why, 130 stopped."""
    parser = argparse.ArgumentParser(prog="install.py", description="Sets the course up; run it as often as you like.")
    parser.add_argument("--extra", action="append", default=[], metavar="NAME", help="also dev, notebook, ...")
    parser.add_argument("--here", action="store_true", help="into this Python and not into .venv: Colab, a container")
    parser.add_argument("--this-python", action="store_true", help="make .venv anew if it is of another Python")
    parser.add_argument(
        "--torch-index",
        default=os.environ.get("TORCH_INDEX", ""),
        metavar="WHICH",
        help="where PyTorch comes from: cpu, cuda, an address or a folder (what fits this machine; or set TORCH_INDEX)",
    )
    options = parser.parse_args(arguments)
    try:
        if options.here:
            _install(root, Pip(Path(sys.executable), Path(sys.prefix)), options.extra, options.torch_index, here=True)
        else:
            _set_up(root, options)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(of_the_system(error, root), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _set_up(root: Path, options: argparse.Namespace) -> None:
    environment = Environment(root)
    if environment.linked:
        return
    before = environment.state()
    extras = sorted({*before.extras, *options.extra})
    now = State(str(root), _digest(root), extras)
    fresh = not environment.folder.exists()
    if fresh:
        require_room(root, GIGABYTES)
    environment.prepare(options.this_python)
    if not fresh and environment.state() == now:
        return
    print(f"Setting up .venv{' (once; PyTorch is large)' if fresh else ''}...", flush=True)
    _install(root, Pip(environment.python, environment.folder, environment.marker), extras, options.torch_index)
    environment.keep(now)


def _install(root: Path, pip: Pip, extras: Iterable[str], wish: str, here: bool = False) -> None:
    lock = (root / "constraints.txt").read_text(encoding="utf-8")
    version = pytorch.works(pip.python)
    if version is None:
        require_room(pip.folder if pip.folder.exists() else root, GIGABYTES)
        print("PyTorch:", flush=True)
        pytorch.install(pip, _pinned(lock)["torch"], wish)
        version = pytorch.works(pip.python)
    keep = {"torch": version} if version else {}
    if here:  # what is there stays, if it will do: a notebook that runs has imported some of it
        keep |= {_plain(found.metadata["Name"]): found.version for found in distributions()}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text(_with(lock, keep, exactly={"torch"}), encoding="utf-8")
        print("The rest:", flush=True)
        names = f"[{','.join(extras)}]" if extras else ""
        pip.install("--editable", f"{root}{names}", "--constraint", str(constraints))


def _with(lock: str, keep: dict[str, str], exactly: set[str]) -> str:
    """The lock for all but what is kept; of that, `exactly` what is there is asked for, or nothing."""
    lines = [line for line in lock.splitlines() if _name(line) not in keep]
    lines += [f"{name}=={keep[name]}" for name in sorted(exactly & keep.keys())]
    return "".join(f"{line}\n" for line in lines)


def _name(line: str) -> str:
    match = _PINNED.match(line)
    return _plain(match["name"]) if match else ""


def _pinned(lock: str) -> dict[str, str]:
    return {_plain(match["name"]): match["version"] for match in _PINNED.finditer(lock)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(root: Path) -> str:
    texts = [(root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
