"""Which protection this machine can give, found out by shutting a real child in and trying each lock on it."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Sequence

from autograder.course import GraderError
from autograder.isolation.between.messages import FULL, PROFILES, TRIAL, Limits
from autograder.isolation.near.failures import Unfit
from autograder.isolation.near.protocols import Confinement, WorkerError
from autograder.isolation.near.session import Session
from autograder.isolation.near.worker import CAN_FORK, start_worker

_CREATE_RULESET, _VERSION, _PR_GET_SECCOMP = 444, 1, 21
_ADVICE = {
    "Function not implemented": "Landlock needs Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK=y",
    "Operation not supported": "Landlock was switched off at boot: add `lsm=landlock,...`",
    "pyseccomp": "`pip install pyseccomp` and, on Debian, `apt install libseccomp2`",
}


class ProtectionError(GraderError):
    """This machine cannot shut submissions in as well as is asked."""


def why_not(protection: str, secrets: Sequence[str] = ()) -> str:
    """Why a profile, or a lock by itself, does not hold on this machine; "" if it does.

    Args:
        protection: its name.
        secrets: what must not be readable within it.
    """
    if not CAN_FORK:
        return f"submissions can only be shut in on Linux, and this is {sys.platform}: grade in a container"
    try:
        worker = start_worker(TRIAL + protection, secrets)
    except WorkerError as error:
        return str(error)
    try:
        worker.prepare(["numpy"])
        session = Session(worker, "trial", {"trial": ""}, confinement=Confinement(True, Limits(256, 10)))
        session.load()
        session.end()
    except (WorkerError, Unfit) as error:
        reason = str(error)
        advice = [text for sign, text in _ADVICE.items() if sign in reason]
        return ". ".join([reason, *advice])
    finally:
        worker.close()
    return ""


def strongest(secrets: Sequence[str] = (), required: str = "") -> str:
    """The profile to grade with: the strongest that holds, or the one that is asked for by name.

    Args:
        secrets: what must not be readable by a submission.
        required: the profile that it must be, if it must.

    Raises:
        ProtectionError: none holds, or not the one that is required.
    """
    if not required and _looks_whole():
        return FULL  # each child still says so before anything of a submission runs in it
    reasons = []
    for name in [required] if required else PROFILES:
        reason = why_not(name, secrets)
        if not reason:
            return name
        reasons.append(f"The protection {name} does not hold here: {reason}.")
    reasons.append("`autograder doctor` tells more. Without protection, only --trust-submissions grades.")
    raise ProtectionError("\n".join(reasons))


def _looks_whole() -> bool:
    """Whether all that the full protection needs is there, by a look that takes no time."""
    if landlock_version() < 1 or ctypes.CDLL(None).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return False
    try:
        importlib.import_module("pyseccomp")
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def landlock_version() -> int:
    """Which version of Landlock's interface the kernel has; 0 where it has none."""
    if not CAN_FORK:
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION)))
