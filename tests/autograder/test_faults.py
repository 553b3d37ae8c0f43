"""Nothing that happens to the machine costs a submission a point: it is graded as in quiet, or not at all."""

import ast
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import faults
import pytest
from faults import Faults

from autograder.batch import local
from autograder.batch.jobs import Job, Setting, not_graded
from autograder.batch.local import prepare
from autograder.batch.process import GradingProcess
from autograder.batch.results import Results
from autograder.batch.steady import SteadyGrader
from autograder.course import load_course
from autograder.grades import as_json, from_json
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def right():
    """A right answer to softmax."""
    return Submission("ada", {"softmax": (ROOT / "solutions" / "softmax.py").read_text("utf-8")})


def grade(submission, **rates):
    """Its grade in this process, while these faults happen."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("command",):
            patch.setattr(faults.forking, name, faults.forking.command)
        patch.setattr(faults.forking.ForkedChild, "ask", faults.forking.ForkedChild.ask)
        Faults(**rates).install()
        grader = SteadyGrader(Setting(ROOT, ("softmax",)))
        try:
            return grader.grade(Job(submission))
        finally:
            grader.close()


@pytest.mark.parametrize(
    "rates",
    [
        {"forks": (1,)},
        {"forks": (1, 2)},
        {"forks": (2,)},
        {"locks": (1,)},
        {"locks": (1, 2)},
    ],
)
def test_what_passes_by_costs_nothing(right, rates):
    """A fork that is refused once or twice, or a lock that does not hold at first: the grade is as in quiet."""
    assert grade(right, **rates).score == 10


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ({"fork": 1.0}, "no process can be forked"),
        ({"lock": 1.0}, "cannot be shut in"),
    ],
)
def test_what_stays_is_no_grade(right, rates, why):
    """Always is not the submission's fault either: there is no grade, and no points in it, not even 0."""
    found = grade(right, **rates)
    assert [exercise.status for exercise in found.exercises] == ["not_graded"]
    assert why in found.notes[-1]
    data = as_json(found)
    assert (data["score"], data["max_score"], data["exercises"][0]["score"]) == (None, None, None)
    assert from_json(json.loads(json.dumps(data))).graded is False


@pytest.mark.parametrize("rates", [{"killed_before": 1.0}, {"killed_during": 1.0}, {"killed_during": 0.02}])
def test_a_worker_that_is_killed_takes_no_points_with_it(right, rates):
    """Before a call or during one, each time or now and then: full marks, or no grade."""
    for seed in range(3):
        assert as_json(grade(right, seed=seed, **rates))["score"] in (10, None)


def test_a_worker_that_dies_is_replaced(right):
    """Killed between two submissions, it costs another try of the second one."""
    grader = SteadyGrader(Setting(ROOT, ("softmax",)))
    try:
        grader._grader.worker._process.kill()
        assert grader.grade(Job(right)).score == 10
        grader._grader.worker._process.kill()
        assert grader.grade(Job(right)).score == 10
    finally:
        grader.close()


def test_a_grading_process_that_dies_or_hangs_is_replaced(right, monkeypatch):
    """Killed while it waits, it is started anew; one that never answers is ended, and blames nobody."""
    hand = GradingProcess(Setting(ROOT, ("softmax",)))
    try:
        assert hand.grade(Job(right)).score == 10
        hand._process.kill()
        assert hand.grade(Job(right)).score == 10
        hand.close()
        monkeypatch.setattr("autograder.batch.process.COMMAND", [sys.executable, "-c", "import time; time.sleep(99)"])
        hand = GradingProcess(Setting(ROOT, ("softmax",)))
        hand._seconds = 0.3
        begun = time.monotonic()
        assert not hand.grade(Job(right)).graded
        assert time.monotonic() - begun < 20
        monkeypatch.setattr("autograder.batch.process.COMMAND", ["/nonexistent"])
        assert "cannot be started" in GradingProcess(Setting(ROOT, ("softmax",))).grade(Job(right)).notes[-1]
    finally:
        hand.close()


def test_what_was_not_graded_is_not_kept(right, tmp_path):
    """It is written, so that somebody sees it, and graded again the next time, without `--force`."""
    course, results = load_course(ROOT), Results(tmp_path)
    setting, chosen = Setting(ROOT, ("softmax",)), course.select(["softmax"])
    job = prepare(right, course, chosen, results, setting.protection)
    results.write(not_graded(setting, job, "the machine is on fire"), job.keys)
    assert json.loads((tmp_path / "ada.json").read_text())["exercises"][0]["status"] == "not_graded"
    assert prepare(right, course, chosen, results, setting.protection).reusable == {}


def test_a_machine_that_is_broken_for_good_is_not_tried_for_ever(right, monkeypatch):
    """After some submissions that could not be graded, the rest is left alone, and each has a word."""
    monkeypatch.setattr(local, "GIVE_UP", 2)
    handed_in = [Submission(f"s{number}", right.sources) for number in range(5)]
    found = faults.grades(handed_in, ("softmax",), Faults(fork=1.0), processes=1)
    assert len(found) == 5
    assert all(grade["score"] is None for grade in found.values())


def test_a_batch_says_so_with_3_and_grades_the_rest(right, tmp_path):
    """The command itself: `fork` is refused from the third child on, and comes back with another run."""
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "softmax.py").write_text(right.sources["softmax"])
    out, driver = tmp_path / "out", tmp_path / "driver.py"
    failing = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests/autograder')!r})\nimport faults, json\n"
        "from autograder.batch import process\nfrom autograder.cli import main\n"
        "given = json.dumps(vars(faults.Faults(forks=(3, 4, 5))))\n"
        "process.COMMAND = [sys.executable, '-P', faults.__file__, '--serve', given]\nsys.exit(main(sys.argv[1:]))\n"
    )
    driver.write_text(failing)
    arguments = ["grade", "--exercise", "softmax", "--processes", "1", "--out", str(out), "--json"]
    arguments += [str(tmp_path / "ada"), str(tmp_path / "bob")]

    def run(*program):
        command = [sys.executable, "-P", *program, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    noisy = run(driver)
    scores = [grade["score"] for grade in json.loads(noisy.stdout)]
    # In each worker two forks succeed: ada's, for visible and for hidden tests. Bob's are those of a second worker.
    assert (noisy.returncode, scores) == (0, [10, 10]), noisy.stderr
    driver.write_text(failing.replace("forks=(3, 4, 5)", "lock=1.0"))
    arguments.append("--force")
    noisy = run(driver)
    assert noisy.returncode == 3
    assert [grade["score"] for grade in json.loads(noisy.stdout)] == [None, None]
    assert noisy.stderr.count("through no fault of the submission") == 2
    arguments.pop()
    quiet = run("-m", "autograder")
    assert (quiet.returncode, [grade["score"] for grade in json.loads(quiet.stdout)]) == (0, [10, 10])


@contextlib.contextmanager
def control_group(kind, **limits):
    """A group of the system's with limits, for processes that are put into it."""
    group = GROUPS / kind / f"faults-{os.getpid()}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / f"{kind}.{name}").write_text(str(value))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        yield group
    finally:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def in_group(group, submissions):
    """Grades in processes of this group, which the second one already finds crowded."""
    program = (
        f"import os, sys; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        f"sys.path.insert(0, {str(ROOT / 'tests/autograder')!r})\n"
        "import faults, json, sys\nfrom autograder.submission import Submission\n"
        "handed_in = [Submission(*pair) for pair in json.load(sys.stdin)]\n"
        "print(json.dumps(faults.grades(handed_in, ('softmax',), processes=2)))\n"
    )
    given = json.dumps([(submission.name, dict(submission.sources)) for submission in submissions])
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


BOMB = """
import threading, time
import numpy as np
def softmax(scores, axis=-1):
    threading.stack_size(32768)
    for _ in range(3000):
        try: threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
        except RuntimeError: break
    return np.zeros_like(scores, float)
log_softmax = softmax
"""


@pytest.mark.parametrize("most", [12, 60])
def test_no_more_processes(right, most):
    """At a limit of processes, beside a submission that takes all there are: full marks, or none at all."""
    bystanders = [Submission(f"s{number}", right.sources) for number in range(4)]
    with control_group("pids", max=most) as group:
        found = in_group(group, [Submission("bomb", {"softmax": BOMB}), *bystanders])
    assert found.pop("bomb")["score"] in (0, None)
    assert {grade["score"] for grade in found.values()} <= {10, None}


def test_no_more_memory(right):
    """At a limit of memory where the system ends processes of its own choice: full marks, or none at all."""
    eater = right.sources["softmax"].replace("import", "hog = bytearray(1 << 30)\nimport", 1)
    bystanders = [Submission(f"s{number}", right.sources) for number in range(3)]
    with control_group("memory", limit_in_bytes=900 * 2**20) as group:
        found = in_group(group, [Submission("eater", {"softmax": eater}), *bystanders])
    found.pop("eater")
    assert {grade["score"] for grade in found.values()} <= {10, None}


def test_no_more_descriptors(right):
    """When this process can open nothing more, the submission is tried again, and is not graded in the end."""
    grader = SteadyGrader(Setting(ROOT, ("softmax",)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert grader.grade(Job(right)).score == 10
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        assert not grader.grade(Job(right)).graded
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert grader.grade(Job(right)).score == 10
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        grader.close()


def test_a_full_disk(right, tmp_path, monkeypatch):
    """A suite that cannot write what it hands out is no fault of the submission's."""
    course = tmp_path / "course"
    for path in ("solutions", "tests/visible", "tests/hidden"):
        (course / path).mkdir(parents=True)
        for file in (ROOT / path).glob("*softmax.*"):
            shutil.copy(file, course / path)
    head, *entries = (ROOT / "course.toml").read_text("utf-8").split("[[exercise]]\n")
    softmax = next(entry for entry in entries if 'name = "softmax"' in entry)
    (course / "course.toml").write_text(f"{head}[[exercise]]\n{softmax}", "utf-8")
    with open(course / "tests/visible/test_softmax.py", "a", encoding="utf-8") as suite:
        suite.write(
            "\n@points(1, 'A file')\ndef test_file(softmax, tmp_path_factory):\n    '''Writes.'''\n"
            "    import os\n    (tmp_path_factory.mktemp('x') / 'file').write_bytes(bytes(1 << 20))\n"
        )
    for name in [name for name in sys.modules if name.endswith("test_softmax")]:
        monkeypatch.delitem(sys.modules, name)  # the course's own
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: os.write(os.open("/dev/full", os.O_WRONLY), data))
    grader = SteadyGrader(Setting(course, ("softmax",)))
    try:
        found = grader.grade(Job(right))
        assert "No space left" in found.notes[-1]
    finally:
        grader.close()


def test_a_clock_that_jumps(right, monkeypatch):
    """Hours back and forth while a submission is graded: nothing that decides about it looks at the time of day."""
    jump = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1e9 + 7200 * (-1) ** next(jump))
    grader = SteadyGrader(Setting(ROOT, ("softmax",)))
    try:
        assert grader.grade(Job(right)).score == 10
    finally:
        grader.close()
    files = {*(ROOT / "autograder/isolation").rglob("*.py"), *(ROOT / "autograder/batch").glob("*.py")}
    for path in files - {ROOT / "autograder/batch/results.py"}:  # says when, and waits for nothing
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "datetime.now")), path


def test_a_batch_among_faults():
    """Submissions of every kind with faults at random: each has the grade that it has in quiet, or none."""
    assert faults.compare(30, seed=1)["equal"] >= 20
