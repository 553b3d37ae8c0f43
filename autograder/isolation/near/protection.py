"""Whether this machine has the locks that a submission is shut in with."""

from __future__ import annotations

import ctypes
import errno
import importlib
import sys

_CREATE_RULESET, _VERSION = 444, 1
_PR_GET_SECCOMP = 21


def missing_locks() -> list[str]:
    """What is missing, and how to get it, in sentences; nothing when all is there."""
    if sys.platform != "linux":
        return [f"Submissions can only be shut in on Linux, and this is {sys.platform}. Grade in a container."]
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_CREATE_RULESET, None, 0, _VERSION) < 1:
        why = (
            "was switched off at boot (add `lsm=landlock,...`)"
            if ctypes.get_errno() == errno.EOPNOTSUPP
            else "is absent"
        )
        missing.append(f"Landlock {why}: it needs Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK=y.")
    if libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        missing.append("seccomp is absent: it needs a kernel with CONFIG_SECCOMP_FILTER=y.")
    for package in ("landlock", "pyseccomp"):
        try:
            importlib.import_module(package)
        except (ImportError, OSError, RuntimeError) as error:
            advice = "`pip install landlock==1.0.0.dev5 pyseccomp` and, on Debian, `apt install libseccomp2`"
            missing.append(f"The Python package {package} cannot be used ({error}): {advice}.")
    return missing
