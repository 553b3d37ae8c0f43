"""What can go wrong in a set-up, as a sentence and a way out."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

AGAIN = "Then run the same command again: it goes on where it stopped, and what was downloaded is kept."
_FULL = re.compile(r"No space left on device|\[Errno 28\]|not enough space on the disk|Disk quota exceeded")
_OFFLINE = re.compile(
    r"name resolution|Name or service not known|nodename nor servname|getaddrinfo failed|Network is unreachable"
    r"|Failed to establish a new connection|Connection refused|Connection reset|ConnectTimeout|Read timed out"
    r"|Could not fetch URL|ProxyError|Max retries exceeded|Connection to \S+ timed out|RemoteDisconnected"
)
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError")
_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
_NO_PIP = re.compile(r"ensurepip is not available|No module named '?(ensurepip|venv|pip)")


class SetupError(Exception):
    """The set-up cannot go on; the message says why, and what to do."""


def explain(output: str, where: Path, python: str) -> str:
    """What a program that failed during the set-up was in want of.

    Args:
        output: what it said.
        where: the folder that it wrote to.
        python: the version of Python that ran it, as 3.12.
    """
    if _FULL.search(output):
        return full_disk(where)
    if _CERTIFICATE.search(output):
        return (
            "The connection to the package index is not trusted: its certificate was not issued by anybody whom pip "
            "knows. Behind a company's or university's proxy, ask for its certificate and set PIP_CERT to the file. "
            + AGAIN
        )
    if _OFFLINE.search(output):
        return f"The package index cannot be reached. Is this machine online? {AGAIN}"
    if _NO_PIP.search(output):
        return (
            "This Python has no venv or pip. On Debian and Ubuntu: sudo apt install python3-venv. Or take Python from "
            f"https://www.python.org/downloads/. {AGAIN}"
        )
    if match := _NO_WHEEL.search(output):
        return (
            f"There is no {match[1]} for Python {python} on this system. The course is tested with Python 3.11 to "
            "3.14: try another of these (make PYTHON=python3.12; on Windows py -3.12 install.py)."
        )
    return "The set-up did not finish. pip says:\n\n    " + "\n    ".join(output.strip().splitlines()[-12:])


def full_disk(where: Path) -> str:
    """The disk is full."""
    return f"The disk that holds {where} is full. Make room there (pip cache purge helps a little). {AGAIN}"


def require_room(where: Path, gigabytes: float) -> None:
    """Looks before it downloads for minutes.

    Raises:
        SetupError: there is less room than that.
    """
    free = shutil.disk_usage(where).free / 1e9
    if free < gigabytes:
        raise SetupError(
            f"The set-up takes about {gigabytes:g} GB, and the disk that holds {where} has {free:.1f} GB left. "
            f"Make room there. {AGAIN}"
        )


def of_the_system(error: OSError, where: Path) -> str:
    """The same for an error of Python's own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full_disk(where)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or where} may not be written. Copy the course into a folder of your own. {AGAIN}"
    return f"The set-up did not finish: {error}. {AGAIN}"
