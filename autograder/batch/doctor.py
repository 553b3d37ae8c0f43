"""What a machine has for grading, and which protection it gives, found out by trying each lock on a real child."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autograder.batch.cores import available
from autograder.batch.jobs import Setting
from autograder.course import Course
from autograder.isolation.between.messages import LOCKS, PROFILES
from autograder.isolation.near.protection import landlock_version, why_not

ROOM = 2**30  # bytes that results, reports and what suites write should have
_DEVICE = """
import torch
print("CUDA" if torch.cuda.is_available() else "MPS" if torch.backends.mps.is_available() else "CPU")
"""
_WHAT = {
    "resources": "memory, processor time, threads and descriptors are limited",
    "privileges": "no capability and no new privilege",
    "files": "Landlock: only libraries can be read, and nothing written",
    "calls": "seccomp: no sockets, programs, processes or tracing; files are opened to be read",
    "root": "a root folder of its own, in a mount namespace",
    "broker": "another process opens files for a child: only libraries, and to be read",
    "times": "reading a file leaves no time of access (besides, where it is allowed)",
    "processes": "processes are counted anew for each child (besides, where it is allowed)",
}


def examine(course: Course) -> dict[str, Any]:
    """Everything that is found, by name.

    Returns:
        `machine`: facts in words. `locks` and `profiles`: by name why each does not hold, "" if it does.
        `protection`: the strongest profile that holds; "" for none. `advice`: what would make it better.
    """
    setting = Setting(course.root, course.names)
    profiles = {name: why_not(name, setting.secrets) for name in PROFILES}
    locks = {name: why_not(name) for name in LOCKS}
    protection = next((name for name in PROFILES if not profiles[name]), "")
    machine = _machine()
    return {
        "machine": machine,
        "locks": locks,
        "profiles": profiles,
        "protection": protection,
        "advice": _advice(machine, profiles, protection),
    }


def in_words(found: dict[str, Any]) -> str:
    """The same, to be read."""
    lines = [f"{name:12} {fact}" for name, fact in found["machine"].items()]
    lines += ["", "Each lock, tried on a child:"]
    lines += [
        f"  {'holds ' if not why else 'fails '} {name:11} {why or _WHAT[name]}" for name, why in found["locks"].items()
    ]
    lines += ["", "Protections, the strongest first:"]
    lines += [
        f"  {'holds ' if not why else 'fails '} {name:13}{why}".rstrip() for name, why in found["profiles"].items()
    ]
    lines += ["", *(f"- {advice}" for advice in found["advice"])]
    held = found["protection"]
    lines.append(f"`grade` uses: {held}." if held else "`grade` refuses here, but with --trust-submissions.")
    return "\n".join(lines)


def _machine() -> dict[str, str]:
    free = shutil.disk_usage(Path.cwd()).free
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}{_container()}",
        "user": f"{os.getuid()}" + (" (root)" if os.getuid() == 0 else "") if hasattr(os, "getuid") else "-",
        "cores": str(len(available())),
        "Python": f"{platform.python_version()} ({sys.executable})",
        "PyTorch": _torch(),
        "Landlock": f"version {landlock_version()} of its interface" if landlock_version() else "absent",
        "seccomp": _status("Seccomp_filters", "filters are on this process"),
        "namespaces": _namespaces(),
        "cgroups": _cgroups(),
        "disk": f"{free / 2**30:.1f} GiB free here",
        "time": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _torch() -> str:
    try:
        found = version("torch")
    except PackageNotFoundError:
        return "absent"
    done = subprocess.run([sys.executable, "-P", "-c", _DEVICE], capture_output=True, text=True, check=False)
    return f"{found}, computes on {done.stdout.strip()}" if done.returncode == 0 else f"{found}, which does not load"


def _status(field: str, what: str) -> str:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((f"{line.split()[1]} {what}" for line in lines if line.startswith(f"{field}:")), "absent")


def _container() -> str:
    signs = {"Docker": Path("/.dockerenv"), "Podman": Path("/run/.containerenv")}
    found = [name for name, path in signs.items() if path.exists()]
    if "microsoft" in platform.release().lower():
        found.append("WSL")
    if "gvisor" in platform.version().lower() or Path("/proc/sys/kernel/gvisor").exists():
        found.append("gVisor")
    return f" in {' and '.join(found)}" if found else ""


def _namespaces() -> str:
    try:
        most = Path("/proc/sys/user/max_user_namespaces").read_text().strip()
    except OSError:
        return "absent"
    return (
        "not allowed" if most == "0" else f"{', '.join(sorted(path.name for path in Path('/proc/self/ns').iterdir()))}"
    )


def _cgroups() -> str:
    root = Path("/sys/fs/cgroup")
    kind = (
        "version 2" if (root / "cgroup.controllers").exists() else "version 1" if (root / "pids").exists() else "absent"
    )
    return f"{kind}, {'can' if os.access(root / 'pids', os.W_OK) or os.access(root, os.W_OK) else 'cannot'} be written"


def _advice(machine: dict[str, str], profiles: dict[str, str], protection: str) -> list[str]:
    found = []
    if protection != "full":
        found.append(f"For full protection: {profiles['full']}.")
    if not protection:
        found.append(
            "For any: " + "; or ".join(f"{name}: {why}" for name, why in profiles.items() if name != "full") + "."
        )
    if shutil.disk_usage(Path.cwd()).free < ROOM:
        found.append("The disk is nearly full: suites and results need about 1 GiB.")
    if machine["user"] == "0 (root)":
        found.append("Root works, and each child still loses every privilege.")
    return found
