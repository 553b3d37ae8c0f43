"""The far side: calls, errors, deadlines and deaths, as the near side sees them."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from autograder.course import Budget
from autograder.isolation.between.messages import Limits
from autograder.isolation.near import protection
from autograder.isolation.near import worker as workers
from autograder.isolation.near.patience import Waiting
from autograder.isolation.near.remote import RemoteModule, Session, Stopped, StudentError
from autograder.isolation.near.worker import Confinement, SpawningWorker

LOCKED = Confinement(True, Limits(memory_mib=1024, cpu_seconds=20))


@pytest.fixture
def load(worker):
    """Loads a text as the module `student`, and ends it afterwards."""
    sessions = []

    def load(source, *, confinement=LOCKED, budget=None, **others):
        sources = {"student": source, **others}
        session = Session(worker, "student", sources, budget or Budget(call=5, load=10), confinement)
        sessions.append(session)
        session.load()
        return session, RemoteModule(session.perform, "student", session.calls)

    yield load
    for session in sessions:
        session.end()


def test_values_go_there_and_back(load):
    """Arrays, tensors, keywords and containers reach the function and come back."""
    _, student = load("def f(a, *, b): return {'sum': a + b, 'pair': (a.shape, [None, 'x'])}")
    back = student.f(np.ones((2, 3), np.float32), b=2)
    assert np.array_equal(back["sum"], np.full((2, 3), 3, np.float32))
    assert back["pair"] == ((2, 3), [None, "x"])


def test_objects_stay_there(load):
    """A class gives a handle: call it, its methods, read a state dict, take gradients, hand it to another call."""
    source = """
import torch
class Double(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
    def forward(self, x):
        return self.scale * x
def use(module, x):
    return module(x) + 1
class Box(list): pass
"""
    _, student = load(source)
    double, x = student.Double(), torch.tensor([1.0, 3.0])
    assert torch.equal(double(x).detach(), 2 * x)
    double.load_state_dict({"scale": torch.tensor(5.0)})
    assert double.state_dict()["scale"] == 5
    assert torch.equal(student.use(double, x).detach(), 5 * x + 1)
    found = double.gradients(x, cotangent=torch.tensor([1.0, 10.0]))
    assert torch.equal(found.args[0], torch.tensor([5.0, 50.0]))
    assert found.parameters["scale"] == 31
    assert double.scale.value() == 5
    assert len(student.library("torch").nn.ModuleList([])) == 0


def test_student_errors_keep_their_type_and_line(load):
    """An exception is of its built-in type, with the student's own lines and none of ours."""
    _, student = load("class Mine(ValueError): pass\ndef f(x):\n    raise Mine('no ' + str(x))\n")
    with pytest.raises(ValueError, match="no 3") as caught:
        student.f(3)
    assert isinstance(caught.value, StudentError)
    assert caught.value.failure.frames == (("student.py", 3, "f"),)
    assert caught.value.failure.type_name == "Mine"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return f()", "RecursionError"),
        ("return bytearray(8 * 2**30)", "MemoryError"),
        ("return 'x' * 2**27", "WireError"),
        ("a = []; a.append(a); return a", "WireError"),
        ("return input()", "RuntimeError"),
    ],
)
def test_every_way_to_fail_is_an_answer(load, body, kind):
    """Exits, endless recursion, too much memory and values that cannot travel come back as errors of one call."""
    _, student = load(f"def f():\n    {body}\ndef g(): return 1\n")
    with pytest.raises(StudentError) as caught:
        student.f()
    assert caught.value.failure.type_name == kind
    assert student.g() == 1


def test_names_that_are_not_there(load):
    """A function that the module lacks is missing, and says which."""
    _, student = load("x = 1")
    with pytest.raises(StudentError) as caught:
        student.softmax(1)
    assert (caught.value.failure.kind, caught.value.failure.message) == ("missing", "softmax")


def test_changed_inputs_are_noticed(load):
    """Without a suite having to ask: arrays, tensors and lists, by position and by name."""
    session, student = load("def f(a, b=None):\n    a += 1\n    if b is not None: b.append(1)\ndef g(a): return a + 1")
    student.f(np.zeros(2), b=[0])
    student.f(torch.zeros(2))
    student.g(np.zeros(2))
    assert [call.changed for call in session.calls] == [("0", "b"), ("0",), ()]


def test_output_and_warnings_are_kept(load):
    """What a call prints and is warned of belongs to that call, and is bounded."""
    _, student = load("import numpy as np\ndef f(): print('hi', 'x' * 10**6); return np.exp(np.float64(1e4))")
    student.f()
    assert student.output().startswith("hi xxx")
    assert len(student.output()) < 10_000
    assert any("overflow" in text for text in student.warnings())


def test_helpers_beside_the_exercise_can_be_imported(load):
    """A submission's other modules are served from memory."""
    _, student = load("from helper import one\ndef f(): return one", helper="one = 1")
    assert student.f() == 1


def test_a_hang_ends_at_its_deadline_and_the_rest_goes_on(load):
    """A loop, deaf to every exception and signal, costs its call, and the next call gets a fresh process."""
    source = """
import signal, time
def deaf():
    for number in range(1, 65):
        try: signal.signal(number, lambda *_: None)
        except (OSError, ValueError): pass
    while True:
        try:
            while True: time.sleep(0.01)
        except BaseException: pass
def fine(): return 1
"""
    session, student = load(source, budget=Budget(call=1, load=10, restarts=1))
    begun = time.monotonic()
    with pytest.raises(Stopped) as caught:
        student.deaf()
    assert caught.value.failure.kind == "timeout"
    assert time.monotonic() - begun < 10
    assert student.fine() == 1
    for _ in range(2):  # one restart was allowed, and is used up
        with pytest.raises(Stopped):
            student.deaf()
    with pytest.raises(Stopped):
        student.fine()
    assert session.loading_failure.kind == "timeout"


def test_a_busy_machine_costs_no_time(load, monkeypatch):
    """While the machine runs others, no deadline comes nearer; not without end: submissions have threads too."""
    begun = time.monotonic()
    monkeypatch.setattr(Waiting, "seconds", lambda self: time.monotonic() - begun)  # it never gets a processor
    _, student = load(
        "import time\ndef f(seconds):\n    time.sleep(seconds)\n    return 1\n",
        budget=Budget(call=0.5, load=10, exercise=2, restarts=1),
    )
    assert [student.f(0.9) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(Stopped) as caught:
        student.f(60)
    assert caught.value.failure.kind == "timeout"
    monkeypatch.undo()
    with pytest.raises(Stopped):
        student.f(0.9)


def test_the_system_tells_how_long_a_process_waits():
    """With others on its one core, a process that never sleeps runs for a part of the time and waits for the rest."""
    core = min(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"]
    others = [subprocess.Popen(busy) for _ in range(3)]
    try:
        waiting, begun = Waiting(others[0].pid), time.monotonic()
        while waiting.seconds() < 0.3:
            time.sleep(0.05)
            assert time.monotonic() - begun < 60
        assert waiting.seconds() < time.monotonic() - begun + 1
    finally:
        for other in others:
            other.kill()
            other.wait()
    waiting.seconds()
    assert Waiting(2**22 + 1).seconds() == 0  # there is none of this number


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("import os; os._exit(7)", 7),
        ("import os; os.abort()", -signal.SIGSEGV),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os; os.close(3)", None),
    ],
)
def test_a_dead_child_says_how_it_died(load, body, status):
    """An exit, a crash in C and a closed channel are told apart from a hang."""
    _, student = load(f"def f():\n    {body}\n")
    with pytest.raises(Stopped) as caught:
        student.f()
    assert caught.value.failure.kind == "crashed"
    assert status is None or caught.value.failure.status == status


@pytest.mark.parametrize(
    "frame",
    [
        b"\\xff\\xff\\xff\\xff",  # longer than any message
        b"\\x00\\x00\\x00\\x01Z",  # no value
        b"\\x00\\x00\\x00\\x01N",  # a value, but no answer
        b"\\x00\\x00\\x00\\x05s\\x00\\x00\\x00\\x09",  # a text that is longer than its message
    ],
)
def test_forged_messages_are_a_crash_of_the_forger(load, frame):
    """Whoever writes to the channel gets no further than having crashed."""
    written = "".join(f"\\x{byte:02x}" for byte in frame.decode("unicode_escape").encode("latin-1"))
    _, student = load(f"import os\ndef f():\n    os.write(3, b'{written}')\n    while True: pass\n")
    with pytest.raises(Stopped) as caught:
        student.f()
    assert caught.value.failure.kind == "crashed"


def test_loading_failure_is_told_once(load):
    """A module that does not load is loaded once, and every call says so."""
    session, student = load("x = 1\ndef f(:\n")
    assert session.loading_failure.syntax[:2] == ("student.py", 2)
    with pytest.raises(Stopped):
        student.f()
    assert not session.calls


def test_random_numbers_repeat(load):
    """The same submission draws the same numbers each time."""
    source = "import random, numpy, torch\ndef f():\n"
    source += "    return random.random(), numpy.random.rand(), torch.rand(1).item(), hash('a')"
    assert load(source)[1].f() == load(source)[1].f()


def test_without_fork_all_is_the_same():
    """Where there is no fork (Windows, macOS) a process per child gives the same values, errors and deadlines."""
    worker = SpawningWorker()
    try:
        worker.prepare(["numpy"])
        source = "def f(x): return x * 2\ndef bad(): raise ValueError('no good')\ndef hang():\n    while True: pass\n"
        session = Session(worker, "student", {"student": source}, Budget(call=1, load=20))
        student = RemoteModule(session.perform, "student", session.calls)
        assert np.array_equal(student.f(np.arange(3)), np.array([0, 2, 4]))
        with pytest.raises(ValueError, match="no good"):
            student.bad()
        with pytest.raises(Stopped) as caught:
            student.hang()
        assert caught.value.failure.kind == "timeout"
        assert student.f(2) == 4
        session.end()
    finally:
        worker.close()


def test_a_worker_that_is_gone_is_the_graders_own_failure():
    """When the worker was killed from outside, no student is blamed."""
    worker = workers.ForkingWorker()
    worker._process.kill()
    worker._process.wait()
    try:
        with pytest.raises(workers.WorkerError):
            worker.prepare(["numpy"])
    finally:
        worker.close()


def test_a_type_is_called_as_this_side_knows_it(load):
    """A class of the file, or one that the suite asked for, keeps its name; any other could tell what it has seen."""
    source = """
class Table:
    def size(self): return 3
def hidden(word): return type(word, (Table,), {})()
"""
    session, student = load(source)
    for thing, name in ((student.Table(), "Table.size"), (student.hidden("told"), "object.size")):
        assert thing.size() == 3
        assert session.calls[-1].name == name
    listener = student.library("unittest.mock").Mock()
    listener.size()
    assert session.calls[-1].name == "Mock.size"


def test_no_error_ends_a_loop_of_a_suite(load):
    """A `StopIteration` of student code is an error, also where a suite calls in a loop."""
    _, student = load("def f(x): raise StopIteration")
    with pytest.raises(StudentError):
        list(map(student.f, [1, 2]))


def test_only_what_can_be_is_believed_of_lines(load):
    """Frames in files and lines that there are; definitions within the file, one after the other."""
    source = """
import sys
from autograder.isolation.far import child
describe = child.describe
frames = [("student.py", 7, "f"), ("told", 1, "f"), ("student.py", 99, "f")]
child.describe = lambda *a: describe(*a)._replace(frames=frames)
child.definitions = lambda text: {"a": (1, 4), "b": (3, 5), "c": (5, 6), "d": (6, 99), "e": (-1, 0), "f": (8, 8)}
def f(): raise ValueError
"""
    session, student = load(source)
    assert session.definitions == {"a": (1, 4), "c": (5, 6), "f": (8, 8)}
    with pytest.raises(ValueError, match="ValueError") as caught:
        student.f()
    assert caught.value.failure.frames == (("student.py", 7, "f"),)


def test_a_handle_in_a_dictionary_is_an_object(load):
    """Objects reach a suite as such wherever they stand in a value, and can be handed back the same way."""
    _, student = load(
        "class Box:\n    def size(self): return 3\ndef f(): return {'a': [Box()]}\ndef g(d): return d['b'].size()"
    )
    box = student.f()["a"][0]
    assert box.size() == 3
    assert student.g({"b": box}) == 3


def test_nothing_tells_what_an_earlier_child_did(load):
    """No call says or changes which pages of files are in memory; threads cannot have descriptors of their own."""
    source = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
page = ctypes.create_string_buffer(8192)
def refused(name, *arguments): return getattr(libc, name)(*arguments) != 0
def all_refused():
    at = ctypes.c_void_p(ctypes.addressof(page) // 4096 * 4096)
    usage = ctypes.create_string_buffer(512)
    seen = ctypes.create_string_buffer(8)
    fd = os.open(os.__file__, os.O_RDONLY)
    apart = libc.syscall(56, 0x100 | 0x10000, None, None, None, None)  # clone: a thread with descriptors of its own
    return [refused("posix_fadvise", fd, 0, 0, 4), refused("mincore", at, 4096, seen), refused("getrusage", 0, usage),
            refused("madvise", at, 4096, 21), refused("flock", fd, 2), apart == -1]
"""
    _, student = load(source)
    assert student.all_refused() == [True] * 6


def test_numbers_of_processes_start_anew(load):
    """Where each child has a namespace of its own, it is its first process, whatever ran before."""
    source = "import os, threading\ndef f():\n    t = threading.Thread(target=int); t.start(); t.join()\n"
    source += "    return os.getpid(), t.native_id"
    first, again = load(source)[1].f(), load(source)[1].f()
    if first[0] != 1:
        pytest.skip("namespaces are not allowed here")
    assert first == again


@pytest.mark.skipif(not workers.CAN_FORK, reason="there are no locks")
def test_every_protection_says_whether_it_holds():
    """Tried on a child; and one whose secret lies open does not hold."""
    assert {name: protection.why_not(name) for name in ("full", "files", "calls", "resources")} == dict.fromkeys(
        ("full", "files", "calls", "resources"), ""
    )
    assert "can be read" in protection.why_not("full", [os.__file__])
    assert protection.why_not("no-such-lock")


def test_threads_are_counted(load):
    """A child has so many and no more, root's too."""
    source = """
import threading, time
def f():
    threading.stack_size(32768)
    for number in range(1000):
        try: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
        except RuntimeError: return number
    return number
"""
    if os.getuid() != 0:
        pytest.skip("threads count for the user's account")
    assert load(source)[1].f() <= 128


def test_a_rest_is_no_restart(load):
    """Between visible and hidden tests the process is another, as planned; a death before it still counts."""
    source = "import os\nseen = []\ndef f(): seen.append(1); return len(seen)\ndef end(): os._exit(3)\n"
    session, student = load(source, budget=Budget(call=5, load=10, restarts=0))
    assert (student.f(), student.f()) == (1, 2)
    session.rest()
    assert student.f() == 1
    with pytest.raises(Stopped):
        student.end()
    session.rest()
    with pytest.raises(Stopped):
        student.f()
