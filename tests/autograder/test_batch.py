"""Batches: one whole file each, reuse only of what is still true, and a grade for everyone whatever dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder.batch.cores import available, grading_pool
from autograder.batch.jobs import Setting
from autograder.batch.local import grade_all, prepare
from autograder.batch.results import ResultError, Results, file_name, keys, read_results
from autograder.course import load_course
from autograder.grades import as_json
from autograder.isolation.between.messages import FULL, UNPROTECTED
from autograder.submission import Submission

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small_course(tmp_path_factory):
    """A course of softmax alone, in a folder of its own that a test may change."""
    folder = tmp_path_factory.mktemp("course")
    for path in ("solutions", "exercises", "tests/visible", "tests/hidden", "tests/mistakes"):
        (folder / path).mkdir(parents=True)
        for file in (ROOT / path).glob("*softmax.*"):
            shutil.copy(file, folder / path)
    head, *entries = (ROOT / "course.toml").read_text(encoding="utf-8").split("[[exercise]]\n")
    softmax = next(entry for entry in entries if 'name = "softmax"' in entry)
    (folder / "course.toml").write_text(f"{head}[[exercise]]\n{softmax}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def right():
    """The right answer."""
    return (ROOT / "solutions" / "softmax.py").read_text(encoding="utf-8")


def run(course, out, *paths, **options):
    """The real command."""
    command = [sys.executable, "-P", "-m", "autograder", "grade", "--out", str(out), *map(str, paths)]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, check=False, **options)


def test_grades_do_not_depend_on_how_many_processes(small_course, right):
    """The same grades from one process as from two, and what is known is not graded again."""
    course = load_course(small_course)
    submissions = [Submission(f"s{i}", {"softmax": right.replace("axis=axis", f"axis={i}", i)}) for i in range(3)]
    setting = Setting(small_course, course.names)
    jobs = [prepare(submission, course, course.exercises, None, FULL) for submission in submissions]
    grades = [
        {job.submission.name: as_json(grade) for job, grade, _ in grade_all(setting, jobs, processes)}
        for processes in (1, 2)
    ]
    assert grades[0] == grades[1]


def test_reuse_only_of_what_is_still_true(tmp_path, small_course, right):
    """A grade is reused for the same submission, suites and protection, and for nothing else, damaged files least."""
    course = load_course(small_course)
    setting, results = Setting(small_course, course.names), Results(tmp_path)
    submission = Submission("ada", {"softmax": right})

    def known(submission=submission, protection=FULL):
        return set(prepare(submission, load_course(small_course), course.exercises, results, protection).reusable)

    assert known() == set()
    job = prepare(submission, course, course.exercises, results, FULL)
    for done, grade, _ in grade_all(setting, [job], 1):
        results.write(grade, done.keys)
    assert known() == {"softmax"}
    assert known(Submission("ada", {"softmax": right + "\n"})) == set()
    assert known(protection=UNPROTECTED) == set()
    text = (tmp_path / "ada.json").read_text()
    (tmp_path / "ada.json").write_text(text.replace("10.0", "11.0", 1))
    assert known() == set()
    (tmp_path / "ada.json").write_text(text)
    assert known() == {"softmax"}
    (tmp_path / "ada.json").write_text(text[: len(text) // 2])
    assert known() == set()


def test_keys_follow_the_suites(small_course, right, tmp_path):
    """A changed suite, mistake or budget changes the key of its exercise."""
    copy = tmp_path / "course"
    shutil.copytree(small_course, copy)
    submission = Submission("ada", {"softmax": right})

    def key():

        course = load_course(copy)
        return keys(course, course.exercises, submission)["softmax"]

    seen = {key()}
    for path in ("tests/hidden/test_softmax.py", "tests/mistakes/softmax.toml", "course.toml"):
        with open(copy / path, "a", encoding="utf-8") as file:
            file.write("\n# changed\n" if path != "course.toml" else "\nmemory_mib = 512\n")
        seen.add(key())
    assert len(seen) == 4


@pytest.mark.parametrize(
    "name", ["ada", "O'Neil, Zoë", "a/b", "..", "../x", "x" * 300, "🙂", "a\nb", "CON:1", ".hidden", "\udcff", ""]
)
def test_any_name_is_a_file_name(tmp_path, name):
    """One file, inside of the folder, and no two names the same file."""
    path = tmp_path / f"{file_name(name)}.json"
    path.write_text("x")
    assert path.parent == tmp_path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert file_name(name) != file_name(f"{name}_")


def test_results_that_are_none(tmp_path):
    """A missing folder, and a file that is no grade, are one sentence."""
    with pytest.raises(ResultError, match="no folder"):
        read_results(tmp_path / "none")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ResultError, match="is no grade"):
        read_results(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be used"):
        Results(tmp_path / "file")


def test_kill_9_loses_nothing_and_the_second_run_goes_on(tmp_path, small_course, right):
    """Killed in the middle, a batch leaves whole files only; the next run grades the rest and repeats nothing."""
    for number in range(12):
        (tmp_path / "in" / f"s {number} 🙂").mkdir(parents=True)
        (tmp_path / "in" / f"s {number} 🙂" / "softmax.py").write_text(right + f"# {number}\n")
    paths, out = sorted((tmp_path / "in").iterdir()), tmp_path / "out"
    command = [sys.executable, "-P", "-m", "autograder", "grade", "--out", str(out), *map(str, paths)]
    process = subprocess.Popen(command, cwd=small_course, stdout=subprocess.DEVNULL, start_new_session=True)
    while len(list(out.glob("*.json"))) < 3 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    first = {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert len(first) < 12
    assert all(json.loads((out / name).read_text())["score"] == 10 for name in first)
    assert run(small_course, out, *paths).returncode == 0
    assert len(list(out.glob("*.json"))) == 12
    done = {name for name in first if (out / ".keys" / name).exists()}
    kept = {name for name, time in first.items() if (out / name).stat().st_mtime_ns == time}
    assert len(done - kept) <= 1  # at most the one whose key was not yet written
    deadline = time.monotonic() + 10
    while _workers_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _workers_of(process.pid) == []


def _workers_of(session):
    """Processes that the killed batch left behind."""
    left = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            left.append(path.parent.name)
    return left


def test_a_full_disk_is_said_and_the_others_are_graded(tmp_path, small_course, right):
    """What cannot be written is said, with exit code 3, and nothing half is left."""
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "softmax.py").write_text(right)
    out = tmp_path / "out"
    (out / ".keys").mkdir(parents=True)
    (out / "ada.json").mkdir()  # stands for a place that cannot be written to
    done = run(small_course, out, tmp_path / "ada", tmp_path / "bob")
    assert done.returncode == 3
    assert "ada could not be written" in done.stderr
    assert (out / "bob.json").is_file()
    assert not list(out.glob(".*.new"))


def test_the_commands_say_what_is_wrong(tmp_path, small_course):
    """Bad usage is a sentence and exit code 2; below --fail-under is 1."""
    assert run(small_course, tmp_path / "out", tmp_path / "nobody").returncode == 2
    (tmp_path / "ada").mkdir()
    done = run(small_course, tmp_path / "out", tmp_path / "ada", "--fail-under", "50")
    assert done.returncode == 1
    assert "could not be read" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(available()) < 2, reason="there is one core")
def test_each_grading_process_keeps_to_a_core_of_its_own():
    """As many processes as cores share them out; fewer leave that to the system."""
    cores = available()
    assert [_cores_of(number, len(cores)) for number in range(len(cores))] == [[core] for core in cores]
    assert _cores_of(0, len(cores) - 1) == cores
    with grading_pool(len(cores)) as pool:
        assert len(pool.submit(available).result()) == 1
    assert available() == cores


def _cores_of(number, processes):
    """The cores that a process which dedicates itself is left with."""
    program = (
        f"from autograder.batch.cores import available, dedicate; dedicate({number}, {processes}); print(available())"
    )
    return json.loads(subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True).stdout)
