"""The right PyTorch: the build for this machine, from the right place, and none where one works already.

On Linux PyPI has the CUDA build alone, with 15 packages of NVIDIA's: gigabytes that a machine without its card cannot
use. PyTorch's own index has the CPU build. Only PyTorch comes from there, and nothing that it depends on: in an index
beside PyPI anybody's package could take another's name.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from autograder.setup.pip import Pip

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST = (2, 6)
PATIENCE = 5.0  # seconds for an index to answer


def works(python: Path) -> str | None:
    """The version of the PyTorch that this Python has, when it can be imported and is not too old."""
    command = [str(python), "-P", "-c", "import torch; torch.zeros(1).sum().item(); print(torch.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    version = done.stdout.strip().splitlines()[-1]
    return version if _numbers(version) >= OLDEST else None


def install(pip: Pip, version: str, wish: str) -> None:
    """Installs PyTorch and nothing else, where it has to come from a place of its own; else leaves it to pip.

    Args:
        pip: for which Python.
        version: which, as 2.13.0.
        wish: `cpu`, `cuda`, an index's address, a folder, or nothing: then what fits this machine.
    """
    cpu = wish == "cpu" or (not wish and _linux_pc() and not has_card())
    if wish == "cuda" or not (wish or cpu):
        return
    index = CPU_INDEX if wish in ("", "cpu") else wish
    if folder := _folder(index):
        places = ["--no-index", "--find-links", str(folder)]
        places += ["--find-links", str(folder / "torch")] if (folder / "torch").is_dir() else []
    elif answers(index):
        places = ["--index-url", index, "--retries", "1", "--timeout", "15"]
    else:
        print(f"  {index} does not answer: taking the PyTorch that pip finds, which may be a larger one.", flush=True)
        return
    # A build says in its version what it is for. Others than the CPU's have a name that nobody can guess here.
    kinds = [f"torch=={version}+cpu", f"torch=={version}"] if _linux_pc() and not has_card() else [f"torch=={version}"]
    if not any(pip.tries(*places, "--no-deps", kind) for kind in kinds):
        print(f"  {index} has no PyTorch {version} for this machine: taking the one that pip finds.", flush=True)


def answers(address: str) -> bool:
    """Whether an index is there, found out within seconds whatever it does."""
    found: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{address.rstrip('/')}/torch/", timeout=PATIENCE):
                found.append(True)
        except urllib.error.URLError as error:
            # Certificates are pip's business, which may know more of them.
            found.append("CERTIFICATE_VERIFY_FAILED" in str(error.reason))
        except (OSError, ValueError):
            found.append(False)

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name has no limit of its own
    asking.start()
    asking.join(PATIENCE + 1)
    return found == [True]


def has_card() -> bool:
    """Whether there is an NVIDIA card with a driver."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    if not (program := shutil.which("nvidia-smi")):
        return False
    try:
        return subprocess.run([program, "-L"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _linux_pc() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _folder(index: str) -> Path | None:
    path = Path(index.removeprefix("file://")).expanduser()
    return path.resolve() if path.is_dir() else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("+")[0].split(".")[:2] if part.isdigit())
