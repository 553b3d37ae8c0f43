"""seccomp: which system calls a process may make, and with which flags; everything else is refused by the kernel.

The list says what is allowed, so that a call that nobody thought of is refused too.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from errno import ENOSYS, EPERM
from functools import lru_cache

from autograder.isolation.far.kernel import call

_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
# A thread shares all that there is; one with descriptors of its own could hold 128 more of them, pipes among them.
_THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000  # CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD
_F_DUPFD_CLOEXEC, _LAST_HARMLESS_FCNTL = 1030, 4  # up to F_SETFL; F_SETOWN could make the kernel signal others
_TCGETS, _FIONCLEX, _FIOCLEX = 0x5401, 0x5450, 0x5451
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What is said of one's own memory: not what drops pages of files, which others could notice (MADV_COLD, _PAGEOUT).
_ADVICE = (*range(5), 8, *range(12, 20), 102, 103)

# What Python, NumPy and PyTorch need once they are imported: memory, threads, clocks, reading files.
_ALLOWED = (
    *("read", "readv", "pread64", "write", "writev", "close", "lseek", "dup", "dup2", "dup3", "pipe", "pipe2"),
    *("stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat"),
    *("faccessat2", "readlink", "readlinkat", "getcwd", "getdents64", "umask"),
    *("poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"),
    *(
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
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
    *("setitimer", "getitimer", "alarm", "pause", "restart_syscall", "getrandom", "getrlimit", "sysinfo"),
    *("uname", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait"),
    *("sigaltstack", "exit", "exit_group", "arch_prctl"),
)


@lru_cache(maxsize=1)
def program() -> bytes:
    """The filter as the kernel takes it: the same for every child, so it names no process."""
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(EPERM))

    def allow(name: str, *conditions: object) -> None:
        with suppress(OSError, ValueError):  # this processor's kernel has no such call: there is nothing to allow
            rules.add_rule(seccomp.ALLOW, name, *conditions)

    for name in _ALLOWED:
        allow(name)
    allow("clone", seccomp.Arg(0, seccomp.MASKED_EQ, _THREAD, _THREAD))
    rules.add_rule(seccomp.ERRNO(ENOSYS), "clone3")  # its flags are out of a filter's sight; libc falls back to clone
    allow("open", seccomp.Arg(1, seccomp.MASKED_EQ, _WRITING, 0))
    allow("openat", seccomp.Arg(2, seccomp.MASKED_EQ, _WRITING, 0))
    for advice in _ADVICE:
        allow("madvise", seccomp.Arg(2, seccomp.EQ, advice))
    for command in (*range(_LAST_HARMLESS_FCNTL + 1), _F_DUPFD_CLOEXEC):
        allow("fcntl", seccomp.Arg(1, seccomp.EQ, command))
    for request in (_TCGETS, _FIOCLEX, _FIONCLEX):
        allow("ioctl", seccomp.Arg(1, seccomp.EQ, request))
    for option in (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA):
        allow("prctl", seccomp.Arg(0, seccomp.EQ, option))
    # Limits may be looked at (no new value), and only one's own.
    allow("prlimit64", seccomp.Arg(0, seccomp.EQ, 0), seccomp.Arg(2, seccomp.EQ, 0))
    with open(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def restrict() -> None:
    """From now on this process may make the calls on the list, and no others.

    Raises:
        OSError, ImportError: seccomp is missing, or what builds its program.
    """
    text = program()
    code = ctypes.create_string_buffer(text, len(text))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    described = Program(len(text) // 8, ctypes.cast(code, ctypes.c_void_p))
    call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0)
