"""The lock-down of a child, before the first line of student source is compiled.

Five locks, each of which the kernel holds: resource limits, no capabilities, no new privileges, Landlock (which files)
and seccomp (which system calls). The list of system calls says what is allowed, and everything else is refused, so a
call that nobody thought of is refused too. See SECURITY.md for what each lock is for.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from errno import ENOSYS, EPERM
from functools import lru_cache
from pathlib import Path

from autograder.isolation.between.messages import Limits

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 4, 15, 16, 38
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_VMA = 22, 2, 0x53564D41
_CLONE_VM, _CLONE_THREAD = 0x100, 0x10000
_F_DUPFD_CLOEXEC, _LAST_HARMLESS_FCNTL = 1030, 4  # up to F_SETFL; F_SETOWN could make the kernel signal others
_TCGETS, _FIONCLEX, _FIOCLEX = 0x5401, 0x5450, 0x5451

# What Python, NumPy and PyTorch need once they are imported: memory, threads, clocks, reading files.
_ALLOWED = (
    *("read", "readv", "pread64", "write", "writev", "close", "lseek", "dup", "dup2", "dup3", "pipe", "pipe2"),
    *("open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat"),
    *("faccessat2", "readlink", "readlinkat", "getcwd", "getdents64", "fadvise64", "umask"),
    *("poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"),
    *(
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
        "madvise",
        "mincore",
        "msync",
        "brk",
        "membarrier",
        "mbind",
        "get_mempolicy",
    ),
    *("futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "sched_yield"),
    *("sched_getaffinity", "sched_getparam", "sched_getscheduler", "getcpu", "getpid", "gettid", "getppid"),
    *("getuid", "geteuid", "getgid", "getegid", "getpgrp", "getpgid", "getsid", "getgroups", "getresuid", "getresgid"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times"),
    *("setitimer", "getitimer", "alarm", "pause", "restart_syscall", "getrandom", "getrusage", "getrlimit", "sysinfo"),
    *("uname", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait"),
    *("sigaltstack", "exit", "exit_group", "arch_prctl"),
)

_READABLE = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)

_refused = "system"


def apply(limits: Limits, readable: Sequence[str]) -> None:
    """Limits this process and shuts it in.

    Args:
        limits: what it may take.
        readable: folders that this exercise may read besides the libraries.

    Raises:
        OSError: the system lacks one of the locks; nothing of a submission may run here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _limit(limits)
    _prctl(libc, _PR_SET_PDEATHSIG, 9)
    _drop_capabilities(libc)
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _restrict_files([*_library_folders(), *_READABLE, *readable])
    sys.addaudithook(_notice)
    _restrict_calls(libc)


def prepare() -> None:
    """Does what every child would do again: imports and builds what the locks need."""
    import landlock  # noqa: F401

    _filter_program()


def take_refused() -> str:
    """The last thing tried that submissions may not do, by its name in the near side's sentences."""
    global _refused
    refused, _refused = _refused, "system"
    return refused


def _limit(limits: Limits) -> None:
    import resource  # not on Windows, where nothing is locked

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, value in (
        (resource.RLIMIT_AS, mapped + limits.memory_mib * 2**20),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_NPROC, 4096),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        # At the soft limit of processor time comes a signal that can be caught, a second later one that cannot.
        resource.setrlimit(kind, (value, value + 1 if kind == resource.RLIMIT_CPU else value))


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} is refused")


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Not even root keeps a privilege (capset, version 3: two words each of effective, permitted, inheritable)."""
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset is refused")


def _library_folders() -> Iterator[str]:
    """Where Python and the installed libraries are; the project's own folder is not among them."""
    for folder in {*sys.path, f"{sys.base_prefix}/lib", f"{sys.prefix}/lib"}:
        if folder and os.path.isdir(folder):
            yield folder


def _restrict_files(readable: Sequence[str]) -> None:
    from landlock import Ruleset
    from landlock.plumbing import FSAccess

    rules = Ruleset()
    for path in readable:
        if os.path.isdir(path):
            rules.allow(path, rules=FSAccess.READ_FILE | FSAccess.READ_DIR)
        elif os.path.exists(path):
            rules.allow(path, rules=FSAccess.READ_FILE)
    rules.apply()
    os.close(rules._fd)


@lru_cache(maxsize=1)
def _filter_program() -> bytes:
    """The seccomp filter as the kernel takes it: the same for every child, so it names no process."""
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(EPERM))
    for name in _ALLOWED:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (OSError, ValueError):
            continue  # this processor's kernel has no such call, so there is nothing to allow
    threads = _CLONE_VM | _CLONE_THREAD
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, threads, threads))
    rules.add_rule(seccomp.ERRNO(ENOSYS), "clone3")  # its flags are out of a filter's sight; libc falls back to clone
    for command in (*range(_LAST_HARMLESS_FCNTL + 1), _F_DUPFD_CLOEXEC):
        rules.add_rule(seccomp.ALLOW, "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    for request in (_TCGETS, _FIOCLEX, _FIONCLEX):
        rules.add_rule(seccomp.ALLOW, "ioctl", seccomp.Arg(1, seccomp.EQ, request))
    for option in (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA):
        rules.add_rule(seccomp.ALLOW, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    # Limits may be looked at (no new value), and only one's own.
    rules.add_rule(seccomp.ALLOW, "prlimit64", seccomp.Arg(0, seccomp.EQ, 0), seccomp.Arg(2, seccomp.EQ, 0))
    with open(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _restrict_calls(libc: ctypes.CDLL) -> None:
    program = _filter_program()
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    description = Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(description), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp is refused")


_EVENTS = {
    "network": ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"),
    "program": ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.startfile"),
    "process": ("os.fork", "os.forkpty"),
    "signal": ("os.kill", "os.killpg", "signal.pthread_kill"),
    "write": (
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link"),
        *("os.symlink", "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move"),
    ),
    "read": ("os.listdir", "os.scandir", "os.chdir"),
}
_KINDS = {event: kind for kind, events in _EVENTS.items() for event in events}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    """Remembers what was tried, for the sentence about it. Refusing is the kernel's part."""
    global _refused
    if event == "open":
        flags = arguments[2]
        _refused = "write" if isinstance(flags, int) and flags & _WRITING else "read"
    elif event in _KINDS:
        _refused = _KINDS[event]
