"""`make upgrade`: newer versions for everybody, proven before they are kept.

Resolves constraints.txt anew from the ranges in pyproject.toml, for every system and Python at once, shows what moves,
installs it, runs what it was given to run, and puts the old file back when that fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "constraints.txt"
OLDEST = "3.11"
# PyTorch's CUDA builds name the exact versions of these themselves, and its CPU builds need none.
NVIDIA = ("nvidia-", "cuda-", "triton==")
HEADER = """\
# The versions that the tests have passed with, for Linux, macOS and Windows and Python 3.11 to 3.14.
# Written by `make upgrade`; used with `pip install --constraint constraints.txt`.
"""


def resolve(old: str = "", resolution: str = "highest") -> str:
    """The lock for what pyproject.toml says now.

    Args:
        old: a lock to keep to where it still fits; with none, everything is the newest that fits.
        resolution: what uv calls it: `highest`, or `lowest-direct` for the oldest that pyproject.toml allows.

    Raises:
        RuntimeError: there is no such set of versions.
    """
    command = ["uv", "pip", "compile", "--universal", "--python-version", OLDEST, "--all-extras"]
    command += ["--resolution", resolution]
    command += ["--no-header", "--no-annotate", "pyproject.toml"]
    if old:
        command += ["--constraint", "-"]
    done = subprocess.run(command, cwd=ROOT, input=old, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return HEADER + "".join(f"{line}\n" for line in done.stdout.splitlines() if not line.startswith(NVIDIA))


def moved(old: str, new: str) -> list[str]:
    """What differs between two locks, a line each."""
    before, after = versions(old), versions(new)
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            lines.append(f"{name}: {was or 'new'} -> {now or 'gone'}")
    return lines


def versions(lock: str) -> dict[str, str]:
    """Each package's version, or versions where Pythons or systems differ."""
    found: dict[str, list[str]] = {}
    for line in lock.splitlines():
        name, equal, rest = line.partition("==")
        if equal and not line.startswith("#"):
            found.setdefault(name, []).append(rest.partition(" ;")[0].strip())
    return {name: " and ".join(numbers) for name, numbers in found.items()}


def upgrade(prove: Iterable[Sequence[str]], resolution: str = "highest") -> int:
    """Renews the lock; returns an exit code.

    Args:
        prove: commands, which must all end well for the new lock to stay.
        resolution: see `resolve`.
    """
    old = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    new = resolve(resolution=resolution)
    changes = moved(old, new)
    if not changes:
        print("Nothing has moved.")
        return 0
    print(f"{len(changes)} packages move:", *changes, sep="\n  ", flush=True)
    LOCK.write_text(new, encoding="utf-8", newline="\n")
    for command in prove:
        print(f"$ {' '.join(command)}", flush=True)
        if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
            LOCK.write_text(old, encoding="utf-8", newline="\n")
            print(
                f"That failed, so constraints.txt is as it was. The next `make` installs from it.\n"
                f"To find out why, try the packages above one by one: {sys.executable} -m pip install NAME==VERSION"
            )
            return code
    print("Commit constraints.txt, with what moved as the message.")
    return 0


def main() -> int:
    """Runs `make upgrade`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-proof", action="store_true", help="write the file and run nothing")
    parser.add_argument("--resolution", default="highest", choices=("highest", "lowest-direct"), help="see uv")
    options = parser.parse_args()
    proof = [["make", "test"]]
    try:
        return upgrade([] if options.no_proof else proof, options.resolution)
    except (OSError, RuntimeError) as error:
        print(f"constraints.txt is as it was: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
