"""The protections: which holds, what each lets a child read, and which one is chosen."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.batch import doctor
from autograder.course import Budget, load_course
from autograder.isolation.between.messages import LOCKS, PROFILES, UNPRIVILEGED, UNPROTECTED, Limits
from autograder.isolation.near import protection
from autograder.isolation.near.remote import RemoteModule, Session
from autograder.isolation.near.worker import CAN_FORK, Confinement, start_worker

ROOT = Path(__file__).resolve().parents[2]
LOCKED = Confinement(True, Limits(memory_mib=1024, cpu_seconds=20))
pytestmark = pytest.mark.skipif(not CAN_FORK, reason="there are no locks")

LOOKS = """
import ctypes, errno, os, threading
libc = ctypes.CDLL(None, use_errno=True)
def number(function, *arguments):
    ctypes.set_errno(0)
    try: return 0 if function(*arguments) is not None else 0
    except OSError as error: return error.errno
    except ValueError: return errno.EINVAL
def read(path): return number(lambda: open(path, "rb").read(1))
def listed(path): return number(os.listdir, path)
def opened(path, flags): return number(lambda: os.close(os.open(path, flags)))
def beside(folder, path):
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try: return number(lambda: os.close(os.open(path, os.O_RDONLY, dir_fd=at)))
    finally: os.close(at)
def raw(address, flags=0):
    ctypes.set_errno(0)
    fd = libc.open(ctypes.c_void_p(address), flags)
    return ctypes.get_errno() if fd < 0 else 0
def together(path, count):
    found = []
    def several(): found.extend(len(open(path, "rb").read()) for _ in range(20))
    threads = [threading.Thread(target=several) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return found
def lazily():
    import wave, colorsys
    return wave.__name__ + colorsys.__name__
def inheritable(path):
    fd = os.open(path, os.O_RDONLY)
    return os.get_inheritable(fd), fd
def who(): return os.getpid(), os.getuid(), os.geteuid()
"""


@pytest.fixture(scope="module", params=PROFILES)
def shut_in(request, tmp_path_factory):
    """A child under each protection, a file that it may read, and one that it may not."""
    folder = tmp_path_factory.mktemp("shut-in")
    for name in ("given", "kept"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name * 1000)
    (folder / "given" / "link").symlink_to(folder / "kept" / "file")
    (folder / "link").symlink_to(folder / "given" / "file")
    worker = start_worker(request.param, [str(folder / "kept")])
    worker.prepare(["numpy"])
    if reason := protection.why_not(request.param):
        pytest.skip(reason)
    budget, given = Budget(call=20, load=20), [str(folder / "given")]
    session = Session(worker, "student", {"student": LOOKS}, budget, LOCKED, given)
    assert session.load() is None
    yield RemoteModule(session.perform, "student", session.calls), folder
    session.end()
    worker.close()


def test_what_may_be_read_can_be(shut_in):
    """Libraries, also those that are imported late, and what a suite hands out; and nothing can be written there."""
    student, folder = shut_in
    assert student.lazily() == "wavecolorsys"
    assert student.read(str(folder / "given" / "file")) == 0
    assert student.listed(str(folder / "given")) == 0
    assert student.read(os.__file__) == 0
    assert student.read("/proc/cpuinfo") == 0
    assert set(student.together(str(folder / "given" / "file"), 4)) == {5000}
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC):
        assert student.opened(str(folder / "given" / "file"), flags) != 0


def test_nothing_else_can_be(shut_in):
    """No file of the machine, no list of a folder, nobody's process; by no roundabout way."""
    student, folder = shut_in
    for path in ("/etc/passwd", "/proc/self/maps", "/proc/self/mem", "/proc/1/environ", "/proc/mounts", "/dev/kmsg"):
        assert student.read(path) != 0, path
    home = Path.home()
    for path in ("/", "/etc", "/proc", "/proc/self/fd", "/tmp", "/dev", str(home), str(home.parent), str(ROOT), "/sys"):
        assert student.listed(path) != 0, path
    kept, given = str(folder / "kept" / "file"), str(folder / "given")
    assert student.read(kept) != 0
    assert student.read(f"{given}/link") != 0
    assert student.read(f"{given}/../kept/file") != 0
    assert student.read(kept.lstrip("/")) != 0
    assert student.beside(given, "../kept/file") != 0
    assert student.beside(given, kept) != 0
    assert student.opened(str(folder), os.O_RDONLY | os.O_DIRECTORY) != 0


def test_what_is_asked_wrongly_is_an_error(shut_in):
    """Names that are none, too long, or nowhere in memory: an error each, and the next question is answered."""
    student, folder = shut_in
    for path in ("", "x" * 255, "/" + "x" * 255, "/x" * 2100, "\0", "a\0b"):
        assert student.read(path) != 0
    for address in (0, 1, 2**47 - 1, 2**64 - 1, 2**63):
        assert student.raw(address) != 0
    assert student.read(str(folder / "given" / "no-such-file")) != 0
    assert student.opened(str(folder / "given" / "file"), os.O_RDONLY | os.O_DIRECTORY) != 0
    assert student.opened(str(folder / "given" / "link"), os.O_RDONLY | os.O_NOFOLLOW) != 0
    assert student.inheritable(str(folder / "given" / "file"))[0] is False
    assert student.read(str(folder / "given" / "file")) == 0


def test_each_child_is_nobody(shut_in):
    """As root, the kernel counts a child's threads for a user whom nobody else is."""
    student, _ = shut_in
    if os.getuid() == 0:
        assert student.who()[1] >= 61184


def test_the_strongest_that_holds_is_chosen(monkeypatch):
    """Without Landlock the next one is, and where none holds all reasons are told."""
    if protection.why_not(UNPRIVILEGED):
        pytest.skip("there is none to choose from")
    really = protection.why_not
    lacking = {"full"}
    monkeypatch.setattr(protection, "_looks_whole", lambda: False)
    monkeypatch.setattr(
        protection, "why_not", lambda name, secrets=(): "no such lock" if name in lacking else really(name, secrets)
    )
    assert protection.strongest() == next(name for name in list(PROFILES)[1:] if not really(name))
    lacking.add("namespaces")
    assert protection.strongest() == UNPRIVILEGED
    assert protection.strongest(required="unprivileged") == UNPRIVILEGED
    with pytest.raises(protection.ProtectionError, match="full does not hold here: no such lock"):
        protection.strongest(required="full")
    lacking.add("unprivileged")
    with pytest.raises(protection.ProtectionError, match=r"(?s)full.*namespaces.*unprivileged.*--trust-submissions"):
        protection.strongest()


def test_a_protection_that_needs_no_privilege():
    """Root without any capability is nobody special: its children are shut in all the same."""
    if os.getuid() != 0:
        pytest.skip("every other test runs without privileges")

    def give_up():
        for capability in range(64):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: not in the program that is started

    program = (
        "from autograder.isolation.near.protection import why_not\n"
        f"print(why_not('unprivileged', [{str(ROOT / 'solutions')!r}]) or 'holds')"
    )
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=give_up)
    assert done.stdout.strip() == "holds", done.stderr


def test_who_is_not_shut_in_has_no_surroundings_either():
    """A trusted submission sees the machine as it is: what fails in a locked child fails because of the locks."""
    worker = start_worker(UNPROTECTED)
    try:
        worker.prepare(["numpy"])
        session = Session(worker, "student", {"student": LOOKS})
        student = RemoteModule(session.perform, "student", session.calls)
        assert student.who()[0] != 1
        assert student.read(f"/proc/{os.getpid()}/environ") == 0
        session.end()
    finally:
        worker.close()


def test_the_doctor_tries_each(capsys):
    """`autograder doctor` tells of each lock and each protection, by name, and its exit code says whether one holds."""
    found = doctor.examine(load_course(ROOT))
    assert list(found["locks"]) == list(LOCKS)
    assert list(found["profiles"]) == list(PROFILES)
    assert found["protection"] == next(name for name, why in found["profiles"].items() if not why)
    words = doctor.in_words(found)
    assert all(f" {name} " in words for name in LOCKS)
    assert f"`grade` uses: {found['protection']}." in words
    json.dumps(found)
    found["protection"] = ""
    assert "refuses" in doctor.in_words(found)
